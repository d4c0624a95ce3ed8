"""What a sweep changed: rows that are new, differ, begin a day, or say what left or is in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import pyarrow as pa

from etl.apis import DEMANAGER, NOTEBOOKS
from etl.columns import quoted
from etl.dictionary import Table, all_columns, kept
from etl.flatten import from_parts, relations
from etl.lake import Lake
from etl.scope import WHOLES


@dataclass(frozen=True)
class Observer:
    """Who saw the rows: the sweep, what its listing proves, and when it ended.

    `absence` is the SQL condition, over a row of `last_instances`, under which not having seen the
    instance means that it left; `whole` says that everything of the project was listed; `api` by which API.
    """

    project_id: str
    sweep_id: str
    ended_at: datetime
    absence: str = "false"
    whole: bool = False
    api: str = DEMANAGER

    @property
    def is_of_another(self) -> str:
        """The condition that a row of a `last_<table>`, as `last`, was written by a sweep of another API."""
        these = f"starts_with(scope, 'api={NOTEBOOKS}&') = {str(self.api != NOTEBOOKS).lower()}"
        return f"last.sweep_id in (select sweep_id from last_sweeps where {these})"


BATCH_ROWS = 10_000
# What is there now of these tells what left of others, and how much could not be used.
_NEEDED = ("profiles", "flavors", "quarantine")


@dataclass(frozen=True)
class Changed:
    """The rows to write of one table, until those of the next one are asked for; `kinds` counts them by
    their `change`."""

    table: Table
    connection: duckdb.DuckDBPyConnection
    kinds: Mapping[str, int]

    def reader(self) -> pa.RecordBatchReader:
        """The rows, sorted by the table's first key."""
        return self.connection.sql("from changed").to_arrow_reader(BATCH_ROWS)


# A row of a table left when what it hangs on was seen without it, or left itself. Where `$gone` are the
# instances in doubt, and `$shared` says that something is, the same condition tells what is in doubt.
_LEFT = {
    "instances": "instance_id in (from $gone)",
    "attributes": """(
        (owner_kind in ('instance', 'failure')
            and (owner_id in (from seen_instance_ids) or owner_id in (from $gone)))
        or (owner_kind in ('profile', 'provision') and owner_id in (select profile_id from now_profiles))
        or (owner_kind = 'flavor' and owner_id in (select flavor from now_flavors))
        or (owner_kind in ('profile', 'provision', 'flavor') and $shared)
    )""",
    "instance": """(
        instance_id in (from seen_instance_ids) or instance_id in (from $gone)
        or (instance_id is null and $whole)
    )""",
    "shared": "$shared",
}

# An instance that was not seen left, unless a document without a usable id may be the one about it: one
# created at the same time, or at a time that cannot be read.
_AWAY = """
create or replace temp table away_instances as
select instance_id, exists (
    select 1 from documents
    where documents.instance_id is null and coalesce(documents.created_at = last.created_at, true)
) as is_doubted
from last_instances as last
where change not in ('gone', 'unlisted') and ($absence) and instance_id not in (from seen_instance_ids);
create or replace temp table doubted_instances as
select instance_id from away_instances where is_doubted;
create or replace temp table gone_instances as
select instance_id from away_instances where not is_doubted
"""

# Of several documents about one instance the newest counts: by its own update, else as it came.
_WINNERS = """
create or replace temp table winners as
select document_id, observed_at, instance_id, updated_at, slice, page, parts
from documents
qualify instance_id is null or row_number() over (
    partition by instance_id
    order by updated_at desc nulls last, observed_at desc, document_id desc) = 1
"""


# What a part of documents says was said by the newest of those that have it.
_NEWEST = """
create or replace temp table part_documents as
select part_id, document_id
from (select document_id, updated_at, instance_id, unnest(parts) as part_id from winners)
qualify row_number() over (
    partition by part_id order by updated_at desc nulls last, instance_id desc, document_id desc) = 1
"""


def load_last(connection: duckdb.DuckDBPyConnection, lake: Lake, project_id: str, scope: str) -> None:
    """Make `last_<table>`: for each key the last row that a committed sweep of the project wrote.

    Every key that lives has a row since the day of the last complete sweep of all, so no more is read;
    nor where a part is always swept, unless it is a status: what is not in it may live elsewhere.
    """
    project = quoted(project_id)
    connection.execute(
        f"create or replace temp table last_sweeps as select * from {lake.relation('sweeps')} "
        f"where project_id = {project}"
    )
    since = live_since(connection, scope)
    for table in kept():
        connection.execute(
            f"create or replace temp table last_{table.name} as "
            f"select * from {lake.relation(table.name, since)} "
            f"where project_id = {project} and sweep_id in (select sweep_id from last_sweeps) "
            f"qualify row_number() over (partition by {', '.join(table.keys)} "
            "order by observed_at desc, sweep_id desc) = 1"
        )


def live_since(connection: duckdb.DuckDBPyConnection, scope: str) -> date | None:
    """The first day that can hold the last row of a key that lives, by `last_sweeps`; None for any day."""
    found = connection.execute(
        "select coalesce(max(day) filter (list_contains($2, scope)), "
        "max(day) filter (scope = $1 and not contains($1, 'status='))) "
        "from (select *, (observed_from at time zone 'UTC')::date as day from last_sweeps) "
        "where verdict = 'complete'",
        [scope, list(WHOLES)],
    ).fetchone()
    since: date | None = found[0] if found else None
    return since


def compare(connection: duckdb.DuckDBPyConnection, observer: Observer) -> None:
    """Say what is there now, as `now_<table>`, and which instances left or are in doubt.

    The connection holds what was flattened, and for each table a relation `last_<table>` with the
    last row that was written for each key.
    """
    relations(connection)
    connection.execute(_WINNERS)
    connection.execute(_NEWEST)
    for table in from_parts():
        connection.execute(
            f"update seen_{table.name} as seen set document_id = part_documents.document_id "
            "from part_documents where seen.part_id = part_documents.part_id"
        )
    for table in kept():
        connection.execute(_now(table))
        # What was seen is not held twice.
        connection.execute(f"create or replace table seen_{table.name} as from seen_{table.name} limit 0")
    connection.execute(
        "create or replace temp table seen_instance_ids as select instance_id from now_instances"
    )
    connection.execute(_AWAY.replace("$absence", observer.absence))


def changes(connection: duckdb.DuckDBPyConnection, observer: Observer) -> Iterator[Changed]:
    """The rows to write after a comparison, a table at a time; empty tables are left out.

    What is there now of a table, and is to be written of it, is held until the next one is asked for.
    """
    [(unnamed,)] = connection.execute("select count(*) from documents where instance_id is null").fetchall()
    # Sorted once, and read in that order.
    connection.execute("set preserve_insertion_order = true")
    for table in kept():
        if _has_rows(connection, f"now_{table.name}") or _has_rows(connection, f"last_{table.name}"):
            connection.execute(
                f"create or replace temp table changed as {_changed(table, observer, bool(unnamed))}"
            )
            if table.name not in _NEEDED:
                connection.execute(f"drop table now_{table.name}")
            found = connection.execute("select change, count(*) from changed group by change").fetchall()
            if found:
                yield Changed(table, connection, dict(found))
    connection.execute("drop table if exists changed")


def _has_rows(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    return bool(connection.execute(f"select 1 from {name} limit 1").fetchall())


def count(connection: duckdb.DuckDBPyConnection, kinds: Mapping[str, int]) -> dict[str, int]:
    """How many instances are there, new, changed and gone, and what could not be used.

    `kinds` are how many rows there are to write of the instances, by their `change`.
    """
    [(seen,)] = connection.execute("select count(*) from seen_instance_ids").fetchall()
    [(unusable,)] = connection.execute("select count(*) from now_quarantine").fetchall()
    return {"instance_count": seen, **count_changes(kinds), "quarantined_count": unusable}


def count_changes(kinds: Mapping[str, int]) -> dict[str, int]:
    """How many instances are new, changed and gone, by the `change` of the rows to write of them."""
    return {f"{kind}_count": kinds.get(kind, 0) for kind in ("new", "changed", "gone")}


def same_key(table: Table) -> str:
    """The condition that two rows of a table, `last` and `now`, are about the same."""
    return " and ".join(f"last.{key} is not distinct from now.{key}" for key in table.keys)


def differs(table: Table) -> str:
    """The condition that a row `now` says something else than `last` did."""
    return " or ".join(f"now.{name} is distinct from last.{name}" for name in table.compared) or "false"


def _now(table: Table) -> str:
    """The statement that makes `now_<table>`: one row a key, from the newest document."""
    own = ", ".join(f"tidy.{column.name}" for column in table.columns)
    keys = ", ".join(f"tidy.{key}" for key in table.keys)
    return (
        f"create or replace temp table now_{table.name} as select {own}, winners.observed_at "
        f"from tidy_{table.name} as tidy join winners using (document_id) "
        f"qualify row_number() over (partition by {keys} order by winners.updated_at desc nulls last, "
        "winners.instance_id desc nulls last, document_id desc) = 1"
    )


def _left(table: Table, gone: str, whole: bool, shared: bool) -> str:
    """The condition that a row of a table left, or is in doubt, with the instances of that relation."""
    condition = _LEFT.get(table.name, _LEFT[table.owner]).replace("$gone", gone)
    return condition.replace("$whole", str(whole).lower()).replace("$shared", str(shared).lower())


def _changed(table: Table, observer: Observer, in_doubt: bool) -> str:
    """The query of the rows to write of one table; `in_doubt` says that some document has no usable id.

    What is in doubt is written once, and once a day, with its last values, as `unread`: it may be there,
    so it still lives, but nobody saw it. What is there by both of two APIs is written again when the other
    one is listed; what only the one before had is `unlisted` then, for the one now proves nothing about it.
    """
    date = "(now.observed_at at time zone 'UTC')::date"
    ended = f"{quoted(observer.ended_at.isoformat())}::timestamptz"
    end_date = f"({ended} at time zone 'UTC')::date"
    project, sweep = quoted(observer.project_id), quoted(observer.sweep_id)
    names = ", ".join(column.name for column in all_columns(table))
    whole, another = observer.whole, observer.is_of_another
    left = _left(table, "gone_instances", whole, whole and not in_doubt)
    doubted = _left(table, "doubted_instances", False, whole and in_doubt)
    return f"""
        with judged as (
            select now.*, {project} as project_id, {sweep} as sweep_id, {date} as observed_date, case
                when last.change is null or last.change in ('gone', 'unlisted') then 'new'
                when {differs(table)} then 'changed'
                when last.observed_date < {date} or last.change = 'unread' or {another} then 'keyframe'
            end as change
            from now_{table.name} as now left join last_{table.name} as last on {same_key(table)}
        ),
        left_behind as (
            select last.* replace ({sweep} as sweep_id, {ended} as observed_at,
                case when {left} then case when {another} then 'unlisted' else 'gone' end
                    else 'unread' end as change,
                {end_date} as observed_date),
                last.change = 'unread' and last.observed_date >= {end_date} as is_known
            from last_{table.name} as last
            where last.change not in ('gone', 'unlisted') and ({left} or {doubted})
                and not exists (select 1 from now_{table.name} as now where {same_key(table)})
        )
        select {names} from judged where change is not null
        union all by name
        select {names} from left_behind where change <> 'unread' or not is_known
        order by {table.keys[0]}
    """
