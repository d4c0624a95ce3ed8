"""Show a result: as text for people, or as a file for programs."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from etl.errors import UsageError
from etl.values import distinct, is_number, json_text, plain, rows, shown, visible

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("table", "csv", "json", "md")
FORMATS = (*TEXTS, "html", "xlsx", "parquet")
FOR_FILES = {"xlsx": "A spreadsheet", "parquet": "Parquet"}

# A longer cell is cut in the format `table`; every other format has all of it.
LONGEST_CELL = 120

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")


def write(table: pa.Table, format: str, output: Path | None = None, *, zone: tzinfo = UTC) -> None:
    """Write a result to a file, which appears whole or not at all, or to standard output.

    `zone` is that of the times in `table`, `md` and `html`; in the others they are UTC. Raises
    UsageError for an unknown format, a file that cannot be written, and Parquet on a terminal.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}: choose one of {', '.join(FORMATS)}")
    deliver(render(table, format, zone=zone), format, output)


def deliver(pieces: Iterable[bytes], format: str, output: Path | None = None) -> None:
    """Write the pieces of a result to a file, which appears whole or not at all, or to standard output."""
    if output is None:
        _deliver_to_standard_output(pieces, format)
        return
    try:
        with _replacing(output) as file:
            file.writelines(pieces)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {output}: {reason}; name another file with -o") from error


def render(table: pa.Table, format: str, *, zone: tzinfo = UTC) -> Iterator[bytes]:
    """Yield a result piece by piece; the text formats are UTF-8."""
    table = table.rename_columns(distinct(table.column_names))
    if format == "parquet":
        yield _to_parquet(table)
    elif format == "xlsx":
        from etl import workbook

        yield workbook.of([workbook.Sheet("result", "", table)])
    elif format == "html":
        from etl.document import of_result

        yield from of_result(table, zone)
    else:
        for line in _lines(table, format, zone):
            yield line.encode()


def _lines(table: pa.Table, format: str, zone: tzinfo) -> Iterator[str]:
    """Return the pieces of a result in one of the formats that are text."""
    if format == "table":
        return _to_text(table, zone)
    if format == "md":
        return _to_markdown(table, zone)
    return _to_csv(table) if format == "csv" else _to_json(table)


def _deliver_to_standard_output(pieces: Iterable[bytes], format: str) -> None:
    """Write to where the caller looks; bytes where they are possible, so that no end of line changes."""
    binary: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    if format in FOR_FILES and (binary is None or sys.stdout.isatty()):
        raise UsageError(f"{FOR_FILES[format]} is not for a terminal: name a file with -o FILE")
    sys.stdout.flush()
    for piece in pieces:
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


def _to_text(table: pa.Table, zone: tzinfo) -> Iterator[str]:
    """Yield an aligned table and the number of its rows."""
    from tabulate import tabulate

    show = shown(zone)
    cells = [[_cut(visible(show(value))) for value in row] for row in rows(table)]
    names = [_cut(visible(name)) for name in table.column_names]
    align = ["right" if is_number(kind) else "left" for kind in table.schema.types]
    if names:
        # Without a row it would not know the columns; the empty one ends the text and is cut off.
        text = tabulate(
            cells or [[""] * len(names)],
            headers=names,
            tablefmt="simple",
            disable_numparse=True,
            colalign=align,
        )
        yield (text if cells else text[: text.rindex("\n")]) + "\n"
    yield f"({table.num_rows} {'row' if table.num_rows == 1 else 'rows'})\n"


def _cut(text: str) -> str:
    """Return a text, or as much of it as a table has room for."""
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _to_markdown(table: pa.Table, zone: tzinfo) -> Iterator[str]:
    """Yield a GitHub table, in which no cell is HTML, a link or an emphasis."""
    show = shown(zone)
    yield _markdown_row(table.column_names)
    yield _line("---:" if is_number(kind) else "---" for kind in table.schema.types)
    for row in rows(table):
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
    for row in rows(table):
        writer.writerow([_no_formula(value) if isinstance(value, str) else plain(value) for value in row])
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
    for row in rows(table):
        yield before + json_text(dict(zip(names, row, strict=True)))
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def _to_parquet(table: pa.Table) -> bytes:
    """Return a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    contents: bytes = sink.getvalue().to_pybytes()
    return contents
