"""Rows of several tables replaced at once: until all are written, readers keep to the old ones.

Delta commits one table at a time. So a small file names the versions that readers keep to while rows
are replaced; taking the names out of it shows all that was written. Who finds the names of a run that
was killed puts the old rows back, but for those of a person who was to be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import duckdb
import pyarrow as pa

from etl import damage
from etl.columns import quoted
from etl.dictionary import TABLES, table
from etl.errors import LakeBusy
from etl.lake import Lake, schema
from etl.places import Place

FILE = "rewrite.json"


@dataclass(frozen=True)
class Rewrite:
    """How often rows were replaced so far; and while they are, what readers keep to and what is replaced:
    the rows of a project's sweeps since the given one, which are put back if that is killed; without a
    project nothing is."""

    count: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    project_id: str = ""
    since: str = ""


@dataclass(frozen=True)
class Rows:
    """The rows that a table is to have of the sweeps since the given one."""

    since: str
    reader: pa.RecordBatchReader


def current(lake: Lake) -> Rewrite:
    """What is being rewritten now, if anything."""
    try:
        return damage.read(_file(lake), lambda values: Rewrite(**values))
    except FileNotFoundError:
        return Rewrite()


@contextmanager
def at_once(lake: Lake, project_id: str = "", since: str = "") -> Iterator[None]:
    """Let readers keep to the rows of now until all that is written inside is there.

    Where that is killed, the rows of the project's sweeps since the given one are put back, if one is given.
    """
    mend(lake)
    with lake.lock("house", wait=True):
        versions = {each.name: lake.delta(each.name).version() for each in TABLES}
        tag = _file(lake).tag()
        note = Rewrite(current(lake).count, versions, project_id, since)
        tag = _write(lake, note, tag)
        yield
        _write(lake, Rewrite(note.count + 1), tag)


def rewrite(lake: Lake, project_id: str, rows: Mapping[str, Rows]) -> None:
    """Replace rows of a project in several tables, which readers see all at once."""
    with at_once(lake, project_id, min(each.since for each in rows.values())):
        for name, each in rows.items():
            lake.replace(name, project_id, each.since, each.reader)


def mend(lake: Lake) -> None:
    """Put back the rows that a run was replacing when it was killed."""
    if not current(lake).versions:
        return
    # Whoever is at it holds this lock.
    with lake.lock("house", wait=True):
        tag, note = _file(lake).tag(), current(lake)
        for name, version in note.versions.items():
            if note.project_id and lake.delta(name).version() != version:
                lake.replace(name, note.project_id, note.since, _old_rows(lake, note, name, version))
        if note.versions:
            _write(lake, Rewrite(note.count + 1), tag)


def _old_rows(lake: Lake, note: Rewrite, name: str, version: int) -> pa.RecordBatchReader:
    """The rows of a table as they were."""
    with duckdb.connect(":memory:") as connection:
        lake.attach(connection)
        connection.execute("set timezone = 'UTC'")
        rows = connection.sql(
            f"select * from {lake.relation(name, version=version)} "
            f"where project_id = {quoted(note.project_id)} and sweep_id >= {quoted(note.since)}"
        ).to_arrow_table()
    return rows.cast(schema(table(name))).to_reader()


def _write(lake: Lake, note: Rewrite, tag: str) -> str:
    """Replace the note that has this tag, and return that of the new one."""
    lake.store.fence()
    written = _file(lake).swap(json.dumps(asdict(note)) + "\n", tag)
    if written is None:
        raise LakeBusy("another run replaces rows of this lake: run this again later")
    return written


def _file(lake: Lake) -> Place:
    return lake.root / "tables" / FILE
