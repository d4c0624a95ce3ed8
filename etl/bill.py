"""The lines of a bill that a user brings as CSV: for which resource, from when to when, how much."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa

from etl import days
from etl.errors import UsageError

SHOWN_PROBLEMS = 20
DECIMALS = 10
AMOUNT = pa.decimal128(28, DECIMALS)

# What each column is called in bills: our own names, those of bills of the service, those of FOCUS.
HEADERS: Mapping[str, tuple[str, ...]] = {
    "resource_id": ("resource_id", "Resource ID", "资源ID"),
    "period_start": ("period_start", "Usage Start Time", "Start Time", "ChargePeriodStart", "使用开始时间"),
    "period_end": ("period_end", "Usage End Time", "End Time", "ChargePeriodEnd", "使用结束时间"),
    "amount": ("amount", "Amount Due", "Payable Amount", "BilledCost", "应付金额"),
    "currency": ("currency", "BillingCurrency", "币种"),
}
MOMENT = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.0+)?)?)? ?(?:Z|(?:GMT|UTC)?([+-]\d{1,2}):?(\d{2})?)?"
)
NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")


@dataclass(frozen=True)
class Moment:
    """A time as a bill tells it; a day without a time of day is told apart."""

    at: datetime
    is_day: bool


@dataclass(frozen=True)
class BillLine:
    """A line of a bill: `rounding` is what one in the last place of its amount is worth."""

    line: int
    resource_id: str
    start: Moment
    end: Moment
    amount: Decimal
    rounding: Decimal
    currency: str


def read(
    path: Path, zone: ZoneInfo, columns: Mapping[str, str] | None = None, currency: str | None = None
) -> pa.Table:
    """The lines of a bill: line, resource_id, from_us, to_us (exclusive), amount, rounding, currency.

    `columns` names the header of a field where it is not one of HEADERS; `currency` is that of a bill
    which has no such column. Times without an offset are of the zone. UsageError names what is wrong,
    line by line.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    named = dict(columns or {}) | ({"currency": ""} if currency else {})
    found = {field: _position(field, header, named.get(field)) for field in HEADERS}
    lines, problems = [], []
    for number, cells in rows:
        try:
            lines.append(_line(number, _cells(cells, header, found), zone, currency))
        except ValueError as error:
            problems.append(f"line {number} {error}")
    if problems or not lines:
        raise UsageError(
            f"the bill {path} needs mending: {_told(problems) or 'it has no lines, so write them'}"
        )
    return _table(lines)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not blank, each with the number of the line it ends on."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"the bill {path} cannot be read: {error.strerror}: check its path") from None
    except UnicodeDecodeError:
        raise UsageError(f"the bill {path} is not UTF-8 text: save it as CSV in UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UsageError(
            f"the bill {path} is not CSV from line {reader.line_num} on ({error}): mend it"
        ) from None


def _position(field: str, header: Sequence[str], given: str | None) -> int | None:
    """Where a field stands; None for one that is told otherwise; UsageError where that is not clear."""
    if given == "":
        return None
    names = [_plain(name) for name in ([given] if given else HEADERS[field])]
    found = [number for number, name in enumerate(header) if _plain(name) in names]
    if len(found) == 1:
        return found[0]
    told = ", ".join(header) or "nothing"
    reason = f"{len(found)} columns" if found else "no column"
    raise UsageError(
        f"the bill has {reason} for {field} (its first line holds {told}): name it with --column {field}=NAME"
    )


def _plain(name: str) -> str:
    """A header without what bills write differently: case, spaces, punctuation."""
    return re.sub(r"[\W_]", "", name).lower()


def _cells(cells: Sequence[str], header: Sequence[str], found: Mapping[str, int | None]) -> dict[str, str]:
    """The cells of a row by their fields."""
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} cells under {len(header)} columns")
    return {field: cells[position] for field, position in found.items() if position is not None}


def _line(number: int, cells: Mapping[str, str], zone: ZoneInfo, currency: str | None) -> BillLine:
    """A line of the bill; ValueError says what is wrong with it."""
    if not cells["resource_id"]:
        raise ValueError("has no resource_id")
    start = _moment(cells["period_start"], zone, "period_start")
    end = _moment(cells["period_end"], zone, "period_end")
    if end.at < start.at or (end.at == start.at and not end.is_day):
        raise ValueError(f"ends at {cells['period_end']}, not after it begins")
    amount = _amount(cells["amount"])
    code = cells.get("currency", currency or "")
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError(f"has the currency {code!r}: three capital letters, such as CNY")
    rounding = Decimal(1).scaleb(int(amount.as_tuple().exponent))
    return BillLine(number, cells["resource_id"], start, end, amount, rounding, code)


def _moment(text: str, zone: ZoneInfo, field: str) -> Moment:
    found = MOMENT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        at = datetime(year, month, day, hour, minute, second, tzinfo=_offset(text, found, zone))
    except ValueError:
        raise ValueError(f"has the {field} {text!r}: write it as 2026-10-01 08:00:00") from None
    return Moment(at, is_day=found[4] is None)


def _offset(text: str, found: re.Match[str], zone: ZoneInfo) -> ZoneInfo | timezone:
    """The offset that a time is told with, else the zone."""
    if text.endswith("Z"):
        return UTC
    if found[7] is None:
        return zone
    hours, minutes = int(found[7]), int(found[8] or 0)
    return timezone(timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes))


def _amount(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise ValueError(f"has the amount {text!r}: write it as 12.34")
    amount = Decimal(text.replace(",", ""))
    if -int(amount.as_tuple().exponent) > DECIMALS or abs(amount) >= 10**17:
        raise ValueError(f"has the amount {text!r}: at most {DECIMALS} decimals can be kept")
    return amount


def _table(lines: Sequence[BillLine]) -> pa.Table:
    # Where a day ends as it begins, the days that periods end with belong to them.
    includes_end = any(line.start == line.end for line in lines)
    ends = [_exclusive(line.end, includes_end) for line in lines]
    return pa.table(
        {
            "line": pa.array([line.line for line in lines], pa.int64()),
            "resource_id": pa.array([line.resource_id for line in lines], pa.string()),
            "from_us": pa.array([days.microseconds(line.start.at) for line in lines], pa.int64()),
            "to_us": pa.array([days.microseconds(end) for end in ends], pa.int64()),
            "amount": pa.array([line.amount for line in lines], AMOUNT),
            "rounding": pa.array([line.rounding for line in lines], AMOUNT),
            "currency": pa.array([line.currency for line in lines], pa.string()),
        }
    )


def _exclusive(end: Moment, includes_end: bool) -> datetime:
    """The first moment after a period: a bill may name the last day, or the last second, in it."""
    if end.is_day:
        return end.at + timedelta(days=1) if includes_end else end.at
    return end.at + timedelta(seconds=1) if (end.at.minute, end.at.second) == (59, 59) else end.at


def _told(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return "; ".join(problems[:SHOWN_PROBLEMS]) + more
