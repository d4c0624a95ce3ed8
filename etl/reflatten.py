"""Work out the rows that past sweeps write when their raw pages are flattened again.

Nothing is written here but to memory: each sweep is compared with what was known before it, as it was
when it was made, and what comes out is held against the rows that are there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from etl import __version__, raw, rewrite
from etl.changes import (
    Observer,
    changes,
    compare,
    count,
    count_changes,
    differs,
    live_since,
    same_key,
)
from etl.columns import quoted
from etl.dictionary import Table, all_columns, kept, table
from etl.flatten import Staging
from etl.lake import Lake, schema
from etl.places import Place
from etl.raw import RawPage
from etl.scope import WHOLE, WHOLES, Scope
from etl.stages import stage

log = logging.getLogger("demeter")

BATCH_BYTES = 8_000_000
AGAIN = "+replay."

Progress = Callable[[int, int], None]
Row = dict[str, Any]
# Stages the pages of a sweep, by their directory and its scope, and counts them; and what gives that, told
# of all sweeps that it will be asked for.
StagePages = Callable[[Staging, Place, str], int]
Flatten = Callable[[Sequence[tuple[Place, str]]], StagePages]


@dataclass
class Replay:
    """What a replay of a project did, or would do: the sweeps whose pages were flattened again, those left
    as they are, those that became others, and by table how many rows came and went."""

    project_id: str
    sweep_ids: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    quarantined_before: int = 0
    quarantined_after: int = 0


class Reflattening:
    """The replay of one project. For each table the connection holds `old_<t>`, the rows that the sweeps
    wrote, `new_<t>`, those that they write now, and `known_<t>`, the last row of each key before a sweep."""

    def __init__(self, lake: Lake, project_id: str, staging: Staging) -> None:
        self.lake, self.project_id, self.staging = lake, project_id, staging
        self.query = staging.connection.execute
        self.done = Replay(project_id)
        self._folders = frozenset(lake.raw(project_id).folders())
        self.stage_pages: StagePages = stage_pages
        self.old_sweeps: list[Row] = []
        self.new_sweeps: list[Row] = []

    def flatten_again(self, since: date | None, progress: Progress, flatten: Flatten) -> None:
        """Work out the rows of every sweep from the first that has raw pages."""
        every = self._sweeps()
        begin = next((n for n, each in enumerate(every) if self._has_pages(each, since)), len(every))
        self.old_sweeps = every[begin:]
        if not self.old_sweeps:
            return
        self.stage_pages = flatten([(self._folder(each), str(each["scope"])) for each in self.old_sweeps])
        self._load(self.old_sweeps[0])
        for number, sweep in enumerate(self.old_sweeps):
            with stage("sweep", sweep_id=str(sweep["sweep_id"])):
                self._sweep_again(sweep)
            progress(number + 1, len(self.old_sweeps))
        self._compare()

    def to_write(self) -> dict[str, rewrite.Rows]:
        """The rows to replace, by table; the row in `sweeps`, which commits them, is the last."""
        found = {name: self._rows_since(table(name), self._first(name)) for name in self.done.rows}
        moved = [n for n, o in zip(self.new_sweeps, self.old_sweeps, strict=True) if n != o]
        if moved:
            first = str(moved[0]["sweep_id"])
            rows = [each for each in self.new_sweeps if each["sweep_id"] >= first]
            listed = pa.Table.from_pylist(rows, schema=schema(table("sweeps")))
            found["sweeps"] = rewrite.Rows(first, listed.to_reader())
        return found

    def _sweeps(self) -> list[Row]:
        """The sweeps of the project in the order in which they were made."""
        columns = ", ".join(schema(table("sweeps")).names)
        self.query(
            f"create temp table all_sweeps as select {columns} from {self.lake.relation('sweeps')} "
            f"where project_id = {quoted(self.project_id)}"
        )
        found = self.staging.connection.sql("from all_sweeps order by sweep_id").to_arrow_table()
        rows: list[Row] = found.cast(schema(table("sweeps"))).to_pylist()
        return rows

    def _has_pages(self, sweep: Row, since: date | None) -> bool:
        recent = since is None or sweep["observed_at"].date() >= since
        return recent and bool(sweep["page_count"]) and self._folder(sweep) in self._folders

    def _folder(self, sweep: Row) -> Place:
        return self.lake.raw(self.project_id) / str(sweep["sweep_id"])

    def _load(self, first: Row) -> None:
        """Read the rows that the sweeps wrote, and what was known before the first of them."""
        self._believe(first)
        known_since = live_since(self.staging.connection, WHOLE)
        began = first["observed_from"].date()
        for each in kept():
            names = _names(each)
            committed = (
                f"project_id = {quoted(self.project_id)} and sweep_id in (select sweep_id from all_sweeps)"
            )
            mine = f"sweep_id >= {quoted(first['sweep_id'])}"
            old, known = (self.lake.relation(each.name, day) for day in (began, known_since))
            self.query(
                f"create table old_{each.name} as select {names} from {old} where {committed} and {mine}"
            )
            self.query(f"create table new_{each.name} as from old_{each.name} limit 0")
            self.query(
                f"create table known_{each.name} as select {names} from {known} "
                f"where {committed} and not {mine} qualify {_is_last(each)}"
            )

    def _believe(self, sweep: Row) -> None:
        """Make `last_sweeps` those before the sweep."""
        before = f"sweep_id < {quoted(sweep['sweep_id'])}"
        self.query(f"create or replace temp table last_sweeps as from all_sweeps where {before}")

    def _sweep_again(self, sweep: Row) -> None:
        """Work out the rows of one sweep after those before it."""
        self._believe(sweep)
        since = live_since(self.staging.connection, sweep["scope"])
        for each in kept():
            self.query(
                f"create or replace temp view last_{each.name} as from known_{each.name} "
                f"where observed_date >= {quoted(str(since or date.min))}"
            )
        self.staging.clear()
        if self._flatten(sweep):
            self.done.sweep_ids.append(str(sweep["sweep_id"]))
            observer = _observer(sweep)
            compare(self.staging.connection, observer)
            found = changes(self.staging.connection, observer)
            rows = {each.table.name: each.reader().read_all() for each in found}
            counts = count(self.staging.connection, _kinds(rows.get("instances")))
        else:
            self._leave(sweep)
            rows = {each.name: self._as_it_was(each, sweep) for each in kept()}
            counts = count_changes(_kinds(rows["instances"]))
        self._take({name: found for name, found in rows.items() if found.num_rows})
        self.new_sweeps.append(sweep | counts)

    def _flatten(self, sweep: Row) -> bool:
        """Stage the raw pages of a sweep; False unless all that it received are there."""
        folder = self._folder(sweep)
        try:
            counted = self.stage_pages(self.staging, folder, str(sweep["scope"]))
        except (ValueError, KeyError, duckdb.Error) as error:
            log.info("%s: %s", folder, error)
            return False
        return counted == (sweep["page_count"] or 0)

    def _leave(self, sweep: Row) -> None:
        self.done.left.append(str(sweep["sweep_id"]))
        log.warning(
            "the raw pages in %s are missing or damaged: the sweep is left as it is", self._folder(sweep)
        )

    def _as_it_was(self, table: Table, sweep: Row) -> pa.Table:
        """The rows that a sweep without raw pages wrote, after what is known before it now.

        Where it proves that what lives was there, what was not known then stays alive by a keyframe, as
        readers look no further back than the day of such a sweep.
        """
        sweep_id, ended = (
            quoted(sweep["sweep_id"]),
            f"{quoted(sweep['observed_at'].isoformat())}::timestamptz",
        )
        another = _observer(sweep).is_of_another
        proves = sweep["verdict"] == "complete" and sweep["scope"] in WHOLES
        return self.staging.connection.sql(f"""
            with own as (
                select now.* replace (case
                    when now.change in ('gone', 'unlisted', 'unread')
                        then case when last.change not in ('gone', 'unlisted') then now.change end
                    when last.change is null or last.change in ('gone', 'unlisted') then 'new'
                    when {differs(table)} then 'changed'
                    when last.observed_date < now.observed_date or last.change = 'unread' or {another}
                        then 'keyframe'
                end as change)
                from old_{table.name} as now left join last_{table.name} as last on {same_key(table)}
                where now.sweep_id = {sweep_id}
            )
            select {_names(table)} from own where change is not null
            union all by name
            select {_names(table)} from (
                select last.* replace ({sweep_id} as sweep_id, {ended} as observed_at, 'keyframe' as change,
                    ({ended} at time zone 'UTC')::date as observed_date)
                from last_{table.name} as last
                where {str(proves).lower()} and change not in ('gone', 'unlisted')
                    and observed_date < {quoted(str((sweep["observed_from"] or sweep["observed_at"]).date()))}
                    and not exists (select 1 from own as now where {same_key(table)})
            )
        """).to_arrow_table()

    def _take(self, rows: dict[str, pa.Table]) -> None:
        """Add rows to those to write and to what is known."""
        for name, found in rows.items():
            names, last = _names(table(name)), _is_last(table(name))
            self.staging.connection.register("taken", found)
            self.query(f"insert into new_{name} select {names} from taken")
            self.query(
                f"create or replace table known_{name} as select {names} from "
                f"(from known_{name} union all by name select {names} from taken) qualify {last}"
            )
            self.staging.connection.unregister("taken")

    def _compare(self) -> None:
        """Note which rows and sweeps came out otherwise, and give those sweeps their version."""
        changed: set[str] = set()
        for each in kept():
            came, went = (self._beyond(each, *pair) for pair in (("new", "old"), ("old", "new")))
            if came or went:
                self.done.rows[each.name] = (sum(came.values()), sum(went.values()))
                changed |= came.keys() | went.keys()
        for new, old in zip(self.new_sweeps, self.old_sweeps, strict=True):
            replayed = old["sweep_id"] in self.done.sweep_ids
            changed |= {old["sweep_id"]} if new != old else set()
            new["version"] = _version(old["version"], replayed, old["sweep_id"] in changed)
        self.done.changed = sorted(changed)
        self.done.quarantined_before = sum(each["quarantined_count"] for each in self.old_sweeps)
        self.done.quarantined_after = sum(each["quarantined_count"] for each in self.new_sweeps)

    def _beyond(self, table: Table, some: str, others: str) -> dict[str, int]:
        """How many rows of each sweep are only in one of two tables."""
        names = _names(table)
        found = self.query(
            f"select sweep_id, count(*) from (select {names} from {some}_{table.name} "
            f"except all select {names} from {others}_{table.name}) group by sweep_id"
        )
        return dict(found.fetchall())

    def _first(self, name: str) -> str:
        """The first sweep whose rows of a table came out otherwise."""
        sides = (self._beyond(table(name), *pair) for pair in (("new", "old"), ("old", "new")))
        return min(sweep_id for side in sides for sweep_id in side)

    def _rows_since(self, table: Table, since: str) -> rewrite.Rows:
        """The rows to write of one table, read a day at a time."""
        wanted = schema(table)

        def batches() -> Iterator[pa.RecordBatch]:
            mine = f"from new_{table.name} where sweep_id >= {quoted(since)}"
            for (day,) in self.query(f"select distinct observed_date {mine} order by 1").fetchall():
                rows = self.staging.connection.sql(
                    f"select {_names(table)} {mine} and observed_date = {quoted(str(day))} "
                    f"order by sweep_id, {table.keys[0]}"
                )
                yield from rows.to_arrow_table().cast(wanted).to_batches()

        return rewrite.Rows(since, pa.RecordBatchReader.from_batches(wanted, batches()))


def one_by_one(sweeps: Sequence[tuple[Place, str]]) -> StagePages:
    """What flattens each sweep here, when its turn comes."""
    return stage_pages


def stage_pages(staging: Staging, folder: Place, scope: str) -> int:
    """Stage the raw pages of a sweep, and count them; ValueError, KeyError or a DuckDB error where they are
    damaged."""
    counted = 0
    for batch in _batches(raw.pages(folder, scope)):
        counted += len(batch)
        staging.add(batch)
    staging.settle()
    return counted


def _names(table: Table) -> str:
    return ", ".join(column.name for column in all_columns(table))


def _kinds(rows: pa.Table | None) -> Counter[str]:
    """How many rows there are of each `change`."""
    return Counter(rows["change"].to_pylist() if rows else ())


def _is_last(table: Table) -> str:
    """The condition of the last row of each key."""
    keys = ", ".join(table.keys)
    return f"row_number() over (partition by {keys} order by observed_at desc, sweep_id desc) = 1"


def _observer(sweep: Row) -> Observer:
    """Who saw the rows of a sweep."""
    scope, complete = Scope.of(sweep["scope"]), sweep["verdict"] == "complete"
    return Observer(
        sweep["project_id"],
        sweep["sweep_id"],
        sweep["observed_at"],
        scope.absence() if complete else "false",
        complete and scope.is_whole,
        scope.api,
    )


def _version(old: str, replayed: bool, changed: bool) -> str:
    """The version that a sweep bears after a replay; it moves whenever its rows do."""
    flattened_by, _, times = old.partition(AGAIN)
    again = int(times or 0) + changed
    return (
        f"{__version__ if replayed else flattened_by}{AGAIN}{again}"
        if again
        else (__version__ if replayed else flattened_by)
    )


def _batches(pages: Iterator[RawPage]) -> Iterator[list[RawPage]]:
    """The pages in batches of a bounded size."""
    batch: list[RawPage] = []
    size = 0
    for page in pages:
        batch.append(page)
        size += len(page.page.body)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
