"""The data dictionary as people read it: tables and marts, their columns, and where they come from.

The columns of the marts are data, in marts.csv.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from etl import correspondence, sqlfiles
from etl.dictionary import TABLES, Column, Table, all_columns, maps, unit
from etl.errors import UsageError

Row = dict[str, str]

# What a column says of its origin that comes from no field of the API.
_DERIVED = {"field": "", "notebooks field": "", "reference": "derived"}

# The columns that a history view adds to those of its table.
VALID = (
    Column("valid_from", "timestamp", "common", "", "derived", "when the row was first seen: observed_at"),
    Column(
        "valid_to",
        "timestamp",
        "common",
        "",
        "derived",
        "when the next row of its key was seen; null for the latest",
    ),
)


def tables() -> list[Row]:
    """Every table and mart: its name, what a row is, and the view that holds all its versions."""
    tidy = [{"table": table.name, "history": table.history, "a row is": table.grain} for table in TABLES]
    return [*tidy, *({"table": name, "history": "", "a row is": grain(name)} for name in marts())]


def names() -> list[str]:
    """The names of all tables, history views and marts."""
    return [*(name for table in TABLES for name in (table.name, table.history) if name), *marts()]


def marts() -> list[str]:
    """The names of the marts, in the order in which they are worked out."""
    return list(_marts())


def grain(mart: str) -> str:
    """What a row of a mart is."""
    return sqlfiles.meaning("marts", mart)[1].replace("one row per ", "one per ", 1)


def find(name: str) -> Table:
    """The table of that name or with that history view; UsageError names the nearest."""
    for table in TABLES:
        if name in (table.name, table.history):
            return table
    raise unknown("table", name, names(), "demeter schema")


def unknown(kind: str, name: str, known: list[str], lists: str) -> UsageError:
    """The error for a name that is none of the known ones, with the nearest of them."""
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"`{lists}` lists them"
    return UsageError(f"there is no {kind} {name!r}: {hint}")


def columns(name: str) -> list[Row]:
    """Every column of a table, a history view or a mart, with its type, unit, meaning and origin."""
    if name in _marts():
        return _marts()[name]
    table = find(name)
    found = [*all_columns(table), *(VALID if name == table.history else ())]
    return [_row(column) for column in [*found, *(_map_columns() if table.name == "attributes" else [])]]


def heading(name: str) -> str:
    """What a row of a table, a history view or a mart is, in a line."""
    if name in _marts():
        return f"{name}: {grain(name)}; `demeter build` works it out"
    table = find(name)
    if name == table.history:
        return f"{name}: every version of {table.grain}, each valid from valid_from until valid_to"
    versions = f"; all its versions are in {table.history}" if table.history else ""
    return f"{name}: {table.grain}{versions}"


def _row(column: Column) -> Row:
    return {
        "column": column.name,
        "type": column.sql_type,
        "unit": unit(column),
        "meaning": column.meaning,
        "field": column.field,
        "notebooks field": ", ".join(correspondence.fields_of(column.field)),
        "reference": column.reference,
    }


@cache
def _marts() -> dict[str, list[Row]]:
    """The columns of each mart, as rows like those of a table, without a field of the API."""
    found: dict[str, list[Row]] = {}
    with Path(__file__).with_name("marts.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row.pop("table"), []).append({**row, **_DERIVED})
    return found


def _map_columns() -> list[Column]:
    """The maps of the reference, as the values of `attributes` that they become."""
    value = Column("value", "text", "value", "", "", "")
    return [
        replace(
            value,
            field=each.field,
            reference=each.reference,
            meaning=f"{each.meaning}: owner_kind = '{each.owner_kind}' and map = '{each.name}'",
        )
        for each in maps()
    ]
