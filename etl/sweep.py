"""One sweep: list, prove, land, flatten, compare, commit."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import duckdb
import pyarrow as pa

from etl import __version__, raw, views
from etl.auth import check_credentials
from etl.changes import Observer, changes
from etl.client import Answer, BadRequest, Client, TooLarge
from etl.columns import quoted
from etl.dictionary import kept, table
from etl.errors import DemeterError
from etl.flatten import Staging
from etl.lake import Lake, schema
from etl.listing import Outcome, RequestRefused, list_all
from etl.page import BadPage, Page, read_page
from etl.settings import Settings, check_project, check_url, require

log = logging.getLogger("demeter")

BATCH_BYTES = 8_000_000
ROUNDS = 3
RESUMABLE = timedelta(hours=24)
STATUSES = (
    "CREATING",
    "CREATE_FAILED",
    "STARTING",
    "RESTARTING",
    "START_FAILED",
    "RUNNING",
    "STOPPING",
    "STOPPED",
    "UNAVAILABLE",
    "DELETED",
    "RESIZING",
    "RESIZE_FAILED",
)


@dataclass(frozen=True)
class Scope:
    """What of a project is listed; empty means everything. `split` only divides the work."""

    statuses: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()
    ai_projects: tuple[str, ...] = ()
    show_self: bool = False
    split: bool = False

    def filter(self, **chosen: str | None) -> str:
        """The query string of a part of the scope."""
        fixed = {"de_type": "Notebook", "show_self": str(self.show_self).lower()}
        return urlencode(fixed | {name: value for name, value in chosen.items() if value})

    @property
    def text(self) -> str:
        """The scope as one query string; several values of a filter stand beside each other."""
        lists = {
            "status": self.statuses,
            "pool_id": self.pools,
            "workspace_id": self.workspaces,
            "ai_project": self.ai_projects,
        }
        return self.filter(**{name: ",".join(sorted(values)) for name, values in lists.items()})

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the project is left out."""
        return self.text == Scope().text

    def slices(self, statuses: Sequence[str] = (), pools: Sequence[str] = ()) -> tuple[str, ...]:
        """The filters of its slices, one for each status, pool, workspace and AI project."""
        lists: tuple[Sequence[str | None], ...] = (
            self.statuses or statuses or [None],
            self.pools or pools or [None],
            self.workspaces or [None],
            self.ai_projects or [None],
        )
        return tuple(
            self.filter(status=status, pool_id=pool, workspace_id=workspace, ai_project=ai_project)
            for status, pool, workspace, ai_project in itertools.product(*lists)
        )

    def absence(self) -> str:
        """The condition under which an instance that a complete sweep did not have has left.

        A status is not a place: to be missing among the RUNNING is not to have left.
        """
        if self.statuses:
            return "false"
        conditions = [
            f"{column} in ({', '.join(map(quoted, values))})"
            for column, values in (
                ("pool_id", self.pools),
                ("workspace_id", self.workspaces),
                ("ai_project_id", self.ai_projects),
            )
            if values
        ]
        if self.show_self:
            conditions.append(
                f"sweep_id in (select sweep_id from last_sweeps where scope = {quoted(self.text)})"
            )
        return " and ".join(conditions) or "true"


@dataclass
class Sweep:
    """What one sweep found; `error` is what ended it early."""

    sweep_id: str
    project_id: str
    scope: str
    verdict: str = "failed"
    reason: str = ""
    error: DemeterError | None = None
    slices: list[tuple[str, Outcome]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    observed_from: datetime | None = None
    observed_to: datetime | None = None

    def observe(self, page: Page) -> None:
        """Widen the time the sweep was observed by the time of a page."""
        seen = page.observed_at
        self.observed_from = min(self.observed_from or seen, seen)
        self.observed_to = max(self.observed_to or seen, seen)


Progress = Callable[[int, int], None]


def sweep(
    settings: Settings,
    scope: Scope,
    *,
    resume: bool = False,
    progress: Progress = lambda rows, total: None,
    client: Client | None = None,
    lake: Lake | None = None,
) -> Sweep:
    """List a project and commit what was seen to the lake; the sweep says whether it is complete.

    Raises UsageError before anything is asked for; what goes wrong later is in the sweep's `error`.
    """
    check(settings)
    lake = lake or Lake(settings.lake)
    lake.create()
    with lake.lock(f"sweep-{settings.project_id}"):
        lake.clean_up(settings.project_id)
        return _Run(settings, scope, client or Client(settings), lake, progress).run(resume)


def check(settings: Settings) -> None:
    """Raise UsageError unless the settings suffice for a sweep."""
    require(settings, "endpoint", "project_id")
    check_url(settings.endpoint, "endpoint", settings.allow_http)
    check_project(settings.project_id)
    check_credentials(settings)


class _Run:
    """The state of one sweep while it runs."""

    def __init__(
        self, settings: Settings, scope: Scope, client: Client, lake: Lake, progress: Progress
    ) -> None:
        self.settings, self.scope, self.client, self.lake = settings, scope, client, lake
        self.progress = progress
        self.began = datetime.now(UTC)
        self.sent, self.again, self.received = (
            client.request_count,
            client.retry_count,
            client.received_bytes,
        )
        sweep_id = f"{self.began:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
        self.sweep = Sweep(sweep_id, settings.project_id, scope.text)
        self.staging = Staging(settings.memory, str(lake.spill(settings.project_id)))
        self.landing: raw.Landing
        self.resumed_from = ""
        self._batch: list[raw.RawPage] = []
        self._rows = 0
        self._lock = threading.Lock()
        self._local = threading.local()

    def run(self, resume: bool) -> Sweep:
        """List, compare and commit."""
        self._load_last()
        before = self._to_resume() if resume else None
        filters = raw_plan.slices if (raw_plan := before and raw.read_plan(before)) else self._plan()
        self.landing = raw.Landing(
            self.lake.raw(self.settings.project_id) / self.sweep.sweep_id,
            raw.Plan(self.sweep.sweep_id, self.settings.project_id, self.scope.text, filters),
        )
        try:
            self._list(filters, before)
        finally:
            self.landing.close()
        self._commit()
        return self.sweep

    def _plan(self) -> tuple[str, ...]:
        """The slices: one, or where the scope is split one for each status and pool known."""
        if not self.scope.split:
            return self.scope.slices()
        known = self.staging.connection.execute(
            "select distinct status from last_instances where status is not null"
        ).fetchall()
        statuses = sorted({*STATUSES, *(status for (status,) in known)})
        return self.scope.slices(statuses)

    def _list(self, filters: Sequence[str], before: Path | None) -> None:
        """List every slice, and decide what the slices prove together."""
        total = self._count() if self.scope.split else None
        self._list_slices(filters, before)
        self._flush()
        slices = [outcome for _, outcome in self.sweep.slices]
        if self.sweep.error is None and self.scope.split and not self._accounts_for(total):
            self._list_slices([self.scope.text], None)
            slices = [self.sweep.slices[-1][1]]
        elif self.sweep.error is None and len(self.scope.statuses) > 1:
            slices = self._list_until_settled(filters)
        self._flush()
        worst = min(slices, key=lambda outcome: ("failed", "incomplete", "complete").index(outcome.verdict))
        self.sweep.verdict, self.sweep.reason = worst.verdict, worst.reason

    def _list_until_settled(self, filters: Sequence[str]) -> list[Outcome]:
        """List slices of a status again until a round brings no instance that is new."""
        for _ in range(ROUNDS):
            known = self._known_ids()
            first = len(self.sweep.slices)
            self._list_slices(filters, None)
            self._flush()
            latest = [outcome for _, outcome in self.sweep.slices[first:]]
            if self._known_ids() == known or self.sweep.error:
                return latest
        moving = "instances kept moving between the statuses while they were listed"
        return [Outcome("incomplete", moving)]

    def _known_ids(self) -> int:
        found = self.staging.connection.execute(
            "select count(distinct instance_id) from documents"
        ).fetchone()
        return int(found[0]) if found else 0

    def _accounts_for(self, total: tuple[int, datetime] | None) -> bool:
        """Whether the instances that were there at the start are as many as the service then said."""
        if total is None:
            return False
        found = self.staging.connection.execute(
            "select count(distinct instance_id) from seen_instances where created_at < $1",
            [total[1] - timedelta(seconds=2)],
        ).fetchone()
        return found is not None and found[0] >= total[0]

    def _count(self) -> tuple[int, datetime] | None:
        """The service's total without a filter, and when it said so."""
        try:
            page = self._fetch(self.scope.text, 0, 1, None)
        except (DemeterError, RequestRefused):
            return None
        return page.total_count, page.observed_at

    def _list_slices(self, filters: Sequence[str], before: Path | None) -> None:
        """List slices side by side; the first error ends the sweep once all have stopped."""
        first = len(self.sweep.slices)
        self.sweep.slices += [(each, Outcome()) for each in filters]
        workers = min(self.settings.concurrency, len(filters))
        with ThreadPoolExecutor(workers) as pool:
            jobs = [
                pool.submit(self._list_slice, first + position, before) for position in range(len(filters))
            ]
        for job, (_, outcome) in zip(jobs, self.sweep.slices[first:], strict=True):
            error = job.exception()
            if isinstance(error, RequestRefused):
                error = error.error
            if isinstance(error, DemeterError):
                outcome.verdict, outcome.reason = "failed", str(error)
                self.sweep.error = self.sweep.error or error
            elif error:
                raise error

    def _list_slice(self, number: int, before: Path | None) -> None:
        text, outcome = self.sweep.slices[number]
        begun = list(self._landed(before, number)) if before else []
        list_all(
            lambda offset, limit: self._fetch(text, offset, limit, number),
            lambda page: self._keep(number, page),
            outcome,
            self.settings.limit,
            self.settings.one_answer_rows,
            begun,
        )

    def _fetch(self, text: str, offset: int, limit: int, number: int | None) -> Page:
        params: dict[str, str | int] = dict(parse_qsl(text))
        params |= {"sortby": "creation_timestamp", "order": "asc", "offset": offset, "limit": limit}
        path = f"/v1/{self.settings.project_id}/demanager/instances"

        def read(answer: Answer) -> Page:
            try:
                return read_page(answer.body, answer.date, self._cursor())
            except BadPage as bad:
                if number is not None:
                    self.landing.land_unreadable(number, answer.body, str(bad))
                raise

        try:
            return self.client.get(path, params, read)
        except (BadRequest, TooLarge) as error:
            raise RequestRefused(error) from None

    def _keep(self, number: int, page: Page) -> None:
        """Land a page and stage it; a batch of pages at a time is flattened."""
        with self._lock:
            self._batch.append(self.landing.land(number, page))
            self.sweep.observe(page)
            self._rows += len(page.ids)
            self.progress(self._rows, page.total_count)
            if sum(len(each.page.body) for each in self._batch) < BATCH_BYTES:
                return
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            self.staging.add(self._batch)
            self._batch = []

    def _landed(self, before: Path, number: int) -> Iterator[Page]:
        """The pages that an earlier sweep landed of a slice, landed again for this one."""
        for line in raw.lines(before, number):
            page = read_page(line["body"].encode(), line["observed_at"], self._cursor())
            self._keep(number, page)
            yield page

    def _to_resume(self) -> Path | None:
        """The directory of the last sweep of this scope, if it was broken off a short while ago."""
        complete = {
            sweep_id
            for (sweep_id,) in self.staging.connection.execute(
                "select sweep_id from last_sweeps where verdict = 'complete'"
            ).fetchall()
        }
        directories = sorted(self.lake.raw(self.settings.project_id).glob("*Z-*"), reverse=True)
        for directory in directories:
            plan = raw.read_plan(directory)
            if plan is None or plan.scope != self.scope.text:
                continue
            landed = datetime.strptime(plan.sweep_id.partition("Z-")[0], "%Y%m%dT%H%M%S%f").replace(
                tzinfo=UTC
            )
            if plan.sweep_id in complete or self.began - landed > RESUMABLE:
                break
            self.resumed_from = plan.sweep_id
            return directory
        log.warning("there is no broken sweep to resume: a new one begins")
        return None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own way to the JSON functions."""
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self.staging.connection.cursor()
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor

    def _load_last(self) -> None:
        """Make `last_<table>`: for each key the last row that a committed sweep wrote."""
        project = quoted(self.settings.project_id)
        execute = self.staging.connection.execute
        execute(
            f"create temp table last_sweeps as select * from {self.lake.relation('sweeps')} "
            f"where project_id = {project}"
        )
        found = execute(
            "select max((observed_from at time zone 'UTC')::date) from last_sweeps "
            f"where verdict = 'complete' and (scope = $1 or {views.WHOLE})",
            [self.scope.text],
        ).fetchone()
        since = found[0] if found else None
        for each in kept():
            execute(
                f"create temp table last_{each.name} as select * from {self.lake.relation(each.name, since)} "
                f"where project_id = {project} and sweep_id in (select sweep_id from last_sweeps) "
                f"qualify row_number() over (partition by {', '.join(each.keys)} "
                "order by observed_at desc, sweep_id desc) = 1"
            )

    def _commit(self) -> None:
        """Write what changed, and last the row of the sweep."""
        complete = self.sweep.verdict == "complete"
        ended = self.sweep.observed_to or datetime.now(UTC)
        observer = Observer(
            self.settings.project_id,
            self.sweep.sweep_id,
            ended,
            self.scope.absence() if complete else "false",
            complete and self.scope.is_whole,
        )
        rows = changes(self.staging.connection, observer)
        self.sweep.counts = self._counts(rows)
        rows["slices"] = self._slice_rows(ended)
        self.lake.commit(self.sweep.sweep_id, self.settings.project_id, rows, self._sweep_row(ended))
        self.staging.connection.close()
        self.lake.keep_house()
        views.refresh(self.lake)

    def _counts(self, rows: dict[str, pa.Table]) -> dict[str, int]:
        """How many instances are there, new, changed and gone, and what could not be used."""
        kinds = rows["instances"]["change"].to_pylist() if "instances" in rows else []
        execute = self.staging.connection.execute
        seen = execute("select count(*) from now_instances").fetchone() or (0,)
        unusable = execute("select count(*) from now_quarantine").fetchone() or (0,)
        return {
            "instance_count": seen[0],
            **{f"{kind}_count": kinds.count(kind) for kind in ("new", "changed", "gone")},
            "quarantined_count": unusable[0],
        }

    def _slice_rows(self, ended: datetime) -> pa.Table:
        rows = [
            {"slice": number, "filter": text, **vars(outcome), **self._common(ended)}
            for number, (text, outcome) in enumerate(self.sweep.slices)
        ]
        return pa.Table.from_pylist(rows, schema=schema(table("slices")))

    def _sweep_row(self, ended: datetime) -> pa.Table:
        row: dict[str, Any] = {
            "started_at": self.began,
            "finished_at": datetime.now(UTC),
            "observed_from": self.sweep.observed_from,
            "observed_to": self.sweep.observed_to,
            "scope": self.sweep.scope,
            "verdict": self.sweep.verdict,
            "reason": self.sweep.reason or None,
            "resumed_from": self.resumed_from or None,
            "page_count": sum(outcome.page_count for _, outcome in self.sweep.slices),
            "request_count": self.client.request_count - self.sent,
            "retry_count": self.client.retry_count - self.again,
            "received_bytes": self.client.received_bytes - self.received,
            **self.sweep.counts,
            "version": __version__,
            **self._common(ended),
        }
        return pa.Table.from_pylist([row], schema=schema(table("sweeps")))

    def _common(self, ended: datetime) -> dict[str, Any]:
        return {
            "project_id": self.settings.project_id,
            "sweep_id": self.sweep.sweep_id,
            "observed_at": ended,
        }
