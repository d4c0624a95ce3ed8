"""The views of a lake for Spark: by its Delta source, or by the files that the logs of the tables name.

A directory is never read as it stands: what was removed from a table still lies in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import duckdb

from etl import damage, marts, rewrite, spark, sqlfiles, views
from etl.compaction import day_of
from etl.dictionary import TABLES, Table, all_columns, kept, table
from etl.errors import UsageError
from etl.lake import Lake
from etl.places import Place

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TYPES = {"varchar": "string", "timestamptz": "timestamp"}


@dataclass(frozen=True)
class Stored:
    """A Delta table at one version: where it is, the files of that version, and its columns as Spark has
    them."""

    location: Place
    version: int
    files: Sequence[str]
    columns: str


class Views:
    """The views of a lake at one moment, each made in a session when it is first asked for."""

    def __init__(self, session: SparkSession, lake: Lake) -> None:
        if set("{}*?") & set(str(lake)):
            raise UsageError(
                f"the lake {lake} has one of {{ }} * ? in its path, which Spark takes for a pattern: "
                "give another directory"
            )
        self.session = session
        self.reads_delta = spark.reads_delta(session)
        self._made: set[str] = set()
        self.versions, self._queries = _at_one_moment(lake, self._read)

    def make(self, text: str) -> None:
        """Make the views that a text names, and those that they stand on."""
        words = set(re.findall(r"\w+", text.lower()))
        for name in self._queries:
            if name in words and name not in self._made:
                self._made.add(name)
                self._queries[name](self)

    def name(self, name: str, rows: DataFrame | str) -> None:
        """Give rows, or those of a query over other views, a name, whatever had it before."""
        self._made.add(name)
        if isinstance(rows, str):
            self.make(rows)
            rows = self.session.sql(rows)
        rows.createOrReplaceTempView(name)

    def _read(self, stored: Stored, since: date | None = None) -> DataFrame:
        """The rows of a table, of the days from `since` on."""
        return read(self.session, stored, since, self.reads_delta)


Make = Callable[[Views], None]
Read = Callable[..., "DataFrame"]


def read(
    session: SparkSession, stored: Stored, since: date | None = None, by_delta: bool = False
) -> DataFrame:
    """The rows of a table at its version, of the days from `since` on."""
    if by_delta:
        source = session.read.format("delta").option("versionAsOf", stored.version)
        rows = source.load(address(stored.location.uri))
        return rows.where(f"observed_date >= date '{since}'") if since else rows
    first = since.isoformat() if since else ""
    chosen = [each for each in stored.files if day_of(each) >= first]
    if not chosen:
        return session.createDataFrame([], stored.columns)
    reader = session.read.schema(stored.columns).option("basePath", address(stored.location.uri))
    return reader.parquet(*map(address, chosen))


def stored(location: Place, version: int | None = None) -> Stored:
    """A Delta table at a version, the present one unless given."""
    delta = damage.table_at(location, version)
    files = sorted(unquote(uri) for uri in delta.file_uris())
    fields = json.loads(delta.schema().to_json())["fields"]
    columns = ", ".join(f"`{each['name']}` {each['type']}" for each in fields)
    return Stored(location, delta.version(), files, columns)


def address(path: str | Path) -> str:
    """How Spark is told of a file, whatever it takes for its usual store; S3 is its connector's `s3a`."""
    return re.sub("^s3://", "s3a://", str(path)) if "://" in str(path) else f"file://{path}"


def check_shared(lake: Lake) -> None:
    """Raise UsageError unless the lake is in a directory, which workers can write into."""
    if not lake.is_directory:
        raise UsageError(
            f"the engine spark writes into directories, and {lake} is none: leave --engine spark out"
        )


def _at_one_moment(lake: Lake, read: Read) -> tuple[dict[str, int], dict[str, Make]]:
    """The versions of the tables, and what makes each view, over files that belong together: no rewrite
    began or ended meanwhile."""
    while True:
        now = rewrite.current(lake)
        # The sweeps first: what they committed is in the other tables by then.
        names = ("sweeps", *(each.name for each in TABLES if each.name != "sweeps"))
        tables = {name: _of_lake(lake, name, now.versions.get(name)) for name in names}
        found = dict(_queries(lake, now.versions, tables, read))
        if rewrite.current(lake) == now:
            return {name: each.version for name, each in tables.items()}, found


def _queries(
    lake: Lake, versions: Mapping[str, int], tables: Mapping[str, Stored], read: Read
) -> Iterator[tuple[str, Make]]:
    yield "sweeps", lambda made: made.name("sweeps", read(tables["sweeps"]))
    yield "slices", partial(_committed, "slices", tables["slices"], read)
    with duckdb.connect() as connection:
        since = views.live_since(lake, connection, versions)
    for each in kept():
        yield each.history, partial(_history, each, tables[each.name], read)
        yield each.name, partial(_live, each, tables[each.name], since, read)
    built = marts.published(lake)
    known = built.versions if built else {}
    for name, version in known.items():
        yield name, partial(_mart, name, stored(marts.directory(lake) / name, version), read)
    for name, sources in marts.DERIVED.items():
        if name not in known and set(sources) <= set(known):
            yield name, partial(_derived, name)


def _of_lake(lake: Lake, name: str, version: int | None) -> Stored:
    """A tidy table, its columns by the dictionary."""
    damage.check_log(lake.location(name))
    found = stored(lake.location(name), version)
    columns = ", ".join(
        f"`{each.name}` {TYPES.get(each.sql_type, each.sql_type)}" for each in all_columns(table(name))
    )
    return Stored(found.location, found.version, found.files, columns)


def _committed(name: str, stored: Stored, read: Read, made: Views) -> None:
    made.name(f"all_{name}", read(stored))
    made.name(name, views.committed(f"all_{name}"))


def _history(table: Table, stored: Stored, read: Read, made: Views) -> None:
    made.name(f"all_{table.name}", read(stored))
    made.name(table.history, views.history(table, views.committed(f"all_{table.name}")))


def _live(table: Table, stored: Stored, since: date | None, read: Read, made: Views) -> None:
    made.name(f"recent_{table.name}", read(stored, since))
    made.name(table.name, views.live(table, views.committed(f"recent_{table.name}")))


def _mart(name: str, stored: Stored, read: Read, made: Views) -> None:
    made.name(name, read(stored))


def _derived(name: str, made: Views) -> None:
    made.name(name, sqlfiles.text("marts", name))
