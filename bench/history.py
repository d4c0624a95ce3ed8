"""A lake as sweeps every quarter of an hour over months would leave it, written straight into its tables.

One real sweep of an emulated fleet is the pattern: what it wrote of each instance is told again, as often
as instances are wanted, each with a life of its own. Each starts and stops five times a day, now and
then queues or fails to start, and some are created and deleted. Days are written as compaction leaves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from etl import __version__
from etl.columns import quoted
from etl.compaction import checkpoint, sorted_by
from etl.dictionary import all_columns, kept, table
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake
from etl.scope import WHOLE, Scope
from etl.settings import Settings
from etl.sweep import list_and_commit

PATTERN = 2000  # instances that are really swept
SHARED = ("profiles", "provisions", "billing", "pools", "workspaces", "ai_projects", "repositories")
STATE = "status, updated_us, run_started_us"


@dataclass(frozen=True)
class Shape:
    """How many instances over how many days from a first one, and which of all such histories."""

    instances: int = 1000
    days: int = 30
    seed: int = 7
    start: date = date(2026, 1, 1)
    every_minutes: int = 15
    runs_a_day: int = 5
    created_share: float = 0.002  # new instances a day, of those at the start; as many are deleted

    @property
    def lives(self) -> int:
        """All instances that there ever are."""
        return self.instances + round(self.instances * self.created_share * self.days)


class History:
    """A lake to which days are added, one after the other."""

    def __init__(self, lake: Lake, shape: Shape) -> None:
        self.lake, self.shape, self.day = lake, shape, 0
        lake.create()
        self.connection = duckdb.connect()
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set enable_progress_bar = false")
        self._take_pattern()
        self._make_fleet()

    def add(self, days: int = 1) -> None:
        """Write further days; the last one has a sweep at its very end."""
        for _ in range(days):
            self._sweep_times()
            self.connection.execute(_TURNS.format(day=self.day, **vars(self.shape), begin=self._begin))
            self.connection.execute(_SEEN.format(is_first=self.day == 0))
            for name, query in self._rows():
                names = ", ".join(column.name for column in all_columns(table(name)))
                rows = self.connection.sql(f"select {names} from ({query}) {_order(name)}").to_arrow_table()
                if rows.num_rows:
                    self.lake.append(name, rows)
                    checkpoint(self.lake.delta(name), self.lake.location(name))
            self.connection.execute(_NOW)
            self.day += 1

    @property
    def _begin(self) -> int:
        """The microsecond at which the day begins."""
        start = datetime.combine(self.shape.start + timedelta(self.day), datetime.min.time(), UTC)
        return int(start.timestamp()) * 1_000_000

    def _take_pattern(self) -> None:
        """Sweep a fleet in which nothing happens, and keep what the sweep wrote, by table."""
        count = min(self.shape.instances, PATTERN)
        start = f"{self.shape.start}T00:00:00Z"
        fleet = Fleet(
            FleetSettings(
                instances=count,
                seed=self.shape.seed,
                start=start,
                users=max(count // 20, 1),
                failure_share=0,
                unchanging=True,
            )
        )
        with TemporaryDirectory() as folder, Emulator(fleet, clock=Clock.at(start)) as service:
            settings = Settings(
                lake=folder,
                endpoint=service.endpoint,
                project_id=service.project_id,
                token=service.token,
                requests_per_second=1000,
            )
            lake = Lake(Path(folder))
            list_and_commit(settings, Scope(), lake)
            for each in kept():
                self.connection.execute(f"create table of_{each.name} as from {lake.relation(each.name)}")
            self.project_id = service.project_id

    def _make_fleet(self) -> None:
        """Tell the pattern as often as instances are wanted, each with an id and a name of its own."""
        pattern = min(self.shape.instances, PATTERN)
        given = {"lives": self.shape.lives, "begin": self._begin, "pattern": pattern}
        self.connection.execute(_FLEET.format(**given, **vars(self.shape)))

    def _sweep_times(self) -> None:
        """Make the sweeps of the day; now and then one fails."""
        self.connection.execute(_SWEEPS.format(begin=self._begin, lives=self.shape.lives, **vars(self.shape)))

    def _rows(self) -> Iterator[tuple[str, str]]:
        """The query of the rows of each table; those of sweeps, which commit all others, come last."""
        project = quoted(self.project_id)
        for name, query in _ROWS.items():
            yield name, query.format(project=project)
        for name in SHARED:
            yield name, _SHARED.format(name=name, project=project)
        scope, version = quoted(WHOLE), quoted(__version__)
        for name, query in _LOG.items():
            yield name, query.format(project=project, scope=scope, version=version)


def write(path: Path, shape: Shape) -> History:
    """A new lake of that shape."""
    history = History(Lake(path), shape)
    history.add(shape.days)
    return history


def whole_sweep(history: History) -> dict[str, str]:
    """The query of all rows that a sweep saw, by table: the first sweep of the last day."""
    lake, found = history.lake, {}
    day = history.shape.start + timedelta(history.day - 1)
    for each in kept():
        keys = ", ".join(each.keys)
        found[each.name] = (
            f"select * from {lake.over(each.name, lake.days(each.name).get(day, []))} "
            f"where change <> 'gone' qualify row_number() over (partition by {keys} order by observed_at) = 1"
        )
    return found


def _order(name: str) -> str:
    """How the rows of a day lie in a table after compaction."""
    return "" if table(name).owner == "log" else f"order by {sorted_by(table(name))}, observed_at"


# A number from 0 to 1 for each of what is named, the same for the same seed.
_FLEET = """
create macro chance(what) as (hash(what, {seed}) % 1000000007) / 1000000007.0;
create table fleet as
with numbered as (
    select *, row_number() over (order by created_at, instance_id) - 1 as place from of_instances
),
told as (
    select numbered.*, slot, slot // {pattern} as copy
    from (select unnest(range({lives})) as slot) as slots
    inner join numbered on slot % {pattern} = place
),
named as (
    select * replace (
            case when copy = 0 then instance_id
                else 'DE-' || md5(instance_id || copy)[:8] || instance_id[12:] end as instance_id,
            case when copy = 0 then name else name || '-' || copy end as name,
            case when copy = 0 then user_id else md5(user_id || copy) end as user_id,
            -- Whoever is born later runs until it is stopped.
            auto_stop_enabled and slot < {instances} as auto_stop_enabled,
            case when slot < {instances} then auto_stop_seconds end as auto_stop_seconds
        ),
        instance_id as pattern_id, user_id as pattern_user_id
    from told
)
select * exclude (project_id, sweep_id, observed_at, observed_date, change, place)
    replace (case when born_us is null then created_at else make_timestamptz(born_us) end as created_at)
from (
    select *,
        case when slot >= {instances}
            then ({begin} + chance([slot, 1]) * {days} * 86400000000)::bigint // 1000 * 1000
        end as born_us,
        case when slot < {lives} - {instances}
            then ({begin} + (0.01 + chance([slot, 2])) * {days} * 86400000000)::bigint
        end as died_us
    from named
);
create table now as
select slot, instance_id, 'STOPPED' as status, epoch_us(created_at) + 3600000000 as updated_us,
    null::bigint as run_started_us, false as is_there
from fleet where born_us is null;
create table leftover (slot bigint, run bigint, at_us bigint, status varchar, run_started_us bigint)
"""

_SWEEPS = """
create or replace table all_sweeps as
select number, at_us, ends_us, chance([at_us, 3]) < 0.002 and number > 0 as is_failed,
    strftime(make_timestamptz(at_us), '%Y%m%dT%H%M%S%fZ-') || md5(at_us::varchar)[:6] as sweep_id
from (
    select number, at_us, at_us + {lives} // 5000 * 1000000 + 1000000 as ends_us
    from (
        select number,
            {begin} + (number * {every_minutes} * 60 + chance([number, {begin}]) * 50)::bigint * 1000000
                as at_us
        from range(24 * 60 // {every_minutes}) as numbers(number)
    )
);
create or replace table sweeps as select * from all_sweeps where not is_failed
"""

# What happens on a day: the turns of every life, and the sweep that is the first to see each.
_TURNS = """
create or replace table turns as
with cut as (
    -- The day of each begins at a time of its own.
    select slot, flavor, auto_stop_seconds, born_us, died_us,
        {begin} + 600000000 + (chance([slot, 9]) * 86400)::bigint * 1000000 as begin_us,
        list_sort(list_transform(range({runs_a_day} * 2), lambda k: chance([slot, {day}, 4, k]))) as cuts
    from fleet
    where coalesce(born_us < {begin} + 86400000000, true) and coalesce(died_us >= {begin}, true)
),
run as (
    select *, 85800 - 240 * {runs_a_day} as span, unnest(range({runs_a_day})) as run from cut
),
bounded as (
    select *,
        begin_us + (span * cuts[2 * run + 1] + 240 * run)::bigint * 1000000 as from_us,
        begin_us + (span * cuts[2 * run + 2] + 240 * run + 120)::bigint * 1000000 as to_us,
        chance([slot, {day}, 5, run]) < 0.02 as is_failure,
        from_us + 20000000 + (chance([slot, {day}, 6, run]) * 80000)::bigint * 1000 as run_us
    from run
),
stopped as (
    select *, least(to_us, coalesce(run_us + auto_stop_seconds * 1000000, to_us)) as stop_us,
        from_us - 60000000
            - (chance([slot, {day}, 7]) * least(from_us - begin_us, 2400000000))::bigint as wait_us,
        -- Nobody waits over midnight.
        case when run = 0 and flavor like '%.free' and (from_us + 1800000000) // 86400000000
            = wait_us // 86400000000 then wait_us end as queue_us
    from bounded
),
turned as (
    select slot, run, born_us, died_us, unnest(case
        when is_failure then [
            {{'at_us': from_us, 'status': 'STARTING', 'run_started_us': null}},
            {{'at_us': run_us, 'status': 'START_FAILED', 'run_started_us': null}}]
        else [
            {{'at_us': queue_us, 'status': 'START_QUEUING', 'run_started_us': null}},
            {{'at_us': from_us, 'status': 'STARTING', 'run_started_us': null}},
            {{'at_us': run_us, 'status': 'RUNNING', 'run_started_us': run_us // 1000 * 1000}},
            {{'at_us': stop_us, 'status': 'STOPPING', 'run_started_us': null}},
            {{'at_us': stop_us + 10000000 + (chance([slot, {day}, 8, run]) * 100000)::bigint * 1000,
                'status': 'STOPPED', 'run_started_us': null}}]
        end, recursive := true)
    from stopped
    -- One that is born runs at first, up to the first stop.
    where born_us is null or stop_us > born_us + 120000000
),
lived as (
    select slot, run, at_us, status, run_started_us from turned
    where at_us is not null and coalesce(at_us < died_us, true)
        and (coalesce(at_us > born_us + 120000000, true))
    qualify born_us is null or {begin} > born_us
        or count_if(status = 'STOPPING') over (partition by slot order by at_us) > 0
    union all
    select slot, 0, unnest([born_us, born_us + 60000000]), unnest(['CREATING', 'RUNNING']),
        unnest([null, born_us + 60000000])
    from cut where born_us >= {begin}
    union all
    select slot, 0, died_us, 'GONE', null from cut where died_us < {begin} + 86400000000
    union all
    from leftover
)
select lived.*, sweeps.number
from lived asof left join sweeps on lived.at_us <= sweeps.at_us
"""

# The rows of instances, but for what never changes: the state before each sweep, and the first of a day.
_SEEN = """
create or replace table seen as
with latest as (
    select slot, number, status, at_us // 1000 * 1000 as updated_us, run_started_us
    from turns where number is not null
    qualify row_number() over (partition by slot, number order by at_us desc) = 1
),
first_sweep as (
    select now.slot, 0 as number, now.status, now.updated_us, now.run_started_us
    from now anti join latest on now.slot = latest.slot and latest.number = 0
),
all_seen as (
    select *, true as is_turn from latest union all select *, false as is_turn from first_sweep
),
paired as (
    select all_seen.*, coalesce(lag(all_seen.status) over life, now.status) as before_status,
        coalesce(lag(all_seen.updated_us) over life, now.updated_us) as before_updated_us,
        coalesce(lag(all_seen.run_started_us) over life, now.run_started_us) as before_run_started_us,
        lag(all_seen.slot) over life is null and not coalesce(now.is_there, false) as is_new
    from all_seen left join now using (slot)
    window life as (partition by all_seen.slot order by number)
)
select paired.slot, fleet.instance_id, number, sweeps.sweep_id,
    sweeps.at_us + paired.slot // 5000 * 1000000 as observed_us, sweeps.ends_us,
    case when is_new then 'new' when paired.status = 'GONE' then 'gone' when is_turn then 'changed'
        else 'keyframe' end as change,
    case when paired.status = 'GONE' then before_status else paired.status end as status,
    case when paired.status = 'GONE' then before_updated_us else paired.updated_us end as updated_us,
    case when paired.status = 'GONE' then before_run_started_us else paired.run_started_us end
        as run_started_us,
    case when is_new then null else before_status end as before_status,
    is_new, number = 0 and not is_new and paired.status <> 'GONE' as is_day,
    paired.status = 'GONE' as is_gone
from paired
inner join sweeps using (number)
inner join fleet on paired.slot = fleet.slot
-- Whoever was born and deleted between two sweeps was never seen.
where not (is_new and paired.status = 'GONE')
"""

_NOW = f"""
create or replace table now as
select slot, instance_id, {STATE}, true as is_there from (
    select slot, instance_id, {STATE}, number, is_gone from seen
    union all select slot, instance_id, {STATE}, -1, false from now)
qualify row_number() over (partition by slot order by number desc) = 1 and not is_gone;
create or replace table leftover as
select slot, run, at_us, status, run_started_us from turns where number is null
"""

_OBSERVED = """
    {{project}} as project_id, seen.sweep_id,
    make_timestamptz(case when {gone} then seen.ends_us else seen.observed_us end) as observed_at,
    make_timestamptz(seen.observed_us)::date as observed_date,
    {change} as change
"""
_OF_INSTANCE = _OBSERVED.format(
    gone="seen.is_gone", change="case when is_new then 'new' when is_gone then 'gone' else 'keyframe' end"
)


def _while(status: str) -> tuple[str, str]:
    """The columns and the condition of what an instance has only while it is in a status."""
    has, had = f"(seen.status = '{status}' and not is_gone)", f"before_status is not distinct from '{status}'"
    change = f"case when not {has} then 'gone' when {had} then 'keyframe' else 'new' end"
    observed = _OBSERVED.format(gone=f"not {has}", change=change)
    return observed, f"({has} and (not ({had}) or is_day)) or ({had} and not {has})"


_RUNNING, _IS_RUNNING = _while("RUNNING")
_FAILED, _HAS_FAILED = _while("START_FAILED")
_KEPT = "is_new or is_day or is_gone"

# What an emulated market shows of flavors that are free: it moves every ten minutes.
_MARKET = """
(
    select *, lag(waiting) over (partition by flavor order by at_us) as before from (
        select flavor, number, at_us, sweep_id,
            greatest((chance([flavor, (at_us // 600000000)::varchar]) * 19)::bigint - 6, 0) as waiting
        from sweeps cross join (select flavor from of_flavors where flavor like '%.free')
)
)
"""
_OF_SWEEP = """
{project} as project_id, sweeps.sweep_id, make_timestamptz(sweeps.at_us) as observed_at,
make_timestamptz(sweeps.at_us)::date as observed_date
"""
_FIRST = f"""
{_OF_SWEEP}, case when (select min(is_new) from seen where number = 0 and not is_gone) then 'new'
    else 'keyframe' end as change
"""

_ROWS = {
    "instances": f"""
        select fleet.* exclude (instance_id)
            replace (
                seen.status as status, make_timestamptz(updated_us) as updated_at,
                case when auto_stop_seconds is not null then make_timestamptz(run_started_us) end
                    as run_started_at,
                make_timestamptz(run_started_us + auto_stop_seconds * 1000000) as stop_at,
                greatest(run_started_us + auto_stop_seconds * 1000000 - observed_us, 0) // 1000000
                    as auto_stop_remaining_seconds,
                case when seen.status = 'START_FAILED' then 'ModelArts.6789' end as error_code),
            seen.instance_id, {_OBSERVED.format(gone="is_gone", change="seen.change")}
        from seen inner join fleet on seen.slot = fleet.slot
    """,
    **{
        name: f"""
        select kept.* exclude (project_id, sweep_id, observed_at, observed_date, change, instance_id),
            seen.instance_id, {_OF_INSTANCE}
        from seen inner join fleet on seen.slot = fleet.slot
        inner join of_{name} as kept on kept.instance_id = fleet.pattern_id
        where {_KEPT}
    """
        for name in ("storage", "extras")
    },
    "failures": f"""
        select instance_id, 'ModelArts.6789' as code, 'no node has room for it' as message, {_FAILED}
        from seen where {_HAS_FAILED}
    """,
    "attributes": f"""
        select owner_kind, seen.instance_id as owner_id, map, key, value, {_OF_INSTANCE}
        from seen inner join fleet on seen.slot = fleet.slot
        inner join of_attributes as kept on kept.owner_id = fleet.pattern_id and key <> 'url'
        where {_KEPT}
        union all by name
        select 'instance' as owner_kind, instance_id as owner_id, 'annotations' as map, 'url' as key,
            'https://10.176.46.12:32000/modelarts/internal/hub/notebook/user/' || instance_id as value,
            {_RUNNING}
        from seen where {_IS_RUNNING}
        union all by name
        select owner_kind, owner_id, map, key, value, {_FIRST}
        from of_attributes cross join sweeps
        where owner_kind not in ('instance', 'failure') and number = 0
    """,
    "queue": """
        with waits as (
            select slot, at_us as began_us, lead(at_us) over life as ends_us, status
            from turns window life as (partition by slot, run order by at_us)
        ),
        waiting as (
            select waits.*, sweeps.*, row_number() over (partition by slot order by sweeps.at_us) as place,
                sweeps.at_us + slot // 5000 * 1000000 as observed_us
            from waits inner join sweeps on sweeps.at_us >= began_us and sweeps.at_us < waits.ends_us
            where status = 'START_QUEUING'
        ),
        left_at as (
            select waiting.* replace (seen.sweep_id as sweep_id, seen.ends_us as observed_us), true as is_end
            from waiting inner join seen on waiting.slot = seen.slot and seen.before_status = 'START_QUEUING'
                and seen.status <> 'START_QUEUING'
            qualify row_number() over (partition by waiting.slot order by place desc) = 1
        )
        select instance_id, instance_id as queued_instance_id, name as queued_name, 'Notebook' as de_type,
            flavor, 'START_QUEUING' as status, 1 + (seen.ends_us - at_us) // 137000000 as rank,
            make_timestamptz(began_us // 1000 * 1000) as began_at,
            make_timestamptz(ends_us // 1000 * 1000) as ends_at,
            (ends_us - at_us) // 1000000 as remaining_seconds,
            {project} as project_id, sweep_id, make_timestamptz(observed_us) as observed_at,
            make_timestamptz(observed_us)::date as observed_date,
            case when is_end then 'gone' when place = 1 then 'new' else 'changed' end as change
        from (select *, false as is_end from waiting union all by name from left_at) as seen
        inner join fleet using (slot)
    """,
    "users": f"""
        select distinct fleet.user_id, user_name || case when copy = 0 then '' else '-' || copy end
            as user_name, {_FIRST}
        from fleet inner join of_users as kept on fleet.pattern_user_id = kept.user_id cross join sweeps
        where number = 0
    """,
    "flavors": f"""
        select kept.* exclude (project_id, sweep_id, observed_at, observed_date, change), {_FIRST}
        from of_flavors as kept cross join sweeps where number = 0 and flavor not like '%.free'
        union all by name
        select kept.* exclude (project_id, sweep_id, observed_at, observed_date, change)
                replace (case when waiting > 0 then 'soldOut' else 'onSale' end as sale_status),
            {_OF_SWEEP},
            case when number > 0 then 'changed' when is_start then 'new' else 'keyframe' end as change
        from {_MARKET} as sweeps inner join of_flavors as kept using (flavor)
        cross join (select min(is_new) as is_start from seen where number = 0 and not is_gone)
        where number = 0 or (waiting > 0) <> (before > 0)
    """,
    "flavor_availability": f"""
        select flavor, queue_length, queue_left_seconds, instance_count, {_FIRST}
        from of_flavor_availability cross join sweeps where number = 0 and flavor not like '%.free'
        union all by name
        select flavor, nullif(waiting, 0) as queue_length, nullif(137 * waiting, 0) as queue_left_seconds,
            null as instance_count, {_OF_SWEEP},
            case when number > 0 then 'changed' when is_start then 'new' else 'keyframe' end as change
        from {_MARKET} as sweeps
        cross join (select min(is_new) as is_start from seen where number = 0 and not is_gone)
        where number = 0 or waiting <> before
    """,
}
_SHARED = f"""
select kept.* exclude (project_id, sweep_id, observed_at, observed_date, change), {_FIRST}
from of_{{name}} as kept cross join sweeps where number = 0
"""
_LOG = {
    "slices": """
        select 0 as slice, {scope} as filter, instance_count as total_count_first,
            instance_count as total_count_last, instance_count + instance_count // 50 as row_count,
            instance_count // 50 as duplicate_count, instance_count // 490 + 1 as page_count,
            1 as pass_count, 'complete' as verdict, null as reason, {project} as project_id, sweep_id,
            make_timestamptz(ends_us) as observed_at
        from sweeps cross join (select count(*) as instance_count from now)
    """,
    "sweeps": """
        select make_timestamptz(at_us) as started_at, make_timestamptz(ends_us) as finished_at,
            case when not is_failed then make_timestamptz(at_us) end as observed_from,
            case when not is_failed then make_timestamptz(ends_us) end as observed_to,
            {scope} as scope, case when is_failed then 'failed' else 'complete' end as verdict,
            case when is_failed then 'the service gave out' end as reason, null as resumed_from,
            case when is_failed then 0 else instance_count // 490 + 1 end as page_count,
            instance_count // 490 + 1 as request_count, 0 as retry_count,
            case when is_failed then 0 else instance_count * 1600 end as received_bytes,
            case when is_failed then 0 else instance_count end as instance_count,
            coalesce(new_count, 0) as new_count, coalesce(changed_count, 0) as changed_count,
            coalesce(gone_count, 0) as gone_count, 0 as quarantined_count, {version} as version,
            {project} as project_id, all_sweeps.sweep_id, make_timestamptz(ends_us) as observed_at
        from all_sweeps cross join (select count(*) as instance_count from now)
        left join (
            select sweep_id, count_if(change = 'new') as new_count,
                count_if(change = 'changed') as changed_count, count_if(change = 'gone') as gone_count
            from seen group by sweep_id) using (sweep_id)
        order by at_us
    """,
}


def describe(history: History) -> str:
    """What a history is of, as JSON."""
    return json.dumps({**vars(history.shape), "start": str(history.shape.start), "days": history.day})
