"""A result looks as its reader needs it, and no value in it can do more than be read."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from etl.errors import UsageError
from etl.render import FORMATS, LONGEST_CELL, render, write

EIGHT_FIFTEEN = datetime(2026, 10, 12, 8, 15, tzinfo=UTC)
UNSEEN = ["\x00", "\t", "\n", "\r", "\x1b[31m", "\x7f", "\x85", "\x9b2J", "\u2028", "\u202e", "\u2066"]
FLEET = pa.table(
    {
        "name": ["trainer", None],
        "hours": [12, None],
        "cost": pa.array([Decimal("10.50"), None], pa.decimal128(18, 2)),
        "share": [0.1 + 0.2, float("nan")],
        "is_complete": [True, False],
        "seen_at": pa.array([EIGHT_FIFTEEN, None], pa.timestamp("us", "UTC")),
        "day": [date(2026, 10, 12), None],
    }
)


def rendered(table: pa.Table, format: str, **options: Any) -> str:
    return b"".join(render(table, format, **options)).decode()


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_table_is_aligned_for_people():
    assert rendered(FLEET, "table") == (
        "name       hours    cost    share  is_complete    seen_at               day\n"
        "-------  -------  ------  -------  -------------  --------------------  ----------\n"
        "trainer       12   10.50      0.3  yes            2026-10-12 08:15:00Z  2026-10-12\n"
        "                                   no\n"
        "(2 rows)\n"
    )


def test_markdown_is_a_table_with_numbers_to_the_right():
    assert rendered(FLEET, "md") == (
        "| name | hours | cost | share | is_complete | seen_at | day |\n"
        "| --- | ---: | ---: | ---: | --- | --- | --- |\n"
        "| trainer | 12 | 10.50 | 0.3 | yes | 2026-10-12 08:15:00Z | 2026-10-12 |\n"
        "|  |  |  |  | no |  |  |\n"
    )


def test_csv_is_exact_and_as_its_standard_says():
    assert rendered(FLEET, "csv") == (
        "name,hours,cost,share,is_complete,seen_at,day\r\n"
        "trainer,12,10.50,0.30000000000000004,true,2026-10-12T08:15:00Z,2026-10-12\r\n"
        ",,,,false,,\r\n"
    )


def test_json_is_an_array_with_a_row_a_line():
    assert rendered(FLEET, "json") == (
        "[\n"
        '{"name":"trainer","hours":12,"cost":10.50,"share":0.30000000000000004,"is_complete":true,'
        '"seen_at":"2026-10-12T08:15:00Z","day":"2026-10-12"},\n'
        '{"name":null,"hours":null,"cost":null,"share":null,"is_complete":false,'
        '"seen_at":null,"day":null}\n'
        "]\n"
    )


def test_parquet_is_the_result_itself(tmp_path):
    table = FLEET.drop_columns(["share"])
    write(table, "parquet", tmp_path / "fleet.parquet")
    assert pq.read_table(tmp_path / "fleet.parquet").equals(table)


def test_times_are_shown_in_the_zone_asked_for_and_exported_in_utc():
    table = FLEET.select(["seen_at"]).slice(0, 1)
    zone = ZoneInfo("Asia/Shanghai")
    assert "2026-10-12 16:15:00+08:00\n" in rendered(table, "table", zone=zone)
    assert "| 2026-10-12 16:15:00+08:00 |" in rendered(table, "md", zone=zone)
    assert cells(rendered(table, "csv", zone=zone))[1] == ["2026-10-12T08:15:00Z"]
    assert json.loads(rendered(table, "json", zone=zone)) == [{"seen_at": "2026-10-12T08:15:00Z"}]


@pytest.fixture
def elsewhere(monkeypatch):
    """Let the machine be in a zone that is not UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"])
def test_a_time_is_the_same_instant_in_whatever_unit_and_zone_it_was_stored(unit, zone, elsewhere):
    when = EIGHT_FIFTEEN if zone else EIGHT_FIFTEEN.replace(tzinfo=None)
    table = pa.table({"at": pa.array([when], pa.timestamp(unit, zone))})
    assert cells(rendered(table, "csv")) == [["at"], ["2026-10-12T08:15:00Z"]]


def test_numbers_beyond_what_a_double_holds_stay_exact():
    table = pa.table(
        {
            "big": pa.array([2**63 - 1]),
            "bigger": pa.array([Decimal(10**37 + 1)], pa.decimal128(38, 0)),
            "cost": pa.array([Decimal("123456789012345678.123456789")], pa.decimal128(38, 9)),
            "inside": pa.array([[Decimal("0.10")]], pa.list_(pa.decimal128(18, 2))),
        }
    )
    numbers = ["9223372036854775807", "1" + "0" * 36 + "1", "123456789012345678.123456789"]
    row = json.loads(rendered(table, "json"), parse_int=str, parse_float=str)[0]
    assert row == dict(zip(table.column_names, [*numbers, ["0.10"]], strict=True))
    assert cells(rendered(table, "csv"))[1] == [*numbers, "[0.10]"]
    assert rendered(table, "table").splitlines()[2].split() == [*numbers, "[0.10]"]


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_result_still_has_its_columns(format):
    contents = b"".join(render(FLEET.slice(0, 0), format))
    if format == "json":
        assert contents == b"[]\n"
        return
    if format == "xlsx":
        contents = zipfile.ZipFile(io.BytesIO(contents)).read("xl/sharedStrings.xml")
    assert all(name.encode() in contents for name in FLEET.column_names)


@pytest.mark.parametrize(("count", "footer"), [(0, "(0 rows)"), (1, "(1 row)"), (2, "(2 rows)")])
def test_a_table_says_how_many_rows_it_has(count, footer):
    lines = rendered(pa.table({"n": pa.array([None] * count, pa.int64())}), "table").splitlines()
    assert [len(lines), lines[-1]] == [count + 3, footer]


@pytest.mark.parametrize("format", ["table", "md"])
@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_is_not_seen_is_shown_as_an_escape(format, unseen):
    text = rendered(pa.table({f"a{unseen}b": [f"c{unseen}d"]}), format)
    assert all(letter not in text.replace("\n", "") for letter in unseen[:1] if letter != "\n")
    assert len(text.splitlines()) == (4 if format == "table" else 3)
    assert all(sign in text for sign in ("a", "b", "c", "d"))


def test_an_escape_tells_which_character_it_was():
    table = pa.table({"x": ["\x1b\u202e\n"]})
    assert rendered(table, "table").splitlines()[2] == r"\x1b\u202e\n"
    assert rendered(table, "md").splitlines()[2] == r"| \\x1b\\u202e<br> |"


@given(st.text())
def test_csv_json_and_parquet_keep_every_text(text):
    text = text.encode("utf-8", "ignore").decode()
    table = pa.table({"x": pa.array([text, "z"], pa.string())})
    shown = "'" + text if text[:1] in tuple("=+-@\t\r") else text
    assert cells(rendered(table, "csv"))[1:] == [[shown], ["z"]]
    assert json.loads(rendered(table, "json")) == [{"x": text}, {"x": "z"}]
    assert pq.read_table(io.BytesIO(b"".join(render(table, "parquet")))).equals(table)


@pytest.mark.parametrize("unseen", UNSEEN)
def test_json_sends_no_command_to_a_terminal(unseen):
    text = rendered(pa.table({"x": [unseen]}), "json")
    assert unseen not in text.removeprefix("[\n").removesuffix("\n]\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_is_no_formula_and_a_number_stays_one(start):
    table = pa.table({f"{start}1": [f"{start}2", "a=b"], "n": [-5, 3]})
    assert cells(rendered(table, "csv")) == [
        [f"'{start}1", "n"],
        [f"'{start}2", "-5"],
        ["a=b", "3"],
    ]


def test_markdown_shows_a_text_as_it_is():
    table = pa.table({"a|b": ["<script>x</script>&amp;", "[x](http://h) *y* `z` _w_", "run_at\\|"]})
    assert rendered(table, "md").splitlines() == [
        r"| a\|b |",
        "| --- |",
        "| &lt;script&gt;x&lt;/script&gt;&amp;amp; |",
        r"| \[x\](http://h) \*y\* \`z\` \_w\_ |",
        r"| run_at\\\| |",
    ]


def test_wide_characters_are_aligned():
    table = pa.table({"name": ["训练任务", "e\u0301", "abc"], "n": [1, 20, 300]})
    lines = rendered(table, "table").splitlines()[:-1]
    assert {wcswidth(line) for line in lines} == {13}


def test_a_long_cell_is_cut_in_a_table_only():
    table = pa.table({"x": ["y" * 10_000]})
    assert rendered(table, "table").splitlines()[2] == "y" * (LONGEST_CELL - 1) + "…"
    assert all("y" * 10_000 in rendered(table, format) for format in ("md", "csv", "json"))


def test_columns_of_one_name_are_all_there():
    table = pa.table([[1], [2], [3]], names=["a", "a_2", "a"])
    assert json.loads(rendered(table, "json")) == [{"a": 1, "a_2": 2, "a_3": 3}]


def test_values_of_other_types_are_text_and_json():
    table = pa.table(
        {
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "object": [{"at": EIGHT_FIFTEEN, "none": None}],
            "bytes": [b"\x00\xff"],
            "category": pa.array(["=x"]).dictionary_encode(),
        }
    )
    assert cells(rendered(table, "csv"))[1] == [
        '[["k",1]]',
        '{"at":"2026-10-12T08:15:00Z","none":null}',
        "00ff",
        "'=x",
    ]


def test_a_long_result_is_whole():
    table = pa.table({"n": range(25_000), "text": [f"row {n}" for n in range(25_000)]})
    assert [int(row[0]) for row in cells(rendered(table, "csv"))[1:]] == list(range(25_000))
    assert [row["n"] for row in json.loads(rendered(table, "json"))] == list(range(25_000))


# Where it goes


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_holds_what_standard_output_would(format, tmp_path, capfdbinary):
    write(FLEET, format, tmp_path / "out")
    write(FLEET, format)
    assert (tmp_path / "out").read_bytes() == capfdbinary.readouterr().out
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("old")

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("etl.render.json_text", fail)
    with pytest.raises(ZeroDivisionError):
        write(FLEET, "json", tmp_path / "out")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out": "old"}


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(FLEET, "json", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(json.loads((tmp_path / "real").read_text())) == 2


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(FLEET, "json", tmp_path / "pipe")
        assert len(json.loads(os.read(reader, 65_536))) == 2
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    for output in (tmp_path / "none" / "out", tmp_path):
        with pytest.raises(UsageError, match=f"cannot write {output}: .*-o"):
            write(FLEET, "csv", output)


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"'yaml'.*table, csv, json, md, html, xlsx, parquet"):
        write(FLEET, "yaml")


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_parquet_is_not_sent_to_a_terminal(monkeypatch):
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(screen))
    with pytest.raises(UsageError, match="-o FILE"):
        write(FLEET, "parquet")
    assert screen.getvalue() == b""


def test_a_text_stream_in_the_place_of_standard_output_will_do(monkeypatch):
    page = io.StringIO()
    monkeypatch.setattr(sys, "stdout", page)
    write(FLEET, "csv")
    assert len(cells(page.getvalue())) == 3
    with pytest.raises(UsageError, match="-o FILE"):
        write(FLEET, "parquet")


def test_to_know_the_formats_loads_nothing_heavy():
    code = "import sys, etl.render; sys.exit('pyarrow' in sys.modules or 'tabulate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0  # noqa: S603
