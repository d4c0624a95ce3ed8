"""Where a result goes, and in which format: the options, and rows of text that need no library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl.errors import UsageError
from etl.render import FORMATS, write

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, str]

# What files are called that hold a table as people read it.
TEXTS = ("txt", "text", "log", "out")

AS_FORMAT = click.option(
    "--format", type=click.Choice(FORMATS), help="How to show it; by the name of FILE, else as a table."
)
TO_FILE = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to this file instead of standard output.",
)


def format_of(format: str | None, output: Path | None) -> str:
    """The format asked for, else the one that the file is named after, else the table.

    UsageError for a file that is named after none.
    """
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    if not format and suffix and suffix not in (*FORMATS, *TEXTS):
        names = ", ".join(f".{each}" for each in FORMATS if each != "table")
        raise UsageError(f"{output} is named after no format: its name ends with {names}, or give --format")
    return format or (suffix if suffix in FORMATS else "table")


def show_rows(rows: Sequence[Row], format: str | None = None, output: Path | None = None) -> None:
    """Show rows of text; a table on standard output without the libraries that results need."""
    if output is None and format_of(format, output) == "table":
        from tabulate import tabulate

        click.echo(tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True))
        return
    write(table_of(rows), format_of(format, output), output)


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows of text as a result; what is empty is null."""
    import pyarrow as pa

    known = [{name: value or None for name, value in row.items()} for row in rows]
    schema = pa.schema([(name, pa.string()) for name in rows[0]])
    return pa.Table.from_pylist(known, schema=schema)
