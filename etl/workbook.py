"""A workbook: a sheet a result, with typed cells and charts of its own, and no formula from any data."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl.errors import UsageError
from etl.values import plain, rows, visible

if TYPE_CHECKING:
    import pyarrow as pa
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

LONGEST_NAME = 31
LONGEST_TEXT = 32_767
# The head takes one of the rows that a sheet has.
# Told as the time at which each was made, so that equal results are equal files.
MADE = datetime(2000, 1, 1, tzinfo=UTC)
MOST_ROWS = 1_048_575
MOST_COLUMNS = 16_384
# Beyond it a spreadsheet's numbers, which are floats, are others than those that were written.
LARGEST_WHOLE = 2**53
# It counts days from 1900 on, one of which never was.
FIRST_DAY = date(1900, 3, 1)
DARK, SHADE = "#0f766e", "#e6f2f1"
FORMATS: dict[str, dict[str, Any]] = {
    "head": {"bold": True, "bg_color": DARK, "font_color": "white", "valign": "top", "border": 1},
    "title": {"bold": True, "font_size": 16, "font_color": DARK},
    "wrapped": {"text_wrap": True, "valign": "top"},
    "link": {"font_color": DARK, "underline": 1, "valign": "top"},
    "whole": {"num_format": "#,##0"},
    "number": {"num_format": "#,##0.00"},
    "price": {"num_format": "#,##0.00######"},
    "day": {"num_format": "yyyy-mm-dd"},
    "time": {"num_format": 'yyyy-mm-dd hh:mm:ss"Z"'},
}


@dataclass(frozen=True)
class Chart:
    """A chart of a sheet: its kind as xlsxwriter names it, and columns by name."""

    kind: str
    title: str
    along: str
    values: Sequence[str]
    rows: int = 30


@dataclass(frozen=True)
class Sheet:
    """What a sheet shows: its name, what it answers, the result, and at most one chart."""

    name: str
    question: str
    table: pa.Table
    chart: Chart | None = None


def of(sheets: Sequence[Sheet], title: str = "", contents: Sequence[str] = ()) -> bytes:
    """The bytes of a workbook; with a title it opens with a list of its sheets, below lines of text.

    UsageError where a result has more rows or columns than a sheet.
    """
    from xlsxwriter import Workbook

    for sheet in sheets:
        _check(sheet)
    sink = io.BytesIO()
    # Nothing is guessed from a text: it is no formula, no link and no number.
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "remove_timezone": True,
    }
    with Workbook(sink, options) as book:
        book.set_properties({"created": MADE})
        formats = {name: book.add_format(properties) for name, properties in FORMATS.items()}
        names = list(_names(sheet.name for sheet in sheets))
        if title:
            _write_contents(book.add_worksheet("demeter"), formats, title, contents, sheets, names)
        for sheet, name in zip(sheets, names, strict=True):
            _write_sheet(book, book.add_worksheet(name), formats, sheet, name)
    return sink.getvalue()


def _check(sheet: Sheet) -> None:
    if sheet.table.num_rows > MOST_ROWS or sheet.table.num_columns > MOST_COLUMNS:
        raise UsageError(
            f"{sheet.name} has {sheet.table.num_rows} rows and {sheet.table.num_columns} columns, and a sheet"
            f" has room for {MOST_ROWS} and {MOST_COLUMNS}: write csv or parquet"
        )


def _names(names: Any) -> Iterator[str]:
    """Names that a sheet may have: of the characters and the length that are allowed, each once."""
    seen = {"demeter", "history"}
    for name in names:
        base = re.sub(r"[\[\]:*?/\\]", "_", visible(name)).strip("'")[:LONGEST_NAME] or "sheet"
        chosen, number = base, 1
        while chosen.lower() in seen:
            number += 1
            chosen = f"{base[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
        seen.add(chosen.lower())
        yield chosen


def _write_contents(
    page: Worksheet,
    formats: dict[str, Any],
    title: str,
    lines: Sequence[str],
    sheets: Sequence[Sheet],
    names: Sequence[str],
) -> None:
    """The first sheet: a title, some lines, and a link to each of the others."""
    page.set_column(0, 0, 32)
    page.set_column(1, 1, 90)
    page.hide_gridlines(2)
    page.write_string(0, 0, title, formats["title"])
    for number, line in enumerate(lines, start=1):
        page.write_string(number, 0, line)
    first = len(lines) + 2
    for number, (sheet, name) in enumerate(zip(sheets, names, strict=True), start=first):
        page.write_url(number, 0, f"internal:'{name}'!A1", formats["link"], name)
        page.write_string(number, 1, visible(sheet.question), formats["wrapped"])


def _write_sheet(book: Workbook, page: Worksheet, formats: dict[str, Any], sheet: Sheet, name: str) -> None:
    """A sheet with its head frozen and a filter on every column."""
    table = sheet.table
    writers = [_writer(page, formats, field) for field in table.schema]
    for column, title in enumerate(table.column_names):
        page.write_string(0, column, visible(title)[:LONGEST_TEXT], formats["head"])
        page.set_column(column, column, _width(table, column))
    for number, row in enumerate(rows(table), start=1):
        for column, (write, value) in enumerate(zip(writers, row, strict=True)):
            if value is not None and value == value:
                write(number, column, value)
    page.freeze_panes(1, 0)
    if table.num_columns:
        page.autofilter(0, 0, max(table.num_rows, 1), table.num_columns - 1)
    page.set_landscape()
    page.repeat_rows(0)
    page.fit_to_pages(1, 0)
    if sheet.chart and table.num_rows:
        _draw(book, page, sheet.chart, table, name)


def _writer(page: Worksheet, formats: dict[str, Any], field: pa.Field) -> Callable[[int, int, Any], Any]:
    """What writes the values of a column as what they are; what a spreadsheet cannot hold is text."""
    price = field.name.startswith("unit_price")

    def write(row: int, column: int, value: Any) -> Any:
        if isinstance(value, bool):
            return page.write_boolean(row, column, value)
        if isinstance(value, int) and abs(value) <= LARGEST_WHOLE:
            return page.write_number(row, column, value, formats["whole"])
        if isinstance(value, (Decimal, float)) and -LARGEST_WHOLE < value < LARGEST_WHOLE:
            return page.write_number(row, column, float(value), formats["price" if price else "number"])
        if isinstance(value, datetime) and value.date() >= FIRST_DAY:
            return page.write_datetime(row, column, value.astimezone(UTC), formats["time"])
        if isinstance(value, date) and not isinstance(value, datetime) and value >= FIRST_DAY:
            return page.write_datetime(row, column, value, formats["day"])
        return page.write_string(row, column, visible(plain(value))[:LONGEST_TEXT])

    return write


def _width(table: pa.Table, column: int) -> int:
    """How wide a column is: as its head and its first values, within reason."""
    first = rows(table.select([column]).slice(0, 50))
    shown = [table.column_names[column], *(plain(value) for (value,) in first)]
    whole = [text.partition(".")[0] + ".00" if re.fullmatch(r"-?\d+\.\d+", text) else text for text in shown]
    return min(max(max(map(len, whole)) + 3, 9), 42)


def _draw(book: Workbook, page: Worksheet, chart: Chart, table: pa.Table, name: str) -> None:
    """A chart beside the rows, of the first of them."""

    drawn: Any = book.add_chart({"type": chart.kind})
    last = min(table.num_rows, chart.rows)
    along = table.column_names.index(chart.along)
    for column in map(table.column_names.index, chart.values):
        drawn.add_series(
            {
                "name": [name, 0, column],
                "categories": [name, 1, along, last, along],
                "values": [name, 1, column, last, column],
            }
        )
    drawn.set_title({"name": chart.title, "name_font": {"size": 12}})
    drawn.set_legend({"position": "bottom"} if len(chart.values) > 1 else {"none": True})
    drawn.set_size({"width": 760, "height": 380})
    if chart.kind == "bar":
        drawn.set_y_axis({"reverse": True})
    page.insert_chart(1, table.num_columns + 1, drawn)
