"""Documents become typed rows, and nothing that they say is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import Row, document, flattened, page_of

from etl import columns
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
