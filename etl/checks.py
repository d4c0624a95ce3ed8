"""Checks of the data: SQL files whose rows are what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import duckdb

from etl import marts, sqlfiles, views
from etl.errors import DemeterError
from etl.lake import Lake

KIND = "checks"


@dataclass(frozen=True)
class Finding:
    """How a check came out: ok, warn or fail; `detail` is for people, with an example."""

    name: str
    status: str
    question: str
    detail: str = ""


def check_data(lake: Lake) -> list[Finding]:
    """Run every check of sql/checks over the lake as it is published."""
    lake.check()
    connection = views.connect(lake)
    built = marts.published(lake) is not None
    return [_judged(connection, name, built) for name in sqlfiles.names(KIND)]


def _judged(connection: duckdb.DuckDBPyConnection, name: str, built: bool) -> Finding:
    """The outcome of one check; what cannot be asked yet, since nothing is built, is said to be so."""
    text = sqlfiles.text(KIND, name)
    question = text.splitlines()[0].removeprefix("-- ")
    severity = re.search(r"^-- Severity: (warn|fail)$", text, re.MULTILINE)
    if severity is None:
        raise DemeterError(f"the check {name} has no severity")
    try:
        result = connection.execute(text)
    except duckdb.CatalogException:
        if built:
            raise
        return Finding(name, "ok", question, "not built yet")
    columns = [column[0] for column in result.description or ()]
    rows = result.fetchall()
    if not rows:
        return Finding(name, "ok", question)
    return Finding(name, severity.group(1), question, f"{len(rows)} rows, {_example(columns, rows[0])}")


def _example(columns: list[str], row: tuple[Any, ...]) -> str:
    told = [f"{name} {value}" for name, value in zip(columns, row, strict=True) if value is not None]
    return "e.g. " + ", ".join(told)
