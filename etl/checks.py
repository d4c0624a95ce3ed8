"""Checks: of the settings and the source, and of the data by SQL files whose rows are what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from etl import marts, sqlfiles, sweep, views
from etl.client import Client
from etl.errors import DemeterError
from etl.lake import Lake
from etl.page import read_page
from etl.settings import Settings

KIND = "checks"


@dataclass(frozen=True)
class Finding:
    """How a check came out: ok, warn or fail; `detail` is for people, with an example."""

    name: str
    status: str
    question: str
    detail: str = ""


def check_all(settings: Settings, lake: Lake) -> Iterator[Finding]:
    """Check the settings, what the service says to them, the lake, and the data in it."""
    yield _tried("settings", "Do the settings suffice for a sweep?", lambda: sweep.check(settings))
    yield _tried("source", "Does the service answer?", lambda: _ask(settings))
    found = _tried("lake", "Is there a lake that can be read?", lake.check)
    yield found
    if found.status == "ok":
        yield from check_data(lake)


def _tried(name: str, question: str, attempt: Callable[[], str | None]) -> Finding:
    """A check that fails with the error that the attempt raises."""
    try:
        return Finding(name, "ok", question, attempt() or "")
    except DemeterError as error:
        return Finding(name, "fail", question, str(error))


def _ask(settings: Settings) -> str:
    """Ask for one instance, and say what the service told."""
    sweep.check(settings)
    path = f"/v1/{settings.project_id}/demanager/instances"
    params: dict[str, str | int] = {"de_type": "Notebook", "show_self": "false", "limit": 1}
    client = Client(replace(settings, attempts=1))
    connection = duckdb.connect()
    page = client.get(path, params, lambda answer: read_page(answer.body, answer.date, connection))
    return f"{page.total_count} instances; its clock is {page.observed_at:%Y-%m-%d %H:%M:%SZ}"


def check_data(lake: Lake) -> list[Finding]:
    """Run every check of sql/checks over the lake as it is published."""
    lake.check()
    connection = views.connect(lake)
    built = marts.published(lake) is not None
    return [_judged(connection, name, built) for name in sqlfiles.names(KIND)]


def check_built(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Run the checks of the marts over those that a connection holds."""
    reads_mart = re.compile(rf"\b(?:from|join)\s+(?:{'|'.join(marts.SEEN)})\b")
    names = [name for name in sqlfiles.names(KIND) if reads_mart.search(sqlfiles.text(KIND, name))]
    return [_judged(connection, name, True) for name in names]


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
