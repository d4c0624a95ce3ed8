"""The values of a result: as Python's own, as words for people, and as text for programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

# What could move the cursor, start a terminal's escape sequence or turn the direction of reading.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNSEEN_IN_JSON = re.compile(_UNSEEN.pattern.replace(r"\x00-\x1f", ""))
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

_ROWS_AT_A_TIME = 10_000

Show = Callable[[Any], str]


def distinct(names: Iterable[str]) -> list[str]:
    """Number the columns whose name was there before, so that no reader drops one."""
    seen: dict[str, None] = {}
    for name in names:
        number, distinct = 1, name
        while distinct in seen:
            number += 1
            distinct = f"{name}_{number}"
        seen[distinct] = None
    return list(seen)


def rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows as Python values; times have microseconds and the zone UTC."""
    import pyarrow as pa

    columns = [_in_microseconds(column) for column in table.columns]
    whole = pa.Table.from_arrays(columns, names=table.column_names)
    for batch in whole.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        try:
            found = list(zip(*(map(_in_utc, column.to_pylist()) for column in batch.columns), strict=True))
        except OverflowError:
            raise UsageError(
                "a time is not within the years 1 to 9999: cast it to text, or take --format parquet"
            ) from None
        yield from found


def _in_microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of times in the finest unit that Python's own times have."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return column.cast(pa.duration("us"), safe=False)
    return column


def _in_utc(value: Any) -> Any:
    """Return a time in UTC, which is also what one without a zone is in; else the value."""
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a column of this type is aligned to the right."""
    import pyarrow as pa

    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in numeric)


def shown(zone: tzinfo) -> Show:
    """Return what turns a value into words for people, with times in a zone."""

    def show(value: Any) -> str:
        if value is None or value != value:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, datetime):
            return value.astimezone(zone).isoformat(sep=" ").replace("+00:00", "Z")
        if isinstance(value, float):
            return format(value, ".15g")
        return plain(value)

    return show


def plain(value: Any) -> str:
    """Return a value as text that a program reads back: ISO times, exact numbers, JSON."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.hex()
    return json_text(value) if isinstance(value, (list, dict)) else str(value)


def visible(text: str) -> str:
    """Return a text with an escape that is seen for each character that is not."""
    return _UNSEEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    """Return `\\n`, `\\x1b` or `\\u202e`."""
    letter = match.group()
    code = ord(letter)
    return _SHORT.get(letter) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def json_text(value: Any) -> str:
    """Return a value as JSON: exact numbers, times in UTC, and null for what is no number."""
    import orjson

    text = orjson.dumps(value, default=_json_default, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z).decode()
    # The same value, but a terminal takes these for commands.
    return _UNSEEN_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _json_default(value: Any) -> Any:
    """Return what stands in JSON for a value of a type of its own."""
    import orjson

    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f")) if value.is_finite() else None
    return plain(value)
