"""Sweeps of an emulated service into a lake, and what the lake then holds, for tests to compare."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from bench.kept import spread
from etl import views
from etl.cli import main
from etl.client import Client
from etl.dictionary import TABLES, kept
from etl.emulator import Emulator
from etl.flatten import Staging, relations
from etl.lake import Lake
from etl.page import read_page
from etl.raw import RawPage
from etl.scope import Scope
from etl.settings import Settings
from etl.sweep import Sweep, list_and_commit, sweep

Row = dict[str, Any]

OBSERVED_AT = datetime(2026, 10, 12, tzinfo=UTC)

# What differs from one run to the next, whatever the service says.
OF_THE_RUN = ("sweep_id", "started_at", "finished_at", "version", "received_bytes")


def settings_for(service: Emulator, lake: Path | str, **others: Any) -> Settings:
    """Settings that sweep the service into the lake, as fast as it answers."""
    given: dict[str, Any] = {
        "lake": str(lake),
        "endpoint": service.endpoint,
        "project_id": service.project_id,
        "token": service.token,
        "requests_per_second": 10_000.0,
    }
    return Settings(**given | others)


def swept(service: Emulator, lake: Lake, scope: Scope | None = None, **others: Any) -> Sweep:
    """One sweep of the service, which waits for nothing between two tries."""
    settings = settings_for(service, str(lake), **others)
    return sweep(settings, scope or Scope(), client=impatient(settings), lake=lake)


def committed(service: Emulator, lake: Lake, scope: Scope | None = None, **others: Any) -> Sweep:
    """The same without the upkeep of the lake, for tests that make many."""
    settings = settings_for(service, str(lake), **others)
    return list_and_commit(settings, scope or Scope(), lake, client=impatient(settings))


def impatient(settings: Settings) -> Client:
    """A client that does not wait where it should."""
    return Client(settings, sleep=lambda seconds: None)


def environment_for(service: Emulator, lake: Path | str, **others: str) -> dict[str, str]:
    """The same settings for the command, as environment variables."""
    return {
        "DEMETER_LAKE": str(lake),
        "DEMETER_ENDPOINT": service.endpoint,
        "DEMETER_PROJECT_ID": service.project_id,
        "DEMETER_TOKEN": service.token,
        "DEMETER_REQUESTS_PER_SECOND": "10000",
        "DEMETER_ATTEMPTS": "1",
        **others,
    }


def run(environment: dict[str, str], *arguments: str) -> Result:
    """`demeter sweep` with this environment."""
    return CliRunner().invoke(main, [*arguments, "sweep"], env=environment)


def one_line(result: Result) -> str:
    """The one line on standard error, without the name of the program."""
    (line,) = result.stderr.splitlines()
    assert line.startswith("demeter: ")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return line.removeprefix("demeter: ")


def views_of(lake: Lake, *names: str) -> dict[str, list[Row]]:
    """All rows of views, by name; in order, for DuckDB promises none."""
    found = {}
    with views.connect(lake) as connection:
        for name in names:
            relation = connection.sql(f"from {name}")
            rows = sorted(relation.fetchall(), key=repr)
            found[name] = [dict(zip(relation.columns, row, strict=True)) for row in rows]
    return found


def rows_of(lake: Lake, name: str) -> list[Row]:
    """All rows of one view."""
    return views_of(lake, name)[name]


def tables_of(lake: Lake) -> dict[str, list[Row]]:
    """All rows of all tables, read from their files; without what differs from run to run."""
    return {
        table.name: [
            {name: value for name, value in row.items() if name not in OF_THE_RUN}
            for row in lake.delta(table.name).to_pyarrow_table().to_pylist()
        ]
        for table in TABLES
    }


def as_text(rows: Iterable[Row]) -> list[dict[str, str]]:
    """The rows as a CSV file has them, in order."""
    return sorted(
        ({name: cell(value) for name, value in row.items()} for row in rows), key=lambda row: [*row.values()]
    )


def cell(value: Any) -> str:
    """A value as a golden file has it: null is nothing, times are in UTC to the millisecond."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


def read_golden(directory: Path) -> dict[str, list[dict[str, str]]]:
    """The tables of a golden directory, a CSV file each, as `as_text` makes them."""
    tables = {}
    for path in directory.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
        tables[path.stem] = sorted(rows, key=lambda row: [*row.values()])
    return tables


def header_of(path: Path) -> list[str]:
    """The columns of a golden file."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def page_of(*documents: Any, total_count: Any = None) -> bytes:
    """A page of these documents as the service would send it."""
    total = len(documents) if total_count is None else total_count
    return json.dumps({"instances": documents, "total_count": total}).encode()


def document(number: int = 1, **fields: Any) -> Row:
    """A small running instance; its fields may be given otherwise."""
    plain: Mapping[str, Any] = {
        "id": f"DE-{number:08d}-aaaa-11f0-8000-0255ac10003b",
        "name": f"notebook-{number}",
        "status": "RUNNING",
        "creation_timestamp": str(1760227200000 + number),
        "latest_update_timestamp": str(1760227200000 + number),
        "flavor": "modelarts.vm.cpu.2u",
        "user": {"id": "user-1", "name": "li"},
    }
    return {**plain, **fields}


def flattened(*pages: bytes, batches: bool = False) -> dict[str, list[Row]]:
    """The tidy relations of pages, with `document_id`; `batches` adds each page by itself."""
    staging = Staging()
    read = [
        RawPage(0, number, read_page(page, OBSERVED_AT, staging.connection.cursor()))
        for number, page in enumerate(pages, start=1)
    ]
    for batch in [[page] for page in read] if batches else [read]:
        staging.add(batch)
    staging.settle()
    spread(staging.connection)
    relations(staging.connection)
    found = {table.name: staging.connection.sql(f"from tidy_{table.name}") for table in kept()}
    return {
        name: [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
        for name, relation in found.items()
    }
