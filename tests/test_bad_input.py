"""What is wrong with a row is kept apart and named, and never stops the rest."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from support import (
    Row,
    as_text,
    document,
    environment_for,
    run,
    tables_of,
)

from etl.emulator import Emulator
from etl.lake import Lake

GOOD = document(1)


# Each case is a document, and what becomes of it beside a row that is as good as any.


@dataclass(frozen=True)
class Case:
    """A document with something wrong, and where that is afterwards.

    `cells` are the columns of instances that differ from those of a good document, `quarantine`
    is field, reason and value, `extras` path and value, `rows` those of other tables.
    """

    document: Row | bytes
    cells: Row = field(default_factory=dict)
    quarantine: tuple[tuple[str, str, str], ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The number that its document was made with."""
        text = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        (stamp,) = re.findall(rb'"latest_update_timestamp": "(\d+)"', text)
        return int(stamp) - 1760227200000


def stop(**auto_stop: Any) -> Row:
    return {"spec": {"auto_stop": auto_stop}}


def verbatim(number: int, text: str) -> bytes:
    """A good document with more text in it, as it is."""
    return json.dumps(document(number)).encode()[:-1] + b"," + text.encode() + b"}"


WHOLE, FLAG, TIME, SIZE = (
    "not a whole number",
    "not true or false",
    "not a time in milliseconds",
    "not a size",
)
TEXT, OBJECT, LIST = "not text", "not an object", "not a list"
BIG = "123456789012345678901234567890"
HOSTILE = "a\nb\"c'd<script>alert(1)</script>\x00\u202e\x1b[31m=1+1;--"
TWICE = '"error_code":"E.1","error_code":"E.2"'
DURATION, STOP_AT = "spec.auto_stop.duration", "spec.auto_stop.stop_timestamp"
PARAMS = "flavor_details.params"


def duration(number: int, value: Any, seconds: int | None) -> Case:
    """A document with this auto-stop duration, and what its column says; quarantined where nothing."""
    aside = () if seconds is not None else ((DURATION, WHOLE, compact(value)),)
    return Case(document(number, **stop(duration=value)), {"auto_stop_seconds": seconds}, aside)


def stop_at(number: int, value: Any) -> Case:
    """A document with a time that cannot be read."""
    return Case(document(number, **stop(stop_timestamp=value)), {}, ((STOP_AT, TIME, json.dumps(value)),))


def memory(number: int, value: Any, size: int | None) -> Case:
    """A document whose flavor has this memory."""
    name = f"flavor-{number}"
    details = {"name": name, "params": {"memory": value}}
    aside = () if size is not None else ((f"{PARAMS}.memory", SIZE, json.dumps(value)),)
    flavors = [{"flavor": name, "memory_bytes": size}]
    attributes = [{"owner_id": name, "map": "params", "key": "memory", "value": str(value)}]
    return Case(
        document(number, flavor_details=details),
        {},
        aside,
        (),
        {"flavors": flavors, "attributes": attributes},
    )


def misplaced(number: int, path: str, value: Any, reason: str) -> Case:
    """A document with a value where another kind of value is due."""
    said = document(number)
    *parents, name = path.split(".")
    holder = said
    for parent in parents:
        holder = holder.setdefault(parent, {"id": f"profile-{number}"} if parent == "profile" else {})
    holder[name] = value
    if parents[:1] == ["flavor_details"]:
        said["flavor_details"]["name"] = f"flavor-{number}"
    cells = {"profile_id": f"profile-{number}"} if parents == ["profile"] else {}
    return Case(said, cells, ((path, reason, compact(value)),))


def compact(value: Any) -> str:
    """JSON as it is kept."""
    return json.dumps(value, separators=(",", ":"))


CASES = {
    "text-where-a-number-is-due": duration(100, "3600", 3600),
    "a-float-that-is-whole": duration(101, 3600.0, 3600),
    "a-float-that-is-not": duration(102, 3600.5, None),
    "a-number-beyond-64-bits": Case(
        verbatim(103, f'"spec":{{"auto_stop":{{"duration":{BIG}}}}}'), {}, ((DURATION, WHOLE, BIG),)
    ),
    "a-number-that-fits-and-overflows-when-added": Case(
        document(104, **stop(duration=2**63 - 1, stop_timestamp=1760227200000)),
        {"auto_stop_seconds": 2**63 - 1, "stop_at": "2025-10-12T00:00:00.000Z"},
    ),
    "a-size-that-fits-and-overflows-in-bytes": Case(
        document(151, spec={"storage": {"type": "evs", "location": {"volume_size": 2**63 - 1}}}),
        rows={"storage": [{"instance_id": document(151)["id"], "size": 2**63 - 1, "size_bytes": None}]},
    ),
    "a-flag-where-a-number-is-due": duration(105, True, None),
    "a-word-where-a-number-is-due": duration(106, "an hour", None),
    "a-list-where-a-number-is-due": duration(107, [3600], None),
    "an-object-where-a-number-is-due": duration(108, {"s": 1}, None),
    "not-a-number-where-a-number-is-due": Case(
        verbatim(109, '"spec":{"auto_stop":{"duration":NaN}}'), {}, ((DURATION, WHOLE, "NaN"),)
    ),
    "numbers-where-text-is-due": Case(
        document(110, name=12, description=1.5, status=7), {"name": "12", "description": "1.5", "status": "7"}
    ),
    "a-flag-where-text-is-due": Case(document(111, name=True), {"name": None}, (("name", TEXT, "true"),)),
    "two-objects-where-text-is-due": Case(
        document(112, name={"a": 1}, description=["b"]),
        {"name": None},
        (("description", TEXT, '["b"]'), ("name", TEXT, '{"a":1}')),
    ),
    "a-flag-as-text": Case(
        document(113, **stop(enable="true", prompt="False")),
        {"auto_stop_enabled": True, "auto_stop_prompt": False},
    ),
    "a-flag-as-a-number": Case(document(114, **stop(enable=1)), {}, (("spec.auto_stop.enable", FLAG, "1"),)),
    "a-time-of-ten-digits": stop_at(115, 1760227200),
    "the-time-zero": stop_at(116, 0),
    "a-negative-time": stop_at(117, -1760227200000),
    "a-time-in-the-year-99999": stop_at(118, 3093527980800000),
    "a-time-as-iso-text": stop_at(119, "2025-10-12T00:00:00Z"),
    "a-time-as-text": Case(
        document(120, **stop(stop_timestamp="1760227200001")), {"stop_at": "2025-10-12T00:00:00.001Z"}
    ),
    "a-memory-with-a-unit": memory(121, "96GiB", 96 * 2**30),
    "a-memory-with-a-fraction": memory(122, "1.5GB", 1_500_000_000),
    "a-memory-without-a-unit": memory(123, "96", None),
    "a-memory-that-is-a-number": memory(124, 96, None),
    "a-memory-that-is-a-word": memory(125, "lots", None),
    "a-profile-that-is-text": misplaced(126, "profile", "x", OBJECT),
    "a-profile-that-is-a-list": misplaced(127, "profile", [1], OBJECT),
    "a-spec-that-is-a-number": misplaced(128, "spec", 5, OBJECT),
    "flavor-details-that-are-text": misplaced(129, "flavor_details", "x", OBJECT),
    "labels-that-are-text": misplaced(130, "profile.labels", "a=b", OBJECT),
    "labels-that-are-a-list": misplaced(131, "profile.labels", ["a"], OBJECT),
    "labels-that-are-a-number": misplaced(132, "profile.labels", 3, OBJECT),
    "params-that-are-a-list": misplaced(133, f"{PARAMS}", [1], OBJECT),
    "a-storage-list-that-is-text": misplaced(
        134, "flavor_details.storage_list", "obs", "not a list of texts"
    ),
    "a-storage-list-of-objects": misplaced(
        135, "flavor_details.storage_list", [{"a": 1}], "not a list of texts"
    ),
    "extended-storage-that-is-text": misplaced(136, "spec.extend_storage", "x", LIST),
    "extended-storage-that-is-an-object": misplaced(137, "spec.extend_storage", {"type": "evs"}, LIST),
    "extended-storage-that-is-a-number": misplaced(138, "spec.extend_storage", 1, LIST),
    "a-user-without-an-id": Case(
        document(139, user={"name": "li"}), {"user_id": None}, (("user", "no usable id", '{"name":"li"}'),)
    ),
    "labels-with-objects-in-them": Case(
        document(140, profile={"id": "profile-140", "labels": {"a": {"b": [1, {"c": None}]}, "f": True}}),
        {"profile_id": "profile-140"},
        rows={
            "attributes": [
                {"owner_id": "profile-140", "map": "labels", "key": "a", "value": '{"b":[1,{"c":null}]}'},
                {"owner_id": "profile-140", "map": "labels", "key": "f", "value": "true"},
            ]
        },
    ),
    "a-key-twice": Case(
        verbatim(141, TWICE),
        {"error_code": "E.1"},
        (("", "a key twice", f"{compact(document(141))[:-1]},{TWICE}}}"),),
    ),
    "a-label-twice": Case(
        verbatim(142, '"profile":{"id":"profile-142","labels":{"k":1,"k":2}}'),
        {"profile_id": "profile-142"},
        (("profile.labels", "a key twice", '{"k":1,"k":2}'),),
        rows={"attributes": [{"owner_id": "profile-142", "map": "labels", "key": "k", "value": "1"}]},
    ),
    "hostile-text": Case(document(143, name=HOSTILE), {"name": HOSTILE}),
    "unknown-numbers-beyond-64-bits": Case(
        verbatim(144, f'"big":{BIG},"huge":1e400,"nan":NaN'),
        extras=(("big", BIG), ("huge", "1e400"), ("nan", "NaN")),
    ),
    "unknown-keys-with-signs": Case(
        document(145, **{"a.b": 1, "a/b": 2, "a~b": 3, 'a"b': 4, "": 5, "user.x": 6, "a\x00b": 7})
        | {"user": {"id": "user-1", "name": "li", "x": 8}},
        extras=(
            ('""', "5"),
            ('"a.b"', "1"),
            ('"a\\"b"', "4"),
            ('"user.x"', "6"),
            ("a\x00b", "7"),
            ("a/b", "2"),
            ("a~b", "3"),
            ("user.x", "8"),
        ),
    ),
    "a-key-of-10-kB": Case(document(146, **{"k" * 10_000: 1}), extras=(("k" * 10_000, "1"),)),
    "2000-unknown-keys": Case(
        document(147, **{f"key-{n:04d}": n for n in range(2000)}),
        extras=tuple((f"key-{n:04d}", str(n)) for n in range(2000)),
    ),
    "1000-levels": Case(
        verbatim(148, '"deep":' + "[" * 1000 + "]" * 1000), extras=(("deep", "[" * 1000 + "]" * 1000),)
    ),
    "100000-levels": Case(
        verbatim(149, '"description":' + '{"a":' * 100_000 + "1" + "}" * 100_000),
        {},
        (("description", TEXT, '{"a":' * 100_000 + "1" + "}" * 100_000),),
    ),
    "an-id-that-is-a-number": Case({**document(150), "id": 150}, {"instance_id": "150"}),
}
# Rows that cannot be told whose they are.
UNUSABLE = {
    "an-id-of-null": ({**document(200), "id": None}, "no usable id"),
    "no-id": ({"name": "nameless"}, "no usable id"),
    "an-id-that-is-an-object": ({**document(202), "id": {"a": 1}}, "no usable id"),
    "an-id-of-10-MB": ({"id": "x" * 10_000_000}, "no usable id"),
    "an-id-that-is-a-flag": ({**document(204), "id": True}, "no usable id"),
    "null": (b"null", OBJECT),
    "text": (b'"x"', OBJECT),
    "a-number": (b"5", OBJECT),
    "a-list": (b"[1]", OBJECT),
}


@pytest.fixture(scope="module")
def bad_lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[str], dict[str, list[Row]]]:
    """The lake after two sweeps of all cases, what the command said, and the tables after the first."""
    lake = Lake(tmp_path_factory.mktemp("bad") / "lake")
    documents = [GOOD, *(case.document for case in CASES.values()), *(each for each, _ in UNUSABLE.values())]
    with Emulator.of_documents(documents) as service:
        environment = environment_for(service, lake.path)
        first = run(environment)
        before = tables_of(lake)
        second = run(environment)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    return lake, [first.output, second.output], before


def good_row(number: int, tables: dict[str, list[Row]]) -> Row:
    """What the row of a document would be if nothing were wrong with it."""
    (good,) = [row for row in tables["instances"] if row["instance_id"] == GOOD["id"]]
    changed = {"instance_id": document(number)["id"], "name": document(number)["name"]}
    at = good["created_at"] + timedelta(milliseconds=number - 1)
    return {**good, **changed, "created_at": at, "updated_at": at}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_with_a_row_is_kept_apart_and_the_rest_of_it_stands(
    name: str, bad_lake: tuple[Lake, list[str], dict[str, list[Row]]]
) -> None:
    _, _, tables = bad_lake
    case = CASES[name]
    due = good_row(case.number, tables) | case.cells
    found = [row for row in tables["instances"] if row["instance_id"] == due["instance_id"]]
    assert as_text(found) == as_text([due])
    aside = [row for row in tables["quarantine"] if row["instance_id"] == due["instance_id"]]
    assert sorted((row["field"] or "", row["reason"], row["document"]) for row in aside) == sorted(
        case.quarantine
    )
    extras = [row for row in tables["extras"] if row["instance_id"] == due["instance_id"]]
    assert sorted((row["path"], row["value"]) for row in extras) == sorted(case.extras)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.rows])
def test_what_hangs_on_a_row_is_kept_with_it(
    name: str, bad_lake: tuple[Lake, list[str], dict[str, list[Row]]]
) -> None:
    _, _, tables = bad_lake
    for table, rows in CASES[name].rows.items():
        names = rows[0].keys()
        owner = next(iter(rows[0].values()))
        found = [{each: row[each] for each in names} for row in tables[table]]
        assert as_text(row for row in found if next(iter(row.values())) == owner) == as_text(rows)


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_row_without_a_usable_id_is_quarantined_whole(
    name: str, bad_lake: tuple[Lake, list[str], dict[str, list[Row]]]
) -> None:
    _, _, tables = bad_lake
    sent, reason = UNUSABLE[name]
    text = sent.decode() if isinstance(sent, bytes) else compact(sent)
    kept = [
        (row["field"], row["reason"])
        for row in tables["quarantine"]
        if row["instance_id"] is None and row["document"] == text
    ]
    assert kept == [(None, reason)]


def test_bad_rows_are_counted_and_the_listing_is_complete(
    bad_lake: tuple[Lake, list[str], dict[str, list[Row]]],
) -> None:
    _, said, tables = bad_lake
    quarantined = len(UNUSABLE) + sum(len(case.quarantine) for case in CASES.values())
    assert len(tables["quarantine"]) == quarantined
    assert f"{len(CASES) + 1} instance" in said[0]
    assert f"{quarantined} quarantined" in said[0]
    (sweep_row,) = tables["sweeps"]
    assert (sweep_row["verdict"], sweep_row["quarantined_count"]) == ("complete", quarantined)


def test_the_same_bad_rows_write_nothing_new(bad_lake: tuple[Lake, list[str], dict[str, list[Row]]]) -> None:
    lake, said, before = bad_lake
    after = tables_of(lake)
    for name, rows in before.items():
        assert len(after[name]) == len(rows) * (2 if name in ("sweeps", "slices") else 1), name
    assert "0 new, 0 changed, 0 gone" in said[1]
