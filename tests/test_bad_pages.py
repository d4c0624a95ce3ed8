"""An answer that is no page, or half a page, says what it is, and the next sweep succeeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import (
    OBSERVED_AT,
    Row,
    document,
    environment_for,
    flattened,
    one_line,
    page_of,
    run,
    swept,
    views_of,
)

from etl import raw
from etl.directory import Directory
from etl.emulator import Emulator
from etl.lake import Lake
from etl.page import BadPage, read_page
from etl.places import Place

GOOD = document(1)


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
        # DuckDB's message about it ends inside a character, and is no text.
        (b"<h]\x01\x00tml>>502" + b"\xcc" * 17 + b" Beway>", "the answer is not JSON: it begins '<h]"),
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
    assert {row["instance_id"] for row in flattened(page_of(*rows))["instances"]} == {"5", "a"}
    assert len(flattened(page_of(*rows))["instances"]) == 2


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([GOOD]) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>Bad Gateway</html>", "is not JSON"),
        (b'{"total_count":1}', "has no list of instances"),
        (json.dumps({"instances": [GOOD]}).encode(), "total_count is None"),
    ],
    ids=["html", "no-instances", "no-total"],
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
    (directory,) = (lake.path / "raw" / service.project_id).iterdir()
    (kept,) = unreadable_in(directory)
    assert reason in kept["unreadable"]
    assert kept["text"].encode() == body
    assert run(environment).exit_code == 0
    found = views_of(lake, "sweeps", "instances")
    assert sorted(row["verdict"] for row in found["sweeps"]) == ["complete", "failed"]
    assert [row["instance_id"] for row in found["instances"]] == [GOOD["id"]]


def unreadable_in(directory: Path) -> list[Row]:
    """The answers that were landed though they are no pages."""
    files = Place(Directory(directory)).files()
    lines = [
        json.loads(line)
        for file in files
        if raw.SLICE.fullmatch(file.name)
        for line in raw._whole_lines(file)
    ]
    return [line for line in lines if "unreadable" in line]


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
