"""Plain documents, read in one pass, give the very rows that the SQL for all documents gives."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import OBSERVED_AT, Row, document, page_of

from bench.kept import FULL, PLACES, put, spread
from etl import kinds, plain
from etl.dictionary import kept
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.flatten import Staging, relations
from etl.page import HELD_BYTES, Page, faithful, read_page
from etl.raw import RawPage

VALUES = (
    *(
        None,
        "",
        0,
        7,
        -3,
        2**63 - 1,
        2**63,
        -(2**63),
        True,
        False,
        1.5,
        "true",
        "x",
        "5",
        "007",
        "12.0",
        "-5",
    ),
    *("1760227200000", 1760227200000, 10**11 - 1, 10**14, "1.5GiB", "12 MB", "0.0000005KB", "9999999TiB"),
    *([], {}, [[1]], ["b", "a", "b", ""], ["x", None], [1], {"a": ""}, {"a": None}, {"id": "q"}, {"id": ""}),
    *({"a": 1, "b.c": True, "d/e~": "z"}, {"name": "n"}, {"x": {"y": [1, {"z": "\u2028"}]}}),
    [{"type": "evs", "location": {"path": "/p", "volume_size": "5"}}, {}],
    [{"type": "evs", "new": 1}],
    {"params": {"CPU": "8", "memory": "16GiB"}, "name": "f"},
    *("\u00e9\u4e2d", "a\x00b", "a\x07b", 'q"uo\\te', "\x7f", "a" * 300),
)
KEYS = (None, None, None, "new", "new.key", 'qu"ote', "", "\u00e9", "x/y~z", "ctrl\x01")
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=4
)


def ordinary() -> Row:
    """A full document that is plain."""
    full: Row = copy.deepcopy(FULL)
    _calm(full)
    full["flavor_details"]["is_permitted"] = True
    full["spec"]["auto_stop"]["prompt"] = True
    full["queuing_info"] = {"id": "DE-q", "rank": 3, "begin_timestamp": "1760227200123"}
    full["queuing_info"]["flavor_details"] = copy.deepcopy(full["flavor_details"])
    full["spec"]["failed_reasons"] = {"code": "X.1", "message": "m", "detail": {"a": "b"}}
    full["profile"]["labels"].pop("nested")
    full["spec"]["extend_storage"][1].pop("shared")
    return full


def _calm(value: Any) -> None:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(inner, dict | list):
            _calm(inner)
        elif isinstance(inner, float) or (isinstance(inner, int) and inner > 2**63):
            value[key] = 7


@pytest.fixture(scope="module")
def staging() -> Iterator[Staging]:
    found = Staging()
    relations(found.connection)
    yield found
    found.connection.close()


def rows_of(staging: Staging, page: Page) -> dict[str, Counter[str]]:
    """The rows of every tidy relation, and of the documents, by what they say."""
    staging.clear()
    staging._next_id = 1
    staging.add([RawPage(3, 1, page)])
    staging.settle()
    spread(staging.connection)
    names = [f"tidy_{table.name}" for table in kept()]
    found = {name: staging.connection.sql(f"from {name}").fetchall() for name in names}
    found["documents"] = staging.connection.sql(
        "select * exclude (parts), len(parts) from documents"
    ).fetchall()
    return {name: Counter(map(repr, rows)) for name, rows in found.items()}


def both_ways(
    staging: Staging, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """The rows of a page, and those that the SQL alone makes of it."""
    page = read_page(body, OBSERVED_AT, staging.connection)
    found = rows_of(staging, page)
    with monkeypatch.context() as patch:
        patch.setattr(plain.Reader, "add", lambda *_: False)
        return found, rows_of(staging, page)


def test_an_ordinary_document_is_plain_and_a_fleet_of_them_is() -> None:
    assert plain.Reader().add(ordinary(), (1, 0, 1, OBSERVED_AT))
    fleet = Fleet(FleetSettings(instances=50, seed=3, days=20, repository_share=0.5))
    project = "a" * 32
    with Emulator(clock=Clock.at("2026-10-12T00:00:00Z"), fleets={project: fleet}) as service:
        texts = service.documents_of(project)
    assert len(texts) > 20
    for text in texts:
        assert plain.Reader().add(orjson.loads(text), (1, 0, 1, OBSERVED_AT)), text


@settings(max_examples=20)
@given(changes=st.lists(CHANGES, min_size=1, max_size=4))
def test_both_ways_lead_to_the_same_rows(changes: list[Any], staging: Staging) -> None:
    documents = []
    for number, each in enumerate(changes):
        own = ordinary() | {"id": f"DE-{number}"}
        for place, beside, value in each:
            put(own, place.split("."), beside, copy.deepcopy(value))
        documents.append(own)
    body = json.dumps({"instances": documents, "total_count": 1}, ensure_ascii=False, separators=(",", ":"))
    with pytest.MonkeyPatch.context() as patch:
        found, by_sql = both_ways(staging, body.encode(), patch)
    assert found == by_sql


def test_a_page_that_cannot_be_read_without_loss_is_left_to_the_sql(staging: Staging) -> None:
    def read(text: str) -> Any:
        return faithful(text.encode(), staging.connection)

    assert read('{"a":1,"b":[1.5,"x"]}') == {"a": 1, "b": [1.5, "x"]}
    assert read(' {"a": 1, "\\u0062": ["\\/"]}\n') == {"a": 1, "b": ["/"]}
    assert read('{"a":1,"a":1}') is None
    assert read('{"a": {"b": 1, "b": 2}}') is None
    assert read('{"a":18446744073709551616}') is None
    assert read('{"a":"\\ud800"}') is None
    assert read("[" * 2000 + "]" * 2000) is None
    assert read('{"a":1') is None
    assert read('"' + "x" * HELD_BYTES + '"') is None


@given(st.from_regex(r"[0-9]{1,10}(\.[0-9]{1,7})? ?[kKmMgGtT]?i?[bB]", fullmatch=True))
def test_a_size_is_as_many_bytes_as_the_sql_says(staging: Staging, text: str) -> None:
    [(expected,)] = staging.connection.execute("select bytes_of($1)", [text]).fetchall()
    with suppress(kinds.Odd):  # the SQL says what becomes of it
        assert kinds.size(text) == expected


def test_a_part_is_read_once_and_stands_for_each_document_that_has_it(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [ordinary() | {"id": f"DE-{number}"} for number in range(5)]
    monkeypatch.setattr(plain, "PARTS_HELD", 1)
    found, by_sql = both_ways(staging, orjson.dumps({"instances": documents, "total_count": 5}), monkeypatch)
    assert found == by_sql
    assert found["tidy_profiles"].total() == 5


def test_odd_and_plain_documents_of_a_page_keep_their_order(staging: Staging) -> None:
    rows = [document(number, **({"name": 1.5} if number % 2 else {})) for number in range(4)]
    staging.clear()
    staging._next_id = 1
    staging.add([RawPage(0, 1, read_page(page_of(*rows), OBSERVED_AT, staging.connection))])
    staging.settle()
    found = staging.connection.sql("select document_id, instance_id from documents order by 1").fetchall()
    assert found == [(number + 1, row["id"]) for number, row in enumerate(rows)]
