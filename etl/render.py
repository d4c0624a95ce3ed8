"""Show a result: as text for people, or as a file for programs."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from etl.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "csv", "json", "md", "parquet")

# A longer cell is cut in the format `table`; every other format has all of it.
LONGEST_CELL = 120

_ROWS_AT_A_TIME = 10_000

# What could move the cursor, start a terminal's escape sequence or turn the direction of reading.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNSEEN_IN_JSON = re.compile(_UNSEEN.pattern.replace(r"\x00-\x1f", ""))
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")

Show = Callable[[Any], str]


def write(table: pa.Table, format: str, output: Path | None = None, *, zone: tzinfo = UTC) -> None:
    """Write a result to a file, which appears whole or not at all, or to standard output.

    `zone` is that of the times in `table` and `md`; in `csv` and `json` they are UTC. Raises
    UsageError for an unknown format, a file that cannot be written, and Parquet on a terminal.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}: choose one of {', '.join(FORMATS)}")
    if output is None:
        _write_to_standard_output(table, format, zone)
        return
    try:
        with _replacing(output) as file:
            file.writelines(render(table, format, zone=zone))
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {output}: {reason}; name another file with -o") from error


def render(table: pa.Table, format: str, *, zone: tzinfo = UTC) -> Iterator[bytes]:
    """Yield a result piece by piece; the text formats are UTF-8."""
    table = table.rename_columns(_distinct(table.column_names))
    if format == "parquet":
        yield _to_parquet(table)
        return
    for line in _lines(table, format, zone):
        yield line.encode()


def _lines(table: pa.Table, format: str, zone: tzinfo) -> Iterator[str]:
    """Return the pieces of a result in one of the formats that are text."""
    if format == "table":
        return _to_text(table, zone)
    if format == "md":
        return _to_markdown(table, zone)
    return _to_csv(table) if format == "csv" else _to_json(table)


def _write_to_standard_output(table: pa.Table, format: str, zone: tzinfo) -> None:
    """Write to where the caller looks; bytes where they are possible, so that no end of line changes."""
    binary: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    if format == "parquet" and (binary is None or sys.stdout.isatty()):
        raise UsageError("Parquet is not for a terminal: name a file with -o FILE")
    sys.stdout.flush()
    for piece in render(table, format, zone=zone):
        if binary is None:
            sys.stdout.write(piece.decode())
        else:
            binary.write(piece)
    sys.stdout.flush()


@contextmanager
def _replacing(output: Path) -> Iterator[BinaryIO]:
    """Open a file beside the named one, and put it in its place once it is whole."""
    target = output.resolve()
    if target.exists() and not target.is_file():
        # A pipe or a device is written to; a directory is refused by the system.
        with target.open("wb") as file:
            yield file
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _distinct(names: Iterable[str]) -> list[str]:
    """Number the columns whose name was there before, so that no reader drops one."""
    seen: dict[str, None] = {}
    for name in names:
        number, distinct = 1, name
        while distinct in seen:
            number += 1
            distinct = f"{name}_{number}"
        seen[distinct] = None
    return list(seen)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows as Python values; times have microseconds and the zone UTC."""
    import pyarrow as pa

    columns = [_in_microseconds(column) for column in table.columns]
    whole = pa.Table.from_arrays(columns, names=table.column_names)
    for batch in whole.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        yield from zip(*(map(_in_utc, column.to_pylist()) for column in batch.columns), strict=True)


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


def _is_number(kind: pa.DataType) -> bool:
    """Tell whether a column of this type is aligned to the right."""
    import pyarrow as pa

    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in numeric)


def _shown(zone: tzinfo) -> Show:
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
        return _plain(value)

    return show


def _plain(value: Any) -> str:
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
    return _json(value) if isinstance(value, (list, dict)) else str(value)


def visible(text: str) -> str:
    """Return a text with an escape that is seen for each character that is not."""
    return _UNSEEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    """Return `\\n`, `\\x1b` or `\\u202e`."""
    letter = match.group()
    code = ord(letter)
    return _SHORT.get(letter) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _to_text(table: pa.Table, zone: tzinfo) -> Iterator[str]:
    """Yield an aligned table and the number of its rows."""
    from tabulate import tabulate

    show = _shown(zone)
    rows = [[_cut(visible(show(value))) for value in row] for row in _rows(table)]
    names = [_cut(visible(name)) for name in table.column_names]
    align = ["right" if _is_number(kind) else "left" for kind in table.schema.types]
    if names:
        # Without a row it would not know the columns; the empty one ends the text and is cut off.
        text = tabulate(
            rows or [[""] * len(names)],
            headers=names,
            tablefmt="simple",
            disable_numparse=True,
            colalign=align,
        )
        yield (text if rows else text[: text.rindex("\n")]) + "\n"
    yield f"({table.num_rows} {'row' if table.num_rows == 1 else 'rows'})\n"


def _cut(text: str) -> str:
    """Return a text, or as much of it as a table has room for."""
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _to_markdown(table: pa.Table, zone: tzinfo) -> Iterator[str]:
    """Yield a GitHub table, in which no cell is HTML, a link or an emphasis."""
    show = _shown(zone)
    yield _markdown_row(table.column_names)
    yield _line("---:" if _is_number(kind) else "---" for kind in table.schema.types)
    for row in _rows(table):
        yield _markdown_row(show(value) for value in row)


def _markdown_row(cells: Iterable[str]) -> str:
    """Return one line of a GitHub table."""
    return _line(_markdown_cell(cell) for cell in cells)


def _line(cells: Iterable[str]) -> str:
    """Join what stands between the bars of a GitHub table."""
    return "| " + " | ".join(cells) + " |\n"


def _markdown_cell(text: str) -> str:
    """Return a text as it would be read, whatever it says."""
    text = text.replace("\r\n", "\n")
    lines = [_MARKDOWN.sub(r"\\\g<0>", visible(line)) for line in text.split("\n")]
    safe = [line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in lines]
    return "<br>".join(safe)


def _to_csv(table: pa.Table) -> Iterator[str]:
    """Yield RFC 4180, in which no text is a formula to a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([_no_formula(name) for name in table.column_names])
    for row in _rows(table):
        writer.writerow([_no_formula(value) if isinstance(value, str) else _plain(value) for value in row])
        if buffer.tell() > 65_536:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _no_formula(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet would calculate it."""
    return "'" + text if text.startswith(_FORMULA) else text


def _to_json(table: pa.Table) -> Iterator[str]:
    """Yield an array of objects, a row a line."""
    names = table.column_names
    before = "[\n"
    for row in _rows(table):
        yield before + _json(dict(zip(names, row, strict=True)))
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _json(value: Any) -> str:
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
    return _plain(value)


def _to_parquet(table: pa.Table) -> bytes:
    """Return a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    contents: bytes = sink.getvalue().to_pybytes()
    return contents
