"""Figures as they stand in a notebook: tables and charts of the report's page, with their style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING

from etl import charts, document, figures, markup
from etl.markup import Column, escaped, prose
from etl.texts import texts

if TYPE_CHECKING:
    import pyarrow as pa

# So many rows are shown of a result; its frames have all.
MOST_ROWS = 200
FRAME = "demeter-figure"
TEXTS = (
    f".{FRAME} .question {{ font-weight: 600; margin: 1rem 0 .2rem; }}\n"
    f".{FRAME} .note {{ color: var(--soft); font-size: .88rem; margin: .2rem 0 .6rem; }}\n"
)
# What marimo and Jupyter put around a cell where they are dark.
DARK = '.dark, [data-theme="dark"], [data-jp-theme-light="false"]'


@dataclass(frozen=True)
class Figure:
    """HTML that a notebook shows where it is the value of a cell: whole in itself, and without script."""

    html: str

    def _repr_html_(self) -> str:
        style = document.style_within(FRAME, DARK)
        return f'<div class="{FRAME}"><style>{style}{TEXTS}</style>{self.html}</div>'


def table(
    result: pa.Table,
    bounds: Mapping[str, tuple[str, str]],
    name: str = "",
    question: str = "",
    notes: Sequence[str] = (),
) -> Figure:
    """A result as a table, each figure above its bounds; one of a report is laid out as on its page."""
    said = texts("en")
    title = said.title(name) if name else said("of_result")
    columns = markup.columns_of(result, said) if name else _with_bounds(result, bounds)
    shown = markup.table(
        figures.rounded(result), said, UTC, name=name, title=title, most=MOST_ROWS, columns=columns
    )
    asked = f'<p class="question">{prose(question)}</p>' if question else ""
    told = "".join(f'<p class="note">{prose(note)}</p>' for note in notes if note)
    more = f"the first {MOST_ROWS} of {result.num_rows:,} rows: .df() has all of them"
    below = f'<p class="note">{escaped(more)}</p>' if result.num_rows > MOST_ROWS else ""
    return Figure(f"{asked}{told}{shown}{below}")


def drawn(name: str, result: pa.Table) -> Figure:
    """The charts of a report of that name over a result; those of each currency by themselves."""
    return Figure("".join(charts.of(name, part, texts("en")) for part in _by_currency(result)))


def _with_bounds(result: pa.Table, bounds: Mapping[str, tuple[str, str]]) -> list[Column]:
    """The columns by their own names, those that bound a figure in one cell with it."""
    places = {name: place for place, name in enumerate(result.column_names)}
    below = {end for pair in bounds.values() for end in pair}
    found = [column for column in markup.as_they_are(result) if column.name not in below]
    return [
        replace(column, low=places[bounds[column.name][0]], high=places[bounds[column.name][1]])
        if column.name in bounds
        else column
        for column in found
    ]


def _by_currency(result: pa.Table) -> list[pa.Table]:
    """A result in parts of one currency each, for what is of several cannot be added up."""
    import pyarrow.compute as pc

    if "currency" not in result.column_names:
        return [result]
    known = result["currency"].unique().drop_null().to_pylist()
    if len(known) < 2:
        return [result]
    apart = [result.filter(pc.equal(result["currency"], each)) for each in sorted(known)]
    rest = result.filter(pc.is_null(result["currency"]))
    return [*apart, rest] if rest.num_rows else apart
