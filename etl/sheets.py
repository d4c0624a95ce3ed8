"""A sheet that a user keeps, CSV or Parquet: its rows, or everything that is wrong with them."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etl.errors import UsageError

log = logging.getLogger("demeter")

SHOWN_PROBLEMS = 20
SHOWN_CHARACTERS = 40

Value = str | Decimal | date | None
Values = Mapping[str, Value]
Parser = Callable[[str], Value]  # of a cell's text; raises ValueError that says what is wrong with it
Problem = tuple[int, str]  # the number of the line, what is wrong there


@dataclass(frozen=True)
class Sheet:
    """What a sheet holds: how each column is read, which rows may not be valid together, and more.

    `flaw` says what is wrong with a row whose cells are right by themselves. Every sheet has the
    columns `valid_from` and `valid_to`. A column of `remarks` may be there, and is not read.
    """

    name: str
    parsers: Mapping[str, Parser]
    key: tuple[str, ...]
    flaw: Callable[[Values], str | None]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """The cells of a row, stripped, and the number of the line (in Parquet: the row) they stand in."""

    number: int
    cells: Sequence[str]


def read(path: Path, sheet: Sheet) -> list[Values]:
    """The rows of a file; UsageError names every problem with its line, the first twenty in full."""
    where, lines, problems = _lines(path, sheet)
    header, rows = _header(lines, sheet, problems)
    numbered: list[tuple[int, Values]] = []
    for line in rows if header else ():
        values = _values(line, header, sheet, problems)
        if values is not None:
            numbered.append((line.number, values))
    problems += _overlaps(numbered, sheet.key, where)
    if problems:
        raise UsageError(_told(path, sheet, where, problems))
    _warn_of_extra(path, header, sheet)
    return [values for _, values in numbered]


def shown(text: str) -> str:
    """A cell as a message shows it: quoted, and not endless."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")


def text_cell(text: str) -> str:
    """The text of a cell that may not be empty."""
    if not text:
        raise ValueError("is empty")
    return text


def optional_cell(text: str) -> str | None:
    """The text of a cell, None where it is empty."""
    return text or None


def currency_cell(text: str) -> str:
    """A currency by its three capital letters."""
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise ValueError(f"{shown(text)} is not a currency: three capital letters, such as CNY")
    return text


def date_cell(text: str) -> date | None:
    """A date written as 2024-02-29, None where the cell is empty."""
    try:
        if text and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(f"{shown(text)} is not a date: write it as 2024-02-29") from None


def decimal_cell(text: str, decimals: int, below: int) -> Decimal:
    """A number from 0 to `below`, exactly as written, with no more decimals than can be kept."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", text):
        raise ValueError(f"{shown(text)} is not a number: write it as 3.5")
    value = Decimal(text)
    if value < 0:
        raise ValueError(f"{shown(text)} is negative")
    if value >= below:
        raise ValueError(f"{shown(text)} is too large: it has to be below {below}")
    # The digits that are there, not the context's precision, decide: nothing is rounded here.
    _, digits, exponent = value.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    if value and -int(exponent) - zeros > decimals:
        raise ValueError(f"{shown(text)} has more than {decimals} decimals")
    return value.copy_abs().quantize(Decimal(1).scaleb(-decimals))


def _lines(path: Path, sheet: Sheet) -> tuple[str, Iterator[Line], list[Problem]]:
    """What a row is called in this file, the header and the rows, and where their problems go."""
    problems: list[Problem] = []
    try:
        content = path.read_bytes()
        if content.startswith(b"PAR1"):
            return "row", _parquet_lines(content), problems
        return "line", _csv_lines(content.decode("utf-8-sig"), problems), problems
    except OSError as error:
        raise UsageError(
            f"the {sheet.name} {path} cannot be read: {error.strerror}: check its path"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"the {sheet.name} {path} is not UTF-8 text: save it as CSV in UTF-8") from None
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"the {sheet.name} {path} is broken as Parquet: {reason}: write it anew") from None


def _csv_lines(text: str, problems: list[Problem]) -> Iterator[Line]:
    """The lines of a CSV file that are neither blank nor comments."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.lstrip().startswith("#"):
            continue
        try:
            cells = [cell.strip() for row in csv.reader([line], strict=True) for cell in row]
        except csv.Error as error:
            problems.append((number, f"is not CSV: {error}"))
            continue
        if any(cells):
            yield Line(number, cells)


def _parquet_lines(content: bytes) -> Iterator[Line]:
    table = pq.read_table(pa.BufferReader(content))
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    rows = zip(*columns, strict=True)
    return iter([Line(0, table.column_names), *(Line(n, cells) for n, cells in enumerate(rows, 1))])


def _cell(value: Any) -> str:
    """A value of a Parquet file as a CSV file would have it."""
    if value is None:
        return ""
    if isinstance(value, datetime) and value.timetz() == time():
        return value.date().isoformat()
    return str(value).strip()


def _header(lines: Iterator[Line], sheet: Sheet, problems: list[Problem]) -> tuple[list[str], Iterator[Line]]:
    """The names of the columns, empty where rows cannot be read by them; and the lines after them."""
    line = next(lines, Line(1, ()))
    names = [name.lower() for name in line.cells]
    missing = [name for name in sheet.parsers if name not in names]
    twice = sorted({name for name in names if name in sheet.parsers and names.count(name) > 1})
    if missing:
        wanted = ", ".join(sheet.parsers)
        problems.append((line.number, f"has no column {', '.join(missing)}: the columns are {wanted}"))
    if twice:
        problems.append((line.number, f"has the column {', '.join(twice)} twice"))
    return ([] if missing or twice else names), lines


def _values(line: Line, header: Sequence[str], sheet: Sheet, problems: list[Problem]) -> Values | None:
    """The values of a row; None where it has problems, which are then told."""
    if len(line.cells) != len(header):
        problems.append((line.number, f"has {len(line.cells)} cells under {len(header)} columns"))
        return None
    cells = dict(zip(header, line.cells, strict=True))
    values: dict[str, Value] = {}
    for name, parser in sheet.parsers.items():
        try:
            values[name] = parser(cells[name])
        except ValueError as error:
            problems.append((line.number, f"{name} {error}"))
    if len(values) < len(sheet.parsers):
        return None
    flaw = _reversed(values) or sheet.flaw(values)
    if flaw:
        problems.append((line.number, flaw))
    return None if flaw else values


def _reversed(values: Values) -> str | None:
    first, end = values["valid_from"], values["valid_to"]
    if isinstance(first, date) and isinstance(end, date) and end <= first:
        return f"valid_to {end} is not after valid_from {first}: it is the first day no longer valid"
    return None


def _overlaps(numbered: Sequence[tuple[int, Values]], key: Sequence[str], where: str) -> Iterator[Problem]:
    """The rows that repeat another one of their key, or are valid on a day on which it is."""
    groups: dict[tuple[Value, ...], list[tuple[int, Values]]] = defaultdict(list)
    for number, values in numbered:
        groups[tuple(values[name] for name in key)].append((number, values))
    for rows in groups.values():
        rows.sort(key=lambda row: (_first(row[1]), row[0]))
        yield from _overlaps_of_one_key(rows, where)


def _overlaps_of_one_key(rows: Sequence[tuple[int, Values]], where: str) -> Iterator[Problem]:
    known: dict[tuple[Value, ...], int] = {}
    longest = rows[0]
    for number, values in rows:
        same = known.setdefault(tuple(values.values()), number)
        if same != number:
            yield number, f"repeats {where} {same}"
        elif number != longest[0] and _first(values) < _end(longest[1]):
            first = values["valid_from"] or "the beginning"
            yield number, f"overlaps {where} {longest[0]}: both are valid from {first} on"
        if _end(values) > _end(longest[1]):
            longest = number, values


def _first(values: Values) -> date:
    first = values["valid_from"]
    return first if isinstance(first, date) else date.min


def _end(values: Values) -> date:
    end = values["valid_to"]
    return end if isinstance(end, date) else date.max


def _told(path: Path, sheet: Sheet, where: str, problems: Sequence[Problem]) -> str:
    """One line with the first problems, in the order of the file."""
    told = [
        f"{where} {number} {text}" if number else f"it {text}"
        for number, text in sorted(problems)[:SHOWN_PROBLEMS]
    ]
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return f"the {sheet.name} {path} needs mending: {'; '.join(told)}{more}"


def _warn_of_extra(path: Path, header: Sequence[str], sheet: Sheet) -> None:
    known = (*sheet.parsers, *sheet.remarks)
    extra = [name for name in header if name and name not in known]
    if extra:
        log.warning(
            "the %s %s has columns that are not read: %s",
            sheet.name,
            path,
            ", ".join(map(shown, extra)),
        )
