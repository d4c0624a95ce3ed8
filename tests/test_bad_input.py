"""What a service or a user gets wrong has an outcome with a name, and never stops the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from support import (
    OBSERVED_AT,
    Row,
    as_text,
    document,
    environment_for,
    flattened,
    page_of,
    swept,
    tables_of,
    views_of,
)

from etl import raw
from etl.cli import main
from etl.emulator import Emulator
from etl.errors import UsageError
from etl.lake import Lake
from etl.page import BadPage, read_page
from etl.settings import check_url

GOOD = document(1)


def run(environment: dict[str, str], *arguments: str) -> Result:
    """`demeter sweep` with this environment."""
    return CliRunner().invoke(main, [*arguments, "sweep"], env=environment)


def one_line(result: Result) -> str:
    """The one line on standard error, without the name of the program."""
    (line,) = result.stderr.splitlines()
    assert line.startswith("demeter: ")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return line.removeprefix("demeter: ")


# Pages.


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><body>Bad Gateway</body></html>", "the answer is not JSON: it begins '<html>"),
        (b"", "the answer is empty"),
        (b" \n", "the answer is empty"),
        (b"\xef\xbb\xbf", "the answer is empty"),
        (b"null", "the answer is not a JSON object"),
        (b"[]", "the answer is not a JSON object"),
        (b'"instances"', "the answer is not a JSON object"),
        (b"{}", "the answer has no list of instances"),
        (b'{"total_count":0}', "the answer has no list of instances"),
        (b'{"instances":null,"total_count":0}', "the answer has no list of instances"),
        (b'{"instances":{"id":"a"},"total_count":1}', "the answer has no list of instances"),
        (b'{"instances":"[]","total_count":0}', "the answer has no list of instances"),
        (b'{"instances":[]}', "the answer's total_count is None, not a number"),
        (b'{"instances":[],"total_count":null}', "the answer's total_count is None, not a number"),
        (b'{"instances":[],"total_count":"many"}', "the answer's total_count is 'many', not a number"),
        (b'{"instances":[],"total_count":1.5}', "the answer's total_count is '1.5', not a number"),
        (b'{"instances":[],"total_count":[1]}', "the answer's total_count is '[1]', not a number"),
        (b'{"instances":[],"total_count":-1}', "the answer's total_count is -1"),
        (b'{"instances":[{"id":"a"}],"total_cou', "the answer is not JSON: it begins '{\"instances"),
        (
            b'{"error_code":"ModelArts.0010","error_msg":"busy"}',
            "the answer is an error: ModelArts.0010 busy",
        ),
        (b'{"error":{"code":500,"message":"x"}}', "the answer is an error: {"),
        (b'{"error_code":"","error_msg":null}', "the answer has no list of instances"),
    ],
    ids=repr,
)
def test_an_answer_that_is_no_page_says_what_it_is(body: bytes, said: str) -> None:
    with duckdb.connect() as connection, pytest.raises(BadPage) as caught:
        read_page(body, OBSERVED_AT, connection)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("total", [2, "2", " 2 "])
def test_a_total_may_come_as_text(total: Any) -> None:
    with duckdb.connect() as connection:
        assert read_page(page_of(GOOD, total_count=total), OBSERVED_AT, connection).total_count == 2


def test_rows_that_are_no_objects_or_have_no_usable_id_have_a_place_and_no_id() -> None:
    rows = [
        None,
        1,
        "x",
        True,
        [],
        {},
        {"id": None},
        {"id": ""},
        {"id": {"a": 1}},
        {"id": ["a"]},
        {"id": True},
    ]
    rows += [{"id": "x" * 201}, {"id": 5}, {"id": "a"}]
    with duckdb.connect() as connection:
        page = read_page(page_of(*rows), OBSERVED_AT, connection)
    assert page.ids == (*[None] * 12, "5", "a")
    # The tables agree with the listing on what an id is.
    assert [row["instance_id"] for row in flattened(page_of(*rows))["instances"]] == ["5", "a"]


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([GOOD]) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>Bad Gateway</html>", "is not JSON"),
        (b"", "is empty"),
        (b'{"total_count":1}', "has no list of instances"),
        (json.dumps({"instances": [GOOD]}).encode(), "total_count is None"),
        (json.dumps({"instances": [GOOD], "total_count": "many"}).encode(), "total_count is 'many'"),
    ],
    ids=["html", "empty", "no-instances", "no-total", "text-total"],
)
def test_a_sweep_of_no_pages_fails_by_itself_and_the_next_one_succeeds(
    service: Emulator, tmp_path: Path, body: bytes, reason: str
) -> None:
    environment, lake = environment_for(service, tmp_path / "lake"), Lake(tmp_path / "lake")
    service.answer_with(body)
    try:
        failed = run(environment)
    finally:
        service.answer_normally()
    assert failed.exit_code == 6
    assert reason in one_line(failed)
    assert "run again later" in one_line(failed)
    (directory,) = lake.raw(service.project_id).iterdir()
    (kept,) = unreadable_in(directory)
    assert reason in kept["unreadable"]
    assert kept["text"].encode() == body
    assert run(environment).exit_code == 0
    found = views_of(lake, "sweeps", "instances")
    assert sorted(row["verdict"] for row in found["sweeps"]) == ["complete", "failed"]
    assert [row["instance_id"] for row in found["instances"]] == [GOOD["id"]]


def unreadable_in(directory: Path) -> list[Row]:
    """The answers that were landed though they are no pages."""
    files = directory.glob("*.jsonl.zst")
    lines = [json.loads(line) for file in files for line in raw._whole_lines(file)]
    return [line for line in lines if "unreadable" in line]


# Rows: each case is a document, and what becomes of it beside a row that is as good as any.


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


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        (b'"a\xff\xfeb"', "a\ufffd\ufffdb", "invalid UTF-8 replaced"),
        (b'"cut \xe6\x95"', "cut \ufffd", "invalid UTF-8 replaced"),
        (rb'"lone \ud800 high"', "lone \ufffd high", "broken characters replaced"),
        (rb'"lone \udc00 low"', "lone \ufffd low", "broken characters replaced"),
        (rb'"pair \ud83d\ude00"', "pair \U0001f600", None),
        (b'"raw\nnewline\tand tab"', "raw\nnewline\tand tab", None),
        (rb'"nul \u0000"', "nul \x00", None),
        ('"right to left \u202e"'.encode(), "right to left \u202e", None),
        (rb'"said \"\\ud800\""', 'said "\\ud800"', None),
    ],
    ids=repr,
)
def test_broken_characters_are_replaced_and_the_document_that_had_them_is_kept_apart(
    text: bytes, name: str, reason: str | None
) -> None:
    page = b'{"total_count":2,"instances":[{"id":"DE-1","name":' + text + b'},{"id":"DE-2","name":"whole"}]}'
    found = flattened(page)
    assert {row["instance_id"]: row["name"] for row in found["instances"]} == {"DE-1": name, "DE-2": "whole"}
    due = [("DE-1", None, reason)] if reason else []
    assert [(row["instance_id"], row["field"], row["reason"]) for row in found["quarantine"]] == due


def test_a_byte_order_mark_says_nothing() -> None:
    assert flattened(b"\xef\xbb\xbf" + page_of(GOOD))["instances"] == flattened(page_of(GOOD))["instances"]


def test_of_two_rows_with_one_id_the_newer_counts_wherever_they_come(tmp_path: Path) -> None:
    def at(number: int, milliseconds: int, name: str) -> Row:
        return document(number, latest_update_timestamp=milliseconds, name=name)

    newer, older = 1760227200900, 1760227200800
    documents = [
        at(1, newer, "in one page, newer"),
        at(1, older, "in one page, older"),
        *(document(number) for number in range(2, 12)),
        at(2, newer, "over two pages, newer"),
        document(20, latest_update_timestamp="never", name="never"),
        at(20, older, "has a time"),
    ]
    lake = Lake(tmp_path / "lake")
    with Emulator.of_documents(documents) as service:
        found = swept(service, lake, limit=5)
    rows = views_of(lake, "instances", "instance_history", "quarantine")
    names = {row["instance_id"]: row["name"] for row in rows["instances"]}
    assert len(rows["instances"]) == len(rows["instance_history"]) == 12
    assert names[document(1)["id"]] == "in one page, newer"
    assert names[document(2)["id"]] == "over two pages, newer"
    assert names[document(20)["id"]] == "has a time"
    assert found.counts["instance_count"] == 12


def test_a_page_of_nothing_but_bad_rows_is_complete_and_next_to_it_good_ones_stand(tmp_path: Path) -> None:
    bad: list[Any] = [b"null", b'"x"', b"5", b"[]", b"{}", b"true"]
    lake = Lake(tmp_path / "lake")
    with Emulator.of_documents([*bad, *(document(n) for n in range(4))]) as service:
        environment = environment_for(service, lake.path, DEMETER_LIMIT="6")
        assert run(environment).exit_code in (0, 3)
        # Without ids nothing proves that two pages join; asked for at once, they need not.
        assert run(environment | {"DEMETER_LIMIT": "500"}).exit_code == 0
    rows = views_of(lake, "instances", "quarantine")
    assert {row["instance_id"] for row in rows["instances"]} == {document(n)["id"] for n in range(4)}
    assert {row["document"] for row in rows["quarantine"]} == {each.decode() for each in bad}


# Settings.


FULL = {
    "DEMETER_ENDPOINT": "https://modelarts.example.com",
    "DEMETER_PROJECT_ID": "0123456789abcdef",
    "DEMETER_TOKEN": "a-token",
}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DEMETER_ENDPOINT": ""}, "no endpoint is set: set DEMETER_ENDPOINT"),
        ({"DEMETER_PROJECT_ID": ""}, "no project_id is set: set DEMETER_PROJECT_ID"),
        ({"DEMETER_TOKEN": ""}, "no credentials: set DEMETER_TOKEN"),
        ({"DEMETER_TOKEN": "", "DEMETER_USER": "li"}, "no password is set: set DEMETER_PASSWORD"),
        (
            {"DEMETER_TOKEN": "", "DEMETER_USER": "li", "DEMETER_PASSWORD": "x", "DEMETER_DOMAIN": "d"},
            "no iam_endpoint is set",
        ),
        (
            {
                "DEMETER_TOKEN": "",
                "DEMETER_USER": "li",
                "DEMETER_PASSWORD": "x",
                "DEMETER_DOMAIN": "d",
                "DEMETER_IAM_ENDPOINT": "http://iam.example.com",
            },
            "iam_endpoint 'http://iam.example.com' would send credentials unencrypted",
        ),
        ({"DEMETER_TOKEN_FILE": "/nowhere/token"}, "DEMETER_TOKEN_FILE: the file cannot be read"),
        ({"DEMETER_TOKEN": "two\nlines"}, "the token has characters in it that no token has"),
        ({"DEMETER_TOKEN": "t→ken"}, "the token has characters in it that no token has"),
        ({"DEMETER_ENDPOINT": "modelarts.example.com"}, "endpoint 'modelarts.example.com' is not a URL"),
        ({"DEMETER_ENDPOINT": "ftp://example.com"}, "endpoint 'ftp://example.com' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://"}, "endpoint 'https://' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://[::1"}, "endpoint 'https://[::1' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://host:99999"}, "endpoint 'https://host:99999' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://li:secret@example.com"}, "endpoint may only hold a host and a path"),
        ({"DEMETER_ENDPOINT": "https://example.com/?token=x"}, "endpoint may only hold a host and a path"),
        (
            {"DEMETER_ENDPOINT": "http://modelarts.example.com"},
            "endpoint 'http://modelarts.example.com' would send credentials unencrypted: use https",
        ),
        (
            {"DEMETER_ENDPOINT": "http://127.0.0.1.example.com"},
            "endpoint 'http://127.0.0.1.example.com' would",
        ),
        ({"DEMETER_PROJECT_ID": "a/b"}, "project_id 'a/b' is not an id"),
        ({"DEMETER_PROJECT_ID": "../x"}, "project_id '../x' is not an id"),
        ({"DEMETER_PROJECT_ID": "a b"}, "project_id 'a b' is not an id"),
        ({"DEMETER_PROJECT_ID": "ü"}, "project_id 'ü' is not an id"),
        ({"DEMETER_PROJECT_ID": "x" * 65}, "project_id 'xxxx"),
        ({"DEMETER_LIMIT": "many"}, "the environment sets limit to 'many', which is not a number above 0"),
        ({"DEMETER_LIMIT": "0"}, "the environment sets limit to '0', which is not a number above 0"),
        ({"DEMETER_LIMIT": "-5"}, "the environment sets limit to '-5', which is not a number above 0"),
        ({"DEMETER_TIMEOUT_SECONDS": "nan"}, "the environment sets timeout_seconds to 'nan'"),
        ({"DEMETER_ALLOW_HTTP": "perhaps"}, "the environment sets allow_http to 'perhaps'"),
    ],
    ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_refused_in_one_line_before_anything_is_made(
    environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    result = run({**FULL, "DEMETER_LAKE": str(tmp_path / "lake"), **environment})
    assert one_line(result).startswith(said)
    assert result.exit_code == 2
    assert not (tmp_path / "lake").exists()


def test_http_goes_to_loopback_and_elsewhere_only_where_it_is_allowed() -> None:
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        check_url(f"http://{host}:80", "endpoint", allow_http=False)
    check_url("http://example.com", "endpoint", allow_http=True)
    for host in ("example.com", "localhost.example.com", "10.0.0.1", "[2001:db8::1]"):
        with pytest.raises(UsageError, match="unencrypted"):
            check_url(f"http://{host}", "endpoint", allow_http=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lake = ", "cannot be read as settings: Invalid value"),
        ("lake = 5", "sets lake to 5, which is not text"),
        ("limit = true", "sets limit to True, which is not a number above 0"),
        ('limit = "500 rows"', "sets limit to '500 rows', which is not a number above 0"),
        ("allow_http = 2", "sets allow_http to 2, which is not true or false"),
        ("colour = 'red'", "has an unknown setting 'colour'"),
        ("[sweep]\nlimit = 5", "has an unknown setting 'sweep'"),
        ("token = 'abc'", "holds the secret 'token': put it in DEMETER_TOKEN instead"),
        ("password = 'abc'", "holds the secret 'password': put it in DEMETER_PASSWORD instead"),
        (b"\xff\xfe", "cannot be read as settings"),
    ],
    ids=repr,
)
def test_a_malformed_settings_file_is_refused_in_one_line(
    text: str | bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "demeter.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run({**FULL, "DEMETER_LAKE": str(tmp_path / "lake")}, "--settings", str(file))
    assert result.exit_code == 2
    assert one_line(result).startswith(f"{file} {said}")
    assert "abc" not in result.output


def test_a_settings_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = run(FULL, "--settings", str(tmp_path / "none.toml"))
    assert (result.exit_code, one_line(result)[:26]) == (2, "there is no settings file ")


# Lakes.


def spoil_as_file(path: Path) -> None:
    path.write_text("not a lake")


def spoil_under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("not a directory")


def spoil_by_version(path: Path) -> None:
    path.mkdir()
    (path / "demeter.json").write_text('{"version": 999}')


def spoil_by_marker(path: Path) -> None:
    path.mkdir()
    (path / "demeter.json").write_text("{")


def spoil_by_table(path: Path) -> None:
    (path / "tables").mkdir(parents=True)
    (path / "tables" / "instances").write_text("not a table")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_as_file, "is a file: give a directory with DEMETER_LAKE"),
        (spoil_under_a_file, "cannot be written"),
        (spoil_by_version, "is of version 999 and this demeter knows 1: upgrade demeter"),
        (spoil_by_marker, "is not readable: restore it, or give another lake"),
        (spoil_by_table, "cannot be written"),
    ],
)
def test_a_lake_that_cannot_be_one_is_refused_before_anything_is_asked_for(
    spoil: Callable[[Path], None], said: str, service: Emulator, tmp_path: Path
) -> None:
    lake = tmp_path / "directory" / "lake"
    lake.parent.mkdir()
    spoil(lake)
    environment = environment_for(service, lake)
    service.requests.clear()
    result = run(environment)
    assert result.exit_code == 2
    assert said in one_line(result)
    assert not service.requests
