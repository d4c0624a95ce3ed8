"""The UTC days of the tidy tables: what each holds, looked at again only where its files are others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa

from etl import memory, rewrite
from etl.dictionary import table
from etl.lake import Lake

# What the marts are worked out from: by the day, and so small that all of it is kept in memory.
METERED = ("instances", "storage", "queue")
OFFERED = {
    "billing": "change in ('new', 'changed')",
    "flavors": "change in ('new', 'changed')",
    "pools": "true",
}

Files = dict[str, dict[date, list[str]]]

_SWEEPS_OF_DAY = """
select day, md5(string_agg(sweep_id, ',' order by sweep_id)) from (
    select sweep_id, unnest(generate_series(
        (observed_from at time zone 'UTC')::date, (observed_to at time zone 'UTC')::date,
        interval 1 day))::date as day
    from sweeps where observed_from is not null)
group by day
"""


def at_one_moment(lake: Lake) -> tuple[str, Files]:
    """SQL that reads the sweeps, and the files by day of what marts are worked out from.

    They belong together: no rows were being replaced meanwhile, and no sweep is there without its rows.
    """
    while True:
        now = rewrite.current(lake)
        sweeps = lake.relation("sweeps", version=now.versions.get("sweeps"))
        files = {name: lake.days(name, now.versions.get(name)) for name in (*METERED, *OFFERED)}
        if rewrite.current(lake) == now:
            return sweeps, files


def take_stock(connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files) -> None:
    """Make `partitions`, `flavors_used`, `lives` and the histories of what was offered, from files by day.

    `partitions` has for each UTC day a text that changes with the committed rows of instances, volumes
    and queues; `lives` the days on which each instance was first and last seen.
    """
    sweeps = dict(connection.execute(_SWEEPS_OF_DAY).fetchall())
    dates = sorted({day for each in files.values() for day in each})
    keys = [_hash([[files[name].get(day) for name in files], sweeps.get(day)]) for day in dates]
    _table(connection, "stock", {"observed_date": pa.array(dates, pa.date32()), "files": pa.array(keys)})
    connection.execute(
        "create temp table kept_dates as select observed_date from stock semi join known_partitions "
        "using (observed_date, files)"
    )
    kept = {day for (day,) in connection.execute("from kept_dates").fetchall()}
    changed = [day for day in dates if day not in kept]
    _look(connection, lake, files, changed)
    for name, condition in OFFERED.items():
        history = table(name).history
        rows = committed(lake, name, files, changed)
        connection.execute(f"create temp table {history} as {rows} and {condition}")
        memory.carry(connection, history, "observed_date in (from kept_dates)")


def _look(connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files, changed: Sequence[date]) -> None:
    """Make what is known of the days from those that changed and those that did not."""
    hashed = " union all ".join(
        f"select observed_date, hash('{name}', stored) as contents "
        f"from ({committed(lake, name, files, changed)}) as stored"
        for name in METERED
    )
    connection.execute(f"""
        create temp table partitions as
        select observed_date, files, coalesce(sum(contents), 0)::varchar as contents
        from (from stock anti join kept_dates using (observed_date))
        left join ({hashed}) using (observed_date)
        group by observed_date, files
    """)
    memory.carry(connection, "partitions", "observed_date in (from kept_dates)")
    rows = committed(lake, "instances", files, changed)
    connection.execute(
        "create temp table seen as "
        f"select distinct observed_date, project_id, instance_id, flavor from ({rows})"
    )
    connection.execute(
        "create temp table flavors_used as select distinct observed_date, project_id, flavor from seen "
        "where flavor is not null"
    )
    memory.carry(connection, "flavors_used", "observed_date in (from kept_dates)")
    connection.execute("""
        create temp table lives as
        select project_id, instance_id, min(first_date) as first_date, max(last_date) as last_date
        from (
            select project_id, instance_id, observed_date as first_date, observed_date as last_date from seen
            union all from known_lives)
        group by project_id, instance_id
    """)


def committed(lake: Lake, name: str, files: Files, dates: Sequence[date]) -> str:
    """A query of the committed rows of a table on these days, which further conditions may follow."""
    chosen = [file for day in dates for file in files[name].get(day, ())]
    return (
        f"select *, observed_at as valid_from from {lake.over(name, chosen)} "
        "where sweep_id in (select sweep_id from sweeps)"
    )


def _table(connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, pa.Array]) -> None:
    connection.register("given", pa.table(columns))
    connection.execute(f"create temp table {name} as select * from given")
    connection.unregister("given")


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
