"""HTML from text that may be anything: escaped, made visible, and cut where nobody would read on."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl.texts import Texts
from etl.values import is_number, plain, rows, visible

if TYPE_CHECKING:
    import pyarrow as pa

# A longer text is cut; the formats for programs have all of it.
LONGEST_TEXT = 160
# From here on a text may be broken into lines.
LONG = 36
# More columns than this in the only row are read more easily below each other.
WIDEST = 8
BOUNDS = ("_min", "_max")
MONEY = re.compile(r"(^|_)(cost|budget|value)(_|$)|^unit_price")
# What has no price where its row says that something has none.
PRICED = re.compile(r"^(list|billed|saved)_cost$")
ALWAYS_PRICED = "billed_cost_per_day"
# The figure that comes first, and those that are of no interest where they are zero all along.
FIRST = "billed_cost"
LACKS = ("unknown_accelerator_hours", "unpriced_hours", "unpriced_gb_hours")


def escaped(text: str) -> str:
    """A text as it would be read in HTML, whatever it says."""
    return html.escape(visible(text), quote=True)


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text, or as much of it as there is room for."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def prose(text: str) -> str:
    """A text of our own, with what stands in backquotes in code type."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped(text))


def number(value: Decimal | int | float, places: int | None = None) -> str:
    """A number with its thousands set apart, to so many places or to those that it has."""
    if places is None and isinstance(value, float):
        places = 2
    return format(value, "," if places is None else f",.{places}f")


@dataclass(frozen=True)
class Column:
    """A column as a table shows it: what it is called, and where its bounds and its other name stand."""

    place: int
    label: str
    is_number: bool
    name: str
    low: int | None = None
    high: int | None = None
    instead: int | None = None


def table(
    result: pa.Table,
    texts: Texts,
    zone: tzinfo,
    *,
    name: str,
    title: str,
    most: int,
    columns: Sequence[Column] | None = None,
) -> str:
    """A result as a table of at most so many rows; bounds stand below the figure that they bound.

    The columns are those of `columns_of` unless others are given.
    """
    found = list(rows(result.slice(0, most)))
    columns = columns_of(result, texts) if columns is None else columns
    said = f'data-name="{escaped(name)}" data-title="{escaped(title)}"'
    if not found:
        body = f'<tr><td class="empty" colspan="{max(len(columns), 1)}">{escaped(texts("no_rows"))}</td></tr>'
        # Nothing can be sorted, filtered or copied: the script leaves a table without a name alone.
        return _table("", title, _head([(column.label, "") for column in columns]), body)
    cells = [[_cell(column, row, texts, zone, result.column_names) for column in columns] for row in found]
    if len(found) == 1 and len(columns) > WIDEST:
        body = "".join(
            f'<tr><th scope="row">{escaped(column.label)}</th>{cell}</tr>'
            for column, cell in zip(columns, cells[0], strict=True)
        )
        head = _head([(texts.column("measure"), ""), (texts.column("value"), ' class="n"')])
    else:
        body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        head = _head([(column.label, _attributes(column, texts)) for column in columns])
    return _table(said, title, head, body)


def _table(said: str, title: str, head: str, body: str) -> str:
    """A table in a frame that a keyboard can scroll."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escaped(title)}">'
        f"<table {said}><thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def columns_of(result: pa.Table, texts: Texts) -> list[Column]:
    """The columns that a table shows: not the bounds, an id that has a name or is always the same, or
    what lacks nowhere."""
    names = result.column_names
    places = {name: place for place, name in enumerate(names)}
    currency = _only(result, "currency")
    hidden = {f"{name}{end}" for name in names for end in BOUNDS}
    hidden |= {f"{name.removesuffix('_name')}_id" for name in names if name.endswith("_name")}
    hidden |= {"currency"} if currency or ("currency" in names and not result.num_rows) else set()
    hidden |= {"project_id"} if result.num_columns > 1 and _only(result, "project_id") else set()
    hidden |= {name for name in LACKS if name in names and _is_zero(result, name)}
    names = sorted((name for name in names if name not in hidden), key=_rank(result))
    return [
        Column(
            places[name],
            texts.column(name)
            + (f" ({currency})" if currency and MONEY.search(name) and _is_money(name) else ""),
            is_number(result.schema.field(places[name]).type),
            name,
            places.get(f"{name}_min"),
            places.get(f"{name}_max"),
            places.get(f"{name.removesuffix('_name')}_id") if name.endswith("_name") else None,
        )
        for name in names
    ]


def _is_zero(result: pa.Table, name: str) -> bool:
    """Whether a column is known to be zero in every row."""
    return all(value is not None and not value for value in result[name].unique().to_pylist())


def _rank(result: pa.Table) -> Callable[[str], int]:
    """What orders columns: what a row is about, then what it cost, then the rest as it comes."""
    numbers = {field.name for field in result.schema if is_number(field.type)}
    first = next((place for place, name in enumerate(result.column_names) if name in numbers), 0)
    about = set(result.column_names[:first])
    return lambda name: 0 if name in about else 1 if name == FIRST else 2


def as_they_are(result: pa.Table) -> list[Column]:
    """All columns of a result by their own names."""
    return [
        Column(place, field.name, is_number(field.type), field.name)
        for place, field in enumerate(result.schema)
    ]


def _is_money(name: str) -> bool:
    return not name.endswith(("_percent", "_count"))


def _only(result: pa.Table, name: str) -> str | None:
    """The only value of a column, cut to what a head has room for; None where it has several or none."""
    if name not in result.column_names:
        return None
    values = [value for value in result[name].unique().to_pylist() if value is not None]
    return cut(str(values[0]), 40) if len(values) == 1 else None


def _head(titles: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f'<th scope="col"{attributes}>{escaped(title)}</th>' for title, attributes in titles)
    return f"<tr>{cells}</tr>"


def _attributes(column: Column, texts: Texts) -> str:
    """What a script has to know of a column: whether it is of numbers, and what its bounds are called."""
    low, high = (texts(key, label=column.label) for key in ("at_least", "at_most"))
    bounds = f' data-low="{escaped(low)}" data-high="{escaped(high)}"' if column.low is not None else ""
    return (' class="n"' if column.is_number else "") + bounds


def _cell(column: Column, row: Sequence[Any], texts: Texts, zone: tzinfo, names: Sequence[str]) -> str:
    """A cell with a value, and below it the bounds of it where they are apart."""
    value = row[column.place]
    if value is None and column.instead is not None:
        value = row[column.instead]
    kind = ' class="n"' if column.is_number else ""
    if value is None or value != value:
        said = escaped(texts("unpriced")) if _is_unpriced(column.name, row, names) else "—"
        return f'<td class="{"n " if column.is_number else ""}null">{said}</td>'
    if isinstance(value, (Decimal, int, float)) and not isinstance(value, bool):
        return f"<td{kind}>{number(value)}{_bounds(column, row, value)}</td>"
    text = words(value, texts, zone)
    shown = escaped(cut(text))
    return f'<td class="long">{shown}</td>' if len(text) > LONG else f"<td>{shown}</td>"


def words(value: Any, texts: Texts, zone: tzinfo) -> str:
    """A value in words, a time to the minute in a zone."""
    if isinstance(value, bool):
        return texts("yes") if value else texts("no")
    if isinstance(value, datetime):
        return value.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    return value.isoformat() if isinstance(value, date) else plain(value)


def _bounds(column: Column, row: Sequence[Any], value: Any) -> str:
    low = None if column.low is None else row[column.low]
    high = None if column.high is None else row[column.high]
    if low is None or high is None or low == high == value:
        return ""
    return f"<small>{number(low)} – {number(high)}</small>"


def _is_unpriced(name: str, row: Sequence[Any], names: Sequence[str]) -> bool:
    """Whether nothing is known because there is no price, and not for another reason."""
    if name == ALWAYS_PRICED:
        return True
    lacking = [row[names.index(each)] for each in ("unpriced_hours", "unpriced_gb_hours") if each in names]
    return bool(PRICED.search(name)) and any(lacking)
