"""Documents become typed rows, and nothing that they say is lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Row, document, flattened, page_of

from etl import columns
from etl.dictionary import kept, maps
from etl.emulator import Clock, Emulator, Fleet, FleetSettings

FULL = json.loads((Path(__file__).with_name("golden") / "full" / "page.json").read_bytes())["instances"][0]


@pytest.fixture(scope="module")
def macros() -> duckdb.DuckDBPyConnection:
    """The functions that read values."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(columns.MACROS)
    return connection


def read(macros: duckdb.DuckDBPyConnection, kind: str, value: str) -> Any:
    (found,) = macros.execute(f"select {kind}_of($1)", [value]).fetchone() or (None,)
    return found


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("3600", 3600),
        ("-1", -1),
        ("0", 0),
        ("3600.0", 3600),
        ("3600.", 3600),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", None),
        ("3600.5", None),
        ("1e3", None),
        ("0x10", None),
        (" 1", None),
        ("1 h", None),
        ("true", None),
        ("NaN", None),
        ("١", None),
        ("1\n", None),
        ("", None),
    ],
)
def test_a_whole_number_is_read_as_text_or_number_and_nothing_else_is(
    macros: duckdb.DuckDBPyConnection, value: str, number: int | None
) -> None:
    assert read(macros, "integer", value) == number


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("96GiB", 96 * 2**30),
        ("96 GiB", 96 * 2**30),
        ("96gib", 96 * 2**30),
        ("1.5GB", 1_500_000_000),
        ("32KiB", 32 * 1024),
        ("1TiB", 2**40),
        ("0.5TB", 500_000_000_000),
        ("7B", 7),
        ("96", None),
        ("lots", None),
        ("GiB", None),
        ("-1GiB", None),
        ("1.5.2GB", None),
        ("96GiB each", None),
        ("96PiB", None),
        ("9999999999TiB", None),
        ("1e3GB", None),
    ],
)
def test_a_size_has_a_unit_or_is_not_read(
    macros: duckdb.DuckDBPyConnection, value: str, size: int | None
) -> None:
    assert read(macros, "bytes", value) == size


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("1760227200123", datetime(2025, 10, 12, 0, 0, 0, 123000, tzinfo=UTC)),
        ("1760227200123.0", datetime(2025, 10, 12, 0, 0, 0, 123000, tzinfo=UTC)),
        ("999999999999", datetime(2001, 9, 9, 1, 46, 39, 999000, tzinfo=UTC)),
        ("1760227200", None),  # seconds would be a day of January 1970
        ("0", None),
        ("-1760227200123", None),
        ("3093527980800000", None),  # the year 99999
        ("2025-10-12T00:00:00Z", None),
        ("1760227200123.5", None),
    ],
)
def test_a_time_is_in_milliseconds_or_is_not_read(
    macros: duckdb.DuckDBPyConnection, value: str, instant: datetime | None
) -> None:
    assert read(macros, "timestamp_ms", value) == instant


@pytest.mark.parametrize(
    ("value", "flag"),
    [("true", True), ("false", False), ("True", True), ("FALSE", False), ("1", None), ("yes", None)],
)
def test_a_flag_is_true_or_false_and_nothing_else(
    macros: duckdb.DuckDBPyConnection, value: str, flag: bool | None
) -> None:
    assert read(macros, "boolean", value) is flag


@pytest.mark.parametrize(
    ("value", "joined"),
    [
        ('["obs","efs"]', "efs,obs"),
        ('["obs","obs",null]', "obs"),
        ("[1]", "1"),
        ("[]", None),
        ('[["obs"]]', None),
        ('[{"a":1}]', None),
        ('"obs"', None),
        ("{}", None),
    ],
)
def test_a_list_of_texts_is_sorted_and_joined_and_other_lists_are_not_read(
    macros: duckdb.DuckDBPyConnection, value: str, joined: str | None
) -> None:
    assert read(macros, "list", value) == joined


def test_null_and_empty_text_and_a_missing_key_all_mean_null() -> None:
    missing = flattened(page_of({"id": "DE-1"}))
    null = {name: None for name in FULL if name != "id"}
    deep = {"profile": {"id": None, "labels": {}, "provision": {"spec": None}}, "spec": {"auto_stop": {}}}
    empty = {
        "name": "",
        "creation_timestamp": "",
        "pool": {"id": "", "name": ""},
        "spec": {
            "auto_stop": {"enable": "", "duration": ""},
            "extend_storage": [],
            "annotations": {"url": ""},
        },
        "unknown": "",
    }
    for said in (null, deep, empty):
        assert flattened(page_of({"id": "DE-1", **said})) == missing
    assert {name for name, rows in missing.items() if rows} == {"instances"}


def test_flattening_does_not_depend_on_how_pages_come_together() -> None:
    with Emulator(
        Fleet(FleetSettings(instances=60, seed=3)), clock=Clock.at("2026-10-12T00:00:00Z")
    ) as service:
        bodies = service.documents
    pages = [page_of(*map(json.loads, bodies[first : first + 20])) for first in (0, 20, 40)]
    one, several = flattened(*pages), flattened(*pages, batches=True)
    assert len(one["instances"]) == 60
    for name, rows in one.items():
        assert in_any_order(rows) == in_any_order(several[name]), name


def test_objects_in_a_list_are_judged_as_documents_are() -> None:
    volumes = [
        7,
        None,
        {"type": {"a": 1}, "speed": 3, "location": {"path": "/x", "volume_size": "big", "zone": 1}},
        {"type": "evs", "location": {"volume_size": 5.0}},
        {},
        {"location": "/y"},
    ]
    found = flattened(page_of(document(spec={"extend_storage": volumes})))
    assert [(row["volume"], row["type"], row["path"], row["size"]) for row in found["storage"]] == [
        (3, None, "/x", None),
        (4, "evs", None, 5),
    ]
    base = "spec.extend_storage"
    assert {(row["path"], row["value"]) for row in found["extras"]} == {
        (f"{base}.2.speed", "3"),
        (f"{base}.2.location.zone", "1"),
    }
    assert {(row["field"], row["reason"], row["document"]) for row in found["quarantine"]} == {
        (f"{base}.0", "not an object", "7"),
        (f"{base}.2.type", "not text", '{"a":1}'),
        (f"{base}.2.location.volume_size", "not a whole number", '"big"'),
        (f"{base}.5.location", "not an object", '"/y"'),
    }


@pytest.mark.parametrize(
    "said",
    [
        {"profile": {"name": "x"}},
        {"profile": {"labels": {"a": "b"}}},
        {"profile": {"provision": {"spec": {"params": {"image_name": "x"}}}}},
        {"flavor_details": {"promo_type": "Free"}},
        {"flavor_details": {"params": {"CPU": 1}}},
        {"queuing_info": {"flavor_details": {"queuing_num": 3}}},
        {"pool": {"owner": {"project_id": "x"}}},
        {"user": {"name": "li"}},
        {"repository": {"connection_info": {"url": "https://example.com"}}},
    ],
    ids=lambda said: json.dumps(said),
)
def test_an_object_that_does_not_say_what_it_is_goes_to_quarantine(said: Row) -> None:
    found = flattened(page_of({"id": "DE-1", **said}))
    (name,) = said
    field = f"{name}.flavor_details" if name == "queuing_info" else name
    value = said[name]["flavor_details"] if name == "queuing_info" else said[name]
    assert [(row["field"], row["reason"], json.loads(row["document"])) for row in found["quarantine"]] == [
        (field, "no usable id", value)
    ]
    assert {table for table, rows in found.items() if rows} == {"instances", "quarantine"}


def in_any_order(rows: list[Row]) -> list[str]:
    return sorted(
        json.dumps({**row, "document_id": 0, "page": 0}, default=str, sort_keys=True) for row in rows
    )


# The claim that holds for any document: what it says is in a column, in attributes, in extras or in
# quarantine. The documents are a full one with anything put anywhere.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "0", "12", "1760227200123", "3600.0", "true", "null", "5GiB", "[]", "{}", '""']),
    st.text(max_size=8),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
LIST = "spec.extend_storage"
# Of the columns that have the same field, the first: that of `instances`.
FIELDS = {leaf.pointer[1:].replace("/", "."): leaf for leaf in reversed(columns.leaves())}
ITEM_FIELDS = {leaf.pointer[1:].replace("/", "."): leaf for leaf in columns.item_leaves(LIST)}
KINDS_OF_MAPS = {each.field: (each.owner_kind, each.name) for each in maps()}
MAPS = {
    path: KINDS_OF_MAPS[path.removeprefix("queuing_info.")]
    if path not in KINDS_OF_MAPS
    else KINDS_OF_MAPS[path]
    for path in columns.map_paths()
}
OBJECTS = [path for path in columns.document_form().objects if path]
PLACES = sorted(
    {*FIELDS, *MAPS, *OBJECTS, LIST, f"{LIST}.0", *(f"{LIST}.1.{path}" for path in ITEM_FIELDS)} - {"id"}
)


# What is put where: in the place of the value that is there, or beside what its object has.
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.none() | st.text(max_size=4), ANYTHING), min_size=1, max_size=5
)


def changed(changes: list[tuple[str, str | None, Any]]) -> Row:
    """A full document with these changes."""
    full: Row = copy.deepcopy(FULL)
    for place, beside, value in changes:
        put(full, place.split("."), beside, value)
    return full


def put(holder: Any, path: list[str], beside: str | None, value: Any) -> None:
    """Replace the value at a path, or add a key to the object there; nothing where no path leads."""
    first, *rest = path
    name: Any = int(first) if isinstance(holder, list) and first.isdecimal() else first
    if isinstance(holder, list) and not (isinstance(name, int) and name < len(holder)):
        return
    if not isinstance(holder, dict | list):
        return
    if rest:
        if isinstance(holder, dict):
            holder.setdefault(name, {})
        put(holder[name], rest, beside, value)
    elif beside is not None and isinstance(holder, dict) and isinstance(holder.get(name), dict):
        holder[name][beside] = value
    else:
        holder[name] = value


@dataclass
class Kept:
    """What the tables have of one document."""

    rows: dict[str, list[Row]]

    def has_aside(self, path: str, value: Any) -> bool:
        """Whether the value is in quarantine, as it came."""
        return any(
            row["field"] == path and same(json.loads(row["document"]), value)
            for row in self.rows["quarantine"]
        )

    def has_extra(self, path: str, value: Any) -> bool:
        return any(
            row["path"] == path and same(json.loads(row["value"]), value) for row in self.rows["extras"]
        )

    def has_cell(self, leaf: columns.Leaf, value: Any, volume: int) -> bool:
        """Whether the column of the field has the value."""
        return any(
            says(row[leaf.column.name], leaf.column.type, value)
            for row in self.rows[leaf.table.name]
            if row.get("volume", volume) == volume
        )

    def has_attribute(self, kind: tuple[str, str], key: str, value: Any) -> bool:
        return any(
            (row["owner_kind"], row["map"], row["key"]) == (*kind, key) and says(row["value"], "text", value)
            for row in self.rows["attributes"]
        )


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True) or (
        isinstance(one, float) and one == other
    )


def says(cell: Any, kind: str, value: Any) -> bool:
    """Whether a cell of a kind of column says what a JSON value says."""
    if cell is None:
        return False
    if kind == "text":
        return cell == value if isinstance(value, str) else same(json.loads(cell), value)
    if kind == "boolean":
        return bool(cell) is (
            value if isinstance(value, bool) else {"true": True, "false": False}[value.lower()]
        )
    if kind == "timestamp_ms":
        return round(cell.timestamp() * 1000) == int(float(value))
    if kind == "list":
        texts = [each for each in value if isinstance(each, str)]
        return all(each in cell for each in texts)
    if kind == "bytes":
        return isinstance(value, str)
    return bool(cell == int(value if isinstance(value, int) else str(value).partition(".")[0]))


def lost(value: Any, path: str, kept: Kept) -> Iterator[str]:
    """The places under an object at a path whose value is kept nowhere."""
    for key, inner in value.items():
        place = f"{path}.{key}" if path else key
        known = "." not in key and place in (*PLACES, "id")
        if inner in (None, "") or kept.has_aside(place, inner):
            continue
        if known and place in FIELDS:
            if inner != [] and not kept.has_cell(FIELDS[place], inner, 0):
                yield place
        elif known and place in MAPS and isinstance(inner, dict):
            for name, each in inner.items():
                aside = kept.has_aside(f"{place}.{name}", each)
                if each not in (None, "") and not aside and not kept.has_attribute(MAPS[place], name, each):
                    yield f"{place} {name}"
        elif known and place == LIST and isinstance(inner, list):
            yield from lost_items(inner, kept)
        elif known and place in OBJECTS and isinstance(inner, dict):
            yield from lost(inner, place, kept)
        elif known or not kept.has_extra(joined(path, key), inner):
            yield place


def lost_items(items: list[Any], kept: Kept) -> Iterator[str]:
    for position, item in enumerate(items):
        if item in (None, "") or kept.has_aside(f"{LIST}.{position}", item):
            continue
        yield from lost_in_item(item, "", position, kept)


def lost_in_item(value: Row, path: str, position: int, kept: Kept) -> Iterator[str]:
    for key, inner in value.items():
        inside = f"{path}.{key}" if path else key
        place = f"{LIST}.{position}.{inside}"
        if inner in (None, "") or kept.has_aside(place, inner):
            continue
        if "." not in key and inside == "location" and isinstance(inner, dict):
            yield from lost_in_item(inner, inside, position, kept)
        elif "." not in key and inside in ITEM_FIELDS:
            if inner != [] and not kept.has_cell(ITEM_FIELDS[inside], inner, position + 1):
                yield place
        elif not kept.has_extra(joined(f"{LIST}.{position}{'.' + path if path else ''}", key), inner):
            yield place


def joined(path: str, key: str) -> str:
    """The path of an unknown key: quoted where it could be taken for several."""
    shown = key if key and "." not in key and '"' not in key else json.dumps(key, ensure_ascii=False)
    return f"{path}.{shown}" if path else shown


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(CHANGES, min_size=15, max_size=15))
def test_whatever_a_document_says_is_kept_somewhere(changes: list[list[tuple[str, str | None, Any]]]) -> None:
    sent = [{**changed(each), "id": f"DE-{number}"} for number, each in enumerate(changes)]
    found = flattened(page_of(*sent))
    owners = {row["document_id"]: row["instance_id"] for row in found["instances"]}
    assert sorted(owners.values()) == sorted(each["id"] for each in sent)
    missing = []
    for each in sent:
        mine = {
            table.name: [row for row in found[table.name] if owners[row["document_id"]] == each["id"]]
            for table in kept()
        }
        missing += lost(each, "", Kept(mine))
    assert missing == []
