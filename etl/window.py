"""The part of the histories that some days are worked out from, so that no other is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import duckdb
import pyarrow as pa

from etl.dictionary import table
from etl.lake import Lake
from etl.partitions import METERED, Files, committed
from etl.reach import DAY_US, FAR_US, Reach, Window, date_of, within

_SEEN = "change not in ('gone', 'unlisted', 'unread')"
_THERE = f"{_SEEN} and coalesce(status, '') <> 'DELETED'"

# Whom the days that were read do not tell enough of: who was not there just before a window or just
# after it, but was once; and who was away all the time.
_LOOKED_UP = f"""
create or replace temp table looked_up as
with present as (
    select
        windows.core_first, windows.core_last, windows.first, windows.last, project_id, instance_id,
        bool_or({_THERE} and observed_date < windows.core_first) as was_before,
        bool_or({_THERE} and observed_date > windows.core_last) as is_after
    from instance_history inner join windows on observed_date between windows.first and windows.last
    group by all
)
select distinct project_id, instance_id, lives.first_date, lives.last_date
from present inner join lives using (project_id, instance_id)
where (not was_before and lives.first_date < present.first)
    or (not is_after and lives.last_date > present.last)
union
select pairs.project_id, pairs.instance_id, lives.first_date, lives.last_date
from long_pairs as pairs inner join windows
    on pairs.from_us < windows.core_to_us and pairs.to_us > windows.core_from_us
inner join lives using (project_id, instance_id)
"""

# Two sightings that follow each other, or two at which it was there, with more between them than the reach
# of their days; or one with nothing after it, not even that it left, or only that it could not be read. And
# all that the days between rest on.
# DuckDB 1.5 takes no name of a window twice in one statement.
_LONG_PAIRS = f"""
create or replace temp table long_pairs as
with present as (
    select project_id, instance_id, sweep_id, observed_date, observed_at, {_THERE} as is_there
    from instance_history where {_SEEN}
),
absent as (
    select distinct project_id, instance_id from present where not is_there
),
paired as (
    select *,
        lag(observed_date) over life as before_date,
        lag(observed_at) over life as before_at,
        lag(sweep_id) over life as before_sweep_id
    from present
    window life as (partition by project_id, instance_id order by observed_at, sweep_id)
    union all
    select *,
        lag(observed_date) over stay as before_date,
        lag(observed_at) over stay as before_at,
        lag(sweep_id) over stay as before_sweep_id
    from present semi join absent using (project_id, instance_id)
    where is_there
    window stay as (partition by project_id, instance_id order by observed_at, sweep_id)
),
-- Whose last row is so old that more lies between it and the last sweep, or tells nothing.
ended_early as (
    select project_id, instance_id, last_date
    from lives inner join reaches on lives.last_date = reaches.observed_date
    where reaches.last - date '1970-01-01' < (select max(last_us) // {DAY_US} from scopes)
    union
    select project_id, instance_id, last_date
    from lives semi join (from instance_history where change = 'unread') using (project_id, instance_id)
),
latest as (
    select project_id, instance_id, max_by(sweep_id, (observed_at, sweep_id)) as sweep_id,
        max_by(change, (observed_at, sweep_id)) as change,
        max(case when {_SEEN} then observed_at end) as observed_at,
        max(case when {_SEEN} then observed_date end) as observed_date
    from instance_history inner join ended_early using (project_id, instance_id)
    group by project_id, instance_id
    having max(instance_history.observed_date) >= any_value(last_date)
),
ended as (
    select latest.*, sightings.scope
    from latest inner join sightings using (project_id, instance_id, sweep_id)
    where latest.change not in ('gone', 'unlisted') and latest.observed_at is not null
),
long as (
    select distinct paired.project_id, paired.instance_id, paired.sweep_id, paired.before_sweep_id,
        epoch_us(paired.before_at) as from_us, epoch_us(paired.observed_at) as to_us
    from paired
    inner join reaches as reach on paired.observed_date = reach.observed_date
    inner join reaches as before_reach on paired.before_date = before_reach.observed_date
    where paired.before_date < reach.first or paired.observed_date > before_reach.last
    union all
    select rows.project_id, rows.instance_id, rows.sweep_id, null as before_sweep_id,
        epoch_us(rows.observed_at) as from_us, {FAR_US} as to_us
    from ended as rows
    inner join scopes using (project_id, scope)
    inner join reaches as reach on rows.observed_date = reach.observed_date
    where scopes.last_us // {DAY_US} > reach.last - date '1970-01-01'
),
told as (
    select project_id, instance_id, sweep_id, hash(each_row) as contents
    from (
        select * exclude (first_us, last_us) from sightings semi join long using (project_id, instance_id)
    ) as each_row
),
changed as (
    select project_id, instance_id, sweep_id, hash(each_row) as contents
    from (
        select * exclude (first_us, last_us, next_updated_us, next_seen_us)
        from transitions semi join long using (project_id, instance_id)
    ) as each_row
),
supported as (
    select project_id, scope, day_number, hash(each_row) as contents
    from ({{support}}) as each_row
),
offered as (
    select project_id, flavor, from_us, to_us, hash(each_row) as contents from terms as each_row
)
select
    long.project_id, long.instance_id, long.from_us, long.to_us,
    hash(
        long.sweep_id, long.before_sweep_id, min(told.contents), min(earlier.contents),
        min(changed.contents), min(supported.contents), sum(offered.contents)
    )::varchar as contents
from long
inner join windows on long.from_us < windows.core_to_us and long.to_us > windows.core_from_us
left join told using (project_id, instance_id, sweep_id)
left join told as earlier
    on long.project_id = earlier.project_id and long.instance_id = earlier.instance_id
    and long.before_sweep_id = earlier.sweep_id
left join changed
    on long.project_id = changed.project_id and long.instance_id = changed.instance_id
    and long.sweep_id = changed.sweep_id
left join sightings as seen
    on long.project_id = seen.project_id and long.instance_id = seen.instance_id
    and long.sweep_id = seen.sweep_id
left join supported
    on seen.project_id = supported.project_id and seen.scope = supported.scope
    and seen.seen_us // {DAY_US} = supported.day_number
left join offered
    on seen.project_id = offered.project_id and seen.flavor = offered.flavor
    and offered.from_us < long.to_us and offered.to_us > long.from_us
group by long.project_id, long.instance_id, long.from_us, long.to_us, long.sweep_id, long.before_sweep_id
"""

# What may be taken as known on a day, without the counts that it rests on.
SUPPORT = """
select project_id, scope, day_number, marks_stops, marks_announced_stops, marks_starts, marks_restarts,
    moves_for_a_reason, usual_stopping_us, usual_starting_us, usual_creation_us, missed_millionths
from evidence_support
"""


def load(
    connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files, found: Sequence[Window], reach: Reach
) -> None:
    """Make the histories of the windows: all rows of their days, and all of whom those do not suffice for."""
    dates = sorted({day for each in files.values() for day in each})
    _keep_windows(connection, found)
    _keep_reaches(connection, dates, reach)
    read = sorted({day for window in found for day in within(dates, window.first, window.last)})
    for name in METERED:
        rows = committed(lake, name, files, read)
        connection.execute(f"create or replace temp table {table(name).history} as {rows}")
    connection.execute(_LOOKED_UP)
    [(first, last)] = connection.execute("select min(first_date), max(last_date) from looked_up").fetchall()
    if first is None:
        return
    others = sorted({day for day in dates if first <= day <= last} - set(read))
    for name in METERED:
        connection.execute(
            f"insert into {table(name).history} {committed(lake, name, files, others)} "
            "and (project_id, instance_id) in (select (project_id, instance_id) from looked_up)"
        )


def pair(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `long_pairs`: what joins days that are further apart than their reach, as far as it spans windows.

    A pair of before that spans none of the windows stands.
    """
    connection.execute(
        "create or replace temp table other_pairs as from long_pairs as pairs where not exists ("
        "select 1 from windows where pairs.from_us < core_to_us and pairs.to_us > core_from_us)"
    )
    connection.execute(_LONG_PAIRS.format(support=SUPPORT))
    connection.execute("insert into long_pairs by name from other_pairs")


def _keep_windows(connection: duckdb.DuckDBPyConnection, found: Sequence[Window]) -> None:
    columns = {
        "core_first": _dates(each.core_first for each in found),
        "core_last": _dates(each.core_last for each in found),
        "first": _dates(each.first for each in found),
        "last": _dates(each.last for each in found),
        "core_from_us": pa.array([each.core_first * DAY_US for each in found], pa.int64()),
        "core_to_us": pa.array([(each.core_last + 1) * DAY_US for each in found], pa.int64()),
    }
    _keep(connection, "windows", columns)


def _keep_reaches(connection: duckdb.DuckDBPyConnection, dates: Sequence[date], reach: Reach) -> None:
    numbers = [(day - date_of(0)).days for day in dates]
    columns = {
        "observed_date": pa.array(dates, pa.date32()),
        "first": _dates(reach.first(day) for day in numbers),
        "last": _dates(reach.last(day) for day in numbers),
    }
    _keep(connection, "reaches", columns)


def _dates(days: Iterable[int]) -> pa.Array:
    return pa.array([date_of(day) for day in days], pa.date32())


def _keep(connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, pa.Array]) -> None:
    connection.register("given", pa.table(columns))
    connection.execute(f"create or replace temp table {name} as select * from given")
    connection.unregister("given")
