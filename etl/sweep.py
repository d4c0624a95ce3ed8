"""One sweep: list, prove, land, flatten, compare, commit."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from etl import __version__, contract, raw, rewrite, viewfile
from etl.answer import BadRequest
from etl.auth import check_credentials
from etl.changes import Observer, changes, compare, count, load_last
from etl.client import Client
from etl.contract import Breach, breaches
from etl.damage import Damaged
from etl.dictionary import table
from etl.errors import DemeterError, IncompleteListing, ServiceUnavailable
from etl.flatten import Staging
from etl.lake import Lake, Rows, schema
from etl.listing import Outcome
from etl.places import Place
from etl.reader import Progress, Reader
from etl.scope import Scope
from etl.settings import Settings, check_key, check_project, check_url, require
from etl.stages import note, stage
from etl.transport import check_transport

log = logging.getLogger("demeter")

RESUMABLE = timedelta(hours=24)
CLOCK_LAG = timedelta(seconds=60)  # between the clocks of the servers behind one address
VERDICTS = ("failed", "incomplete", "complete")


@dataclass(frozen=True)
class Sweep:
    """What one sweep found; `error` is what ended it early."""

    sweep_id: str
    verdict: str
    reason: str
    counts: dict[str, int]
    error: DemeterError | None
    breaches: tuple[Breach, ...] = ()

    @property
    def told(self) -> dict[str, Any]:
        """What is told of it in a line, or a row."""
        return {"sweep_id": self.sweep_id, "verdict": self.verdict, **self.counts}


def line(told: Mapping[str, Any]) -> str:
    """What a sweep came to."""
    counted = (name for name in told if name.endswith("_count"))
    counts = ", ".join(f"{told[name]} {name.removesuffix('_count')}" for name in counted)
    return f"sweep {told['sweep_id']} is {told['verdict']}: {counts}"


def failure(settings: Settings, found: Sweep) -> DemeterError | None:
    """What is wrong with a sweep that was committed; None where all is well."""
    if found.error:
        return found.error
    if found.verdict != "complete":
        return IncompleteListing(f"the listing is {found.verdict}: {found.reason}; run the sweep again")
    return contract.failure(settings, found.breaches, found.counts)


def sweep(
    settings: Settings,
    scope: Scope,
    *,
    resume: bool = False,
    progress: Progress = lambda rows, total: None,
    client: Client | None = None,
    lake: Lake | None = None,
) -> Sweep:
    """List a project, commit what was seen to the lake, and show it to the lake's readers.

    Raises UsageError before anything is asked for; what goes wrong later is in the sweep's `error`.
    """
    lake = lake or Lake(settings.lake)
    scope = replace(scope, api=settings.api)
    with stage("sweep", scope=scope.text) as now:
        found = list_and_commit(settings, scope, lake, resume=resume, progress=progress, client=client)
        damaged = looked_after(lake)
        found = replace(found, error=found.error or damaged)
        now.found |= {"verdict": found.verdict, **found.counts}
        now.error = str(found.error or "")
    return found


def looked_after(lake: Lake) -> DemeterError | None:
    """Show readers what was committed, and keep the lake as fast as it is; what is damaged is returned."""
    try:
        _look_after(lake)
    except Damaged as damaged:
        if not damaged.is_derived:
            return damaged
        # What is committed stays, and the next build makes the marts again.
        log.warning("%s", damaged)
    return None


def _look_after(lake: Lake) -> None:
    with lake.writing():
        with stage("views"):
            viewfile.update(lake)
        with stage("house"):
            lake.keep_house()


def list_and_commit(
    settings: Settings,
    scope: Scope,
    lake: Lake,
    *,
    resume: bool = False,
    progress: Progress = lambda rows, total: None,
    client: Client | None = None,
) -> Sweep:
    """The sweep itself, without the upkeep of the lake; it says whether it is complete."""
    check(settings)
    scope = replace(scope, api=settings.api)
    lake.create()
    with lake.writing(), lake.lock(f"sweep-{settings.project_id}", seconds=settings.wait_seconds):
        lake.clean_up(settings.project_id)
        rewrite.mend(lake)
        return _Run(settings, scope, client or Client(settings), lake, progress).run(resume)


def check(settings: Settings) -> None:
    """Raise UsageError unless the settings suffice for a sweep."""
    require(settings, "endpoint", "project_id")
    check_url(settings.endpoint, "endpoint", settings.allow_http)
    check_project(settings.project_id)
    check_key(settings.pseudonym_key)
    check_credentials(settings)
    check_transport(settings)


class _Run:
    """The state of one sweep while it runs."""

    def __init__(
        self, settings: Settings, scope: Scope, client: Client, lake: Lake, progress: Progress
    ) -> None:
        self.settings, self.scope, self.client, self.lake = settings, scope, client, lake
        self.progress = progress
        self.began = datetime.now(UTC)
        self.sent, self.again, self.received = _traffic(client)
        self.sweep_id = f"{self.began:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"
        note(project_id=settings.project_id, sweep_id=self.sweep_id)
        self.staging = Staging(settings.memory_bytes, str(lake.spill(settings.project_id)))
        lake.attach(self.staging.connection)
        self.query = self.staging.connection.execute

    def run(self, resume: bool) -> Sweep:
        """List, compare and commit."""
        with stage("recall"):
            load_last(self.staging.connection, self.lake, self.settings.project_id, self.scope.text)
            self.staging.wait()
        before = self._to_resume() if resume else None
        earlier = raw.read_plan(before) if before else None
        plan = replace(earlier, resumes=earlier.resumes or earlier.sweep_id) if earlier else self._plan()
        plan = replace(plan, sweep_id=self.sweep_id)
        landing = raw.Landing(self.lake.raw(self.settings.project_id) / self.sweep_id, plan)
        reader = Reader(self.client, self.staging, landing, self.progress)
        try:
            with stage("list"):
                outcome = self._list(reader, plan.slices, before)
        finally:
            landing.close()
        return self._commit(reader, outcome, before)

    def _plan(self) -> raw.Plan:
        """What to list: one slice, or where the scope is split one for each status."""
        known = self.query("select distinct status from last_instances where status is not null").fetchall()
        slices = self.scope.catalogue + self.scope.slices([status for (status,) in known])
        return raw.Plan(self.sweep_id, self.settings.project_id, self.scope.text, slices)

    def _list(self, reader: Reader, filters: Sequence[str], before: Place | None) -> Outcome:
        """List every slice, and say what the slices prove together."""
        splits = not self.scope.statuses and any("status=" in each for each in filters)
        unsplit = replace(self.scope, split=False).slices()
        # Pages of an earlier sweep may hold instances that the total of now does not count.
        total = reader.count(unsplit) if splits and before is None else None
        # The terms of the flavors come before the instances that run on them.
        first = len(self.scope.catalogue)
        terms = reader.read(filters[:first]) if first else []
        without_terms = reader.error
        outcomes = reader.read(filters[first:], before)
        refused = isinstance(reader.error, (BadRequest, ServiceUnavailable))
        if (
            splits
            and not without_terms
            and (refused or (reader.error is None and not self._accounts_for(total)))
        ):
            # An instance may have moved between two statuses, or the service may not know a status
            # as a filter, or fail over it: one walk over all of them settles it.
            reader.error = None
            outcomes = reader.read(unsplit)
        return min([*terms, *outcomes], key=lambda outcome: VERDICTS.index(outcome.verdict))

    def _accounts_for(self, total: tuple[int, datetime] | None) -> bool:
        """Whether the instances that were there at the start are as many as the service then said."""
        if total is None:
            return False
        count, at = total
        [(found,)] = self.query(
            "select count(distinct instance_id) from seen_instances "
            "where created_at < $1 and status is distinct from 'DELETED'",
            [at - timedelta(seconds=2)],
        ).fetchall()
        return int(found) >= count

    def _to_resume(self) -> Place | None:
        """The folder of the last sweep of this scope, if it was broken off a short while ago."""
        ended = self.query("select sweep_id from last_sweeps where verdict <> 'failed'").fetchall()
        for folder in reversed(self.lake.raw(self.settings.project_id).folders()):
            plan = raw.read_plan(folder)
            if plan is None or plan.scope != self.scope.text:
                continue
            first = plan.resumes or plan.sweep_id
            if (plan.sweep_id,) in ended or self.began - began(first) > RESUMABLE:
                break
            return folder
        log.warning("there is no broken sweep to resume: a new one begins")
        return None

    def _commit(self, reader: Reader, outcome: Outcome, before: Place | None) -> Sweep:
        """Write what changed, and last the row of the sweep."""
        ended = reader.observed_to or datetime.now(UTC)
        self._doubt_the_clock(reader, outcome)
        complete = outcome.verdict == "complete"
        observer = Observer(
            self.settings.project_id,
            self.sweep_id,
            ended,
            self.scope.absence() if complete else "false",
            complete and self.scope.is_whole,
            self.scope.api,
        )
        with stage("compare"):
            self.staging.work()
            compare(self.staging.connection, observer)
            found = breaches(self.staging.connection, self.scope.api)
        self._tell_doubts()
        common = {
            "project_id": self.settings.project_id,
            "sweep_id": self.sweep_id,
            "observed_at": ended,
        }
        counts: dict[str, int] = {}

        def rows() -> Iterator[tuple[str, Rows]]:
            kinds: Mapping[str, int] = {}
            for changed in changes(self.staging.connection, observer):
                if changed.table.name == "instances":
                    kinds = changed.kinds
                    self._tell_unlisted(kinds)
                yield changed.table.name, changed.reader
            counts.update(count(self.staging.connection, kinds))
            yield "slices", _rows("slices", _slice_rows(reader), common)
            yield "sweeps", _rows("sweeps", [self._sweep_row(reader, outcome, before, counts)], common)

        with stage("commit"):
            self.lake.commit(self.sweep_id, self.settings.project_id, rows())
        self.staging.connection.close()
        return Sweep(self.sweep_id, outcome.verdict, outcome.reason, counts, reader.error, found)

    def _doubt_the_clock(self, reader: Reader, outcome: Outcome) -> None:
        """Call a sweep incomplete whose service went back in time: nothing can be metered by it."""
        [(last,)] = self.query("select max(observed_to) from last_sweeps").fetchall()
        if last and reader.observed_from and last - reader.observed_from > CLOCK_LAG:
            outcome.verdict = "incomplete" if outcome.verdict == "complete" else outcome.verdict
            said = f"the service's clock says {reader.observed_from}, and said {last} before"
            outcome.reason = f"{outcome.reason}; {said}" if outcome.reason else said

    def _tell_doubts(self) -> None:
        """Say how many instances a document without a usable id may be about."""
        [(doubted,)] = self.query("select count(*) from doubted_instances").fetchall()
        if doubted:
            log.warning(
                "%d instances may be in documents without a usable id: they are kept as unread, see "
                "`demeter report quarantine_by_reason`",
                doubted,
            )

    def _tell_unlisted(self, kinds: Mapping[str, int]) -> None:
        """Say how many instances only the API that was listed before had."""
        unlisted = kinds.get("unlisted", 0)
        if unlisted:
            log.warning(
                "%d instances were listed by the other API, and are not by %s: they are kept as unlisted, "
                "and nothing is metered of them from now on",
                unlisted,
                self.scope.api,
            )

    def _sweep_row(
        self, reader: Reader, outcome: Outcome, before: Place | None, counts: dict[str, int]
    ) -> dict[str, Any]:
        sent, again, received = _traffic(self.client)
        return {
            "started_at": self.began,
            "finished_at": datetime.now(UTC),
            "observed_from": reader.observed_from,
            "observed_to": reader.observed_to,
            "scope": self.scope.text,
            "verdict": outcome.verdict,
            "reason": outcome.reason or None,
            "resumed_from": before.name if before else None,
            "page_count": sum(each.page_count for _, each in reader.slices),
            "request_count": sent - self.sent,
            "retry_count": again - self.again,
            "received_bytes": received - self.received,
            **counts,
            "version": __version__,
        }


def _slice_rows(reader: Reader) -> list[dict[str, Any]]:
    return [
        {"slice": number, "filter": text, **vars(outcome), "reason": outcome.reason or None}
        for number, (text, outcome) in enumerate(reader.slices)
    ]


def _rows(name: str, rows: list[dict[str, Any]], common: dict[str, Any]) -> Rows:
    """Rows of a log table."""
    read: Rows = pa.Table.from_pylist([row | common for row in rows], schema=schema(table(name))).to_reader
    return read


def _traffic(client: Client) -> tuple[int, int, int]:
    """What a client has sent, sent again and received so far."""
    return client.request_count, client.retry_count, client.received_bytes


def began(sweep_id: str) -> datetime:
    """When a sweep began, by its id."""
    return datetime.strptime(sweep_id.partition("Z-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
