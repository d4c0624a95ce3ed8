"""A workbook holds what it was given as what it is, and nothing in it is calculated."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from bench.hostile import NUMBERS, TEXTS
from etl import edition, reports, spreadsheet, workbook
from etl.errors import UsageError
from etl.lake import Lake
from etl.reports import Asked
from etl.values import visible
from etl.workbook import Chart, Sheet

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def parts(contents: bytes) -> dict[str, str]:
    """The XML files of a workbook, by name."""
    with zipfile.ZipFile(io.BytesIO(contents)) as book:
        return {name: book.read(name).decode() for name in book.namelist()}


def cells(contents: bytes, number: int = 1) -> list[list[Any]]:
    """The values of a sheet: numbers, truth values and texts, with None for what is empty."""
    found = parts(contents)
    strings = [
        "".join(text.text or "" for text in item.iter(f"{MAIN}t"))
        for item in ElementTree.fromstring(found["xl/sharedStrings.xml"]).iter(f"{MAIN}si")
    ]
    lines = []
    for row in ElementTree.fromstring(found[f"xl/worksheets/sheet{number}.xml"]).iter(f"{MAIN}row"):
        line: dict[str, Any] = {}
        for cell in row.iter(f"{MAIN}c"):
            value = cell.find(f"{MAIN}v")
            if value is None or value.text is None:
                continue
            kind = {"s": lambda text: strings[int(text)], "b": lambda text: text == "1"}.get(
                cell.get("t", "n"), float
            )
            line[re.sub(r"\d", "", cell.get("r", ""))] = kind(value.text)
        lines.append(line)
    columns = sorted({name for line in lines for name in line}, key=lambda name: (len(name), name))
    return [[line.get(name) for name in columns] for line in lines]


def test_a_value_is_written_as_what_it_is() -> None:
    table = pa.table(
        {
            "text": ["plain", None],
            "whole": [12, 2**60],
            "money": pa.array([Decimal("1234.567890123456"), None], pa.decimal128(28, 12)),
            "is_free": [True, False],
            "day": [date(2026, 10, 12), date(1800, 1, 1)],
            "seen_at": pa.array([datetime(2026, 10, 12, 12, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        }
    )
    assert cells(workbook.of([Sheet("fleet", "", table)])) == [
        ["text", "whole", "money", "is_free", "day", "seen_at"],
        ["plain", 12, 1234.567890123456, True, 46307, 46307.5],
        # What a spreadsheet would make another number of, and a day that it does not have, are texts.
        [None, str(2**60), None, False, "1800-01-01", None],
    ]


def test_no_text_becomes_a_formula_a_link_or_a_number() -> None:
    texts = [*TEXTS, "=1+1", "-2", "+3", "@A1", "http://192.0.2.1/", "1e9", "{=SUM(A1)}", "\t=1"]
    table = pa.table(dict.fromkeys(("name", "=1+1"), texts))
    found = workbook.of([Sheet("=HYPERLINK()", "=1+1", table)], "=title()", ["=line()"])
    xml = parts(found)
    assert [name for name in xml if "<f>" in xml[name] or "<f " in xml[name]] == []
    assert not any(name.startswith("xl/externalLinks") for name in xml)
    assert not any('TargetMode="External"' in text for text in xml.values())
    assert [row[0] for row in cells(found, 2)[1:]] == [
        visible(text)[: workbook.LONGEST_TEXT] for text in texts
    ]
    for text in xml.values():
        ElementTree.fromstring(text)


def test_any_number_can_be_written() -> None:
    whole = pa.table({"number": [str(number) for number in NUMBERS], "float": [float("nan")] * len(NUMBERS)})
    assert len(cells(workbook.of([Sheet("numbers", "", whole)]))) == len(NUMBERS) + 1
    floats = pa.table({"float": [1e308, 5e-324, float("inf"), float("nan"), -0.0]})
    found = [row[0] if row else None for row in cells(workbook.of([Sheet("floats", "", floats)]))]
    assert found[1:4] == ["1e+308", 5e-324, "inf"]


def test_the_head_stays_and_every_column_can_be_filtered() -> None:
    found = parts(workbook.of([Sheet("one", "", pa.table({"a": [1], "b": [2]}))]))["xl/worksheets/sheet1.xml"]
    assert '<pane ySplit="1"' in found
    assert 'state="frozen"' in found
    assert '<autoFilter ref="A1:B2"/>' in found


def test_names_of_sheets_are_allowed_and_each_is_there_once() -> None:
    table = pa.table({"a": [1]})
    names = ["a/b:*?[]\\", "x" * 40, "x" * 50, "demeter", "'", "\x1b[2J", "A", "a"]
    found = workbook.of([Sheet(name, "", table) for name in names], "title")
    shown = re.findall(r'<sheet name="([^"]*)"', parts(found)["xl/workbook.xml"])
    assert shown == [
        *("demeter", "a_b______", "x" * 31, "x" * 29 + "_2", "demeter_2", "sheet", "_x1b_2J", "A", "a_2")
    ]


def test_a_result_that_is_too_long_for_a_sheet_is_refused() -> None:
    table = pa.table({"number": pa.nulls(workbook.MOST_ROWS + 1, pa.int64())})
    with pytest.raises(UsageError, match=r"many has 1048576 rows.*write csv or parquet"):
        workbook.of([Sheet("many", "", table)])


def test_a_chart_is_a_native_one_of_the_sheet_s_own_cells() -> None:
    table = pa.table({"name": ["ann", "bo"], "cost": [2, 1]})
    found = parts(workbook.of([Sheet("who", "", table, Chart("bar", "Who?", "name", ["cost"]))]))
    chart = found["xl/charts/chart1.xml"]
    assert re.findall(r"<c:f>(.*?)</c:f>", chart) == ["who!$B$1", "who!$A$2:$A$3", "who!$B$2:$B$3"]
    assert "<c:barChart>" in chart


def test_an_edition_has_a_sheet_for_each_answer_and_a_list_of_them(built_lake: Lake) -> None:
    issue = edition.of(built_lake, [], Asked())
    found = spreadsheet.xlsx(issue, "zh")
    shown = re.findall(r'<sheet name="([^"]*)"', parts(found)["xl/workbook.xml"])
    assert shown == ["demeter", *(section.report.name for section in issue.sections)]
    first = [value for row in cells(found) for value in row]
    assert "Notebook 实例费用与使用" in first
    assert "谁花费最多、占总额多少？" in first
    drawn = [name for name in parts(found) if name.startswith("xl/charts/")]
    assert len(drawn) > 10


def test_what_a_chart_draws_are_columns_of_its_report(built_lake: Lake) -> None:
    for name, (_, along, values) in spreadsheet.DRAWN.items():
        columns = reports.run(built_lake, name).column_names
        assert {along, *values} <= set(columns), name


def test_equal_results_are_equal_files_at_any_time() -> None:
    told = parts(workbook.of([Sheet("a", "", pa.table({"a": [1]}))]))["docProps/core.xml"]
    assert set(re.findall(r"\d{4}-\d\d-\d\dT[\d:]+Z", told)) == {"2000-01-01T00:00:00Z"}
