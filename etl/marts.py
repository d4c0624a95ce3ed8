"""Marts: tables worked out from the tidy ones, published together by one small file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from urllib.parse import unquote

import deltalake
import duckdb
import pyarrow as pa

from etl import damage
from etl.columns import quoted
from etl.compaction import HOOKS, WRITER, checkpoint, crowded, merge
from etl.damage import table_at
from etl.errors import LakeBusy, UsageError
from etl.lake import Lake
from etl.places import Place

# The relations of sql/marts, each worked out from those before it. What all days share comes first: it is
# small, and worked out for every day; then what was witnessed, what is worked out day by day, and what sums
# up all days.
SHARED = ("sweep_steps", "scopes", "terms", "prices_daily", "pools_daily", "pool_days")
SIGHTED = ("sightings", "transitions")
WITNESSED = (*SIGHTED, "evidence_record", "evidence_support")
DAILY = (
    "stretches",
    "usage_hourly",
    "usage_daily",
    "usage_totals",
    "storage_lives",
    "storage_sizes",
    "storage_daily",
    "cost_daily",
    "pool_cost_daily",
    "state_starts",
    "queue_sightings",
)
SUMMED_UP = ("coverage",)
# Those that readers see: stored day by day, stored whole, and told by a view over the stored ones.
PARTITIONED = (
    "stretches",
    "usage_hourly",
    "usage_daily",
    "cost_daily",
    "pool_cost_daily",
    "state_starts",
    "queue_sightings",
)
WHOLE = ("scopes", "coverage")
# Within a day, what is one user's lies together.
ORDER = dict.fromkeys(PARTITIONED, "usage_date, project_id, user_id, instance_id") | {
    "queue_sightings": "usage_date, project_id, instance_id",
}
DERIVED = {
    "states": ("state_starts", "scopes"),
    "sessions": ("stretches",),
    "queue_waits": ("queue_sightings", "scopes"),
}
STEPS = (*SHARED, *WITNESSED, *DAILY, *SUMMED_UP, *DERIVED)
STORED = (*PARTITIONED, *WHOLE)
SEEN = (*STORED, *DERIVED)
DAY = "usage_date"
CURRENT = "current.json"


class NothingMetered(UsageError):
    """No two complete sweeps are there yet, so there is no day to report on."""


@dataclass(frozen=True)
class Published:
    """The marts that readers see: the version of each table, and what they were worked out from.

    `fingerprint` stands for what all days depend on, `memory` names the folder of what the next build
    has to know of this one.
    """

    fingerprint: str
    tz: str
    versions: Mapping[str, int]
    memory: str = ""


def published(lake: Lake) -> Published | None:
    """What is published now; None before the first build."""
    try:
        return damage.read(directory(lake) / CURRENT, lambda values: Published(**values))
    except FileNotFoundError:
        return None


class Store:
    """Takes the marts that a build works out, some days after the other; nobody sees them yet.

    Beside what is published, if anything is known by it, or in its place.
    """

    def __init__(self, lake: Lake, known: Published | None) -> None:
        self.lake, self.known = lake, known
        self.versions: dict[str, int] = {}
        self.rows: dict[str, int] = {}
        if known:
            restore(lake, known)

    def put(self, connection: duckdb.DuckDBPyConnection, dates: Sequence[date]) -> None:
        """Write these days of the marts that are kept by day."""
        for name in PARTITIONED:
            found = connection.sql(f"select * from {name} order by {ORDER[name]}").to_arrow_table()
            self.rows[name] = self.rows.get(name, 0) + found.num_rows
            if self.known or name in self.versions:
                self.versions[name] = write_days(self.lake, name, found, dates)
            else:
                self.versions[name] = write(self.lake, name, found)

    def put_whole(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write the marts that are small."""
        for name in WHOLE:
            found = connection.sql(f"select * from {name} order by all").to_arrow_table()
            self.rows[name], self.versions[name] = found.num_rows, write(self.lake, name, found)


def relation(lake: Lake, name: str, version: int) -> str:
    """SQL that reads a mart as it was published."""
    damage.check_log(_location(lake, name))
    delta = table_at(_location(lake, name), version)
    files = sorted(unquote(uri) for uri in delta.file_uris())
    fields = delta.schema().fields
    if not files:
        empty = ", ".join(f"null::{_sql_type(str(field.type.type))} as {field.name}" for field in fields)
        return f"(select {empty} where false)"
    listed = ", ".join(map(quoted, files))
    if not delta.metadata().partition_columns:
        return f"read_parquet([{listed}])"
    names = ", ".join(field.name for field in fields)
    options = f"hive_partitioning = true, hive_types = {{'{DAY}': date}}"
    return f"(select {names} from read_parquet([{listed}], {options}))"


def locations(lake: Lake) -> dict[str, Place]:
    """The folders of all marts that were ever written, by name."""
    return {place.name: place for place in directory(lake).tables()}


def crowded_files(lake: Lake) -> list[str]:
    """The files of the marts, as they are published, that should be fewer."""
    built = published(lake)
    found = [_to_merge(lake, name, version) for name, version in built.versions.items()] if built else []
    return list(chain.from_iterable(found))


def keep(lake: Lake) -> None:
    """Make the files of the published marts fewer, publish the versions that this makes, and checkpoint."""
    before, built = tag(lake), published(lake)
    versions = dict(built.versions) if built else {}
    for name, version in versions.items():
        delta = table_at(_location(lake, name))
        if _to_merge(lake, name, version):
            merge(delta)
            versions[name] = delta.version()
        checkpoint(delta, _location(lake, name))
    if built and versions != built.versions:
        publish(lake, replace(built, versions=versions), before)


def _to_merge(lake: Lake, name: str, version: int) -> list[str]:
    """The files that should be fewer; none of a mart that a build has written anew, and not published."""
    delta = table_at(_location(lake, name))
    return list(chain.from_iterable(crowded(delta).values())) if delta.version() == version else []


def write(lake: Lake, name: str, rows: pa.Table) -> int:
    """Replace a mart's rows and return the version that this makes; nobody sees it yet."""
    lake.store.fence()
    location = make_way(lake, name)
    deltalake.write_deltalake(
        location.uri,
        rows,
        partition_by=partitions(name) or None,
        mode="overwrite",
        schema_mode="overwrite",
        writer_properties=WRITER,
        post_commithook_properties=HOOKS,
        storage_options=lake.store.options,
    )
    return table_at(location).version()


def partitions(name: str) -> list[str]:
    """The columns that a mart is to be kept by."""
    return [DAY] if name in PARTITIONED else []


def make_way(lake: Lake, name: str) -> Place:
    """Where a mart is, once nothing is there that cannot become it: damage, or an older layout."""
    location = _location(lake, name)
    if _columns_of_partitions(lake, name) not in (None, partitions(name)):
        location.clear()
    return location


def _columns_of_partitions(lake: Lake, name: str) -> list[str] | None:
    """The columns that a mart is kept by; None where it is not there, and an odd one where it is damaged."""
    location = _location(lake, name)
    if not any((location / "_delta_log").files(deep=False)):
        return None
    try:
        damage.check_log(location)
        return table_at(location).metadata().partition_columns
    except (damage.Damaged, *damage.SUSPECT):
        return ["damaged"]


def write_days(lake: Lake, name: str, rows: pa.Table, dates: Sequence[date]) -> int:
    """Replace a mart's rows of these days, the files of all others staying as they are."""
    lake.store.fence()
    delta = table_at(_location(lake, name))
    listed = ", ".join(quoted(day.isoformat()) for day in dates)
    deltalake.write_deltalake(
        delta,
        rows,
        mode="overwrite",
        predicate=f"{DAY} in ({listed})",
        writer_properties=WRITER,
        post_commithook_properties=HOOKS,
    )
    return table_at(_location(lake, name)).version()


def restore(lake: Lake, published: Published) -> None:
    """Take back what a build that was killed left in the tables after the versions that were published."""
    for name in PARTITIONED:
        delta = table_at(_location(lake, name))
        if delta.version() != published.versions[name]:
            delta.restore(published.versions[name], post_commithook_properties=HOOKS)


def tag(lake: Lake) -> str:
    """What changes whenever marts are published."""
    return (directory(lake) / CURRENT).tag()


def publish(lake: Lake, published: Published, tag: str) -> None:
    """Let readers see these versions of all marts at once, in the place of what was published by that tag.

    LakeBusy where another run published meanwhile, since this one was taken for dead.
    """
    values = {
        "fingerprint": published.fingerprint,
        "tz": published.tz,
        "versions": dict(published.versions),
        "memory": published.memory,
    }
    lake.store.fence()
    if (directory(lake) / CURRENT).swap(json.dumps(values, indent=1) + "\n", tag) is None:
        raise LakeBusy("another run published marts of this lake meanwhile: run this again")


def _sql_type(type: str) -> str:
    """The DuckDB type of a primitive Delta type."""
    return {"string": "varchar", "long": "bigint", "timestamp": "timestamptz"}.get(type, type)


def directory(lake: Lake) -> Place:
    """Where the marts of a lake are."""
    return lake.root / "marts"


def _location(lake: Lake, name: str) -> Place:
    return directory(lake) / name
