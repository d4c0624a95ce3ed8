"""Sweeps of many projects side by side, which share what there is but once: memory, requests, credentials.

What goes wrong with one stops no other. But credentials that are refused again and again would lock whoever
they are of, and a service that is down would cost its attempts for each project: then the rest is not tried.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from etl import contract, sweep
from etl.answer import CredentialsRefused
from etl.client import Client
from etl.crew import Crew, Killed
from etl.directory import private
from etl.errors import DemeterError, IncompleteListing, Refused, ServiceUnavailable, rebuilt
from etl.lake import Lake
from etl.pacing import Pace
from etl.projects import Outcome, Project
from etl.scope import Scope
from etl.settings import Settings
from etl.stages import Stage, graft, stage
from etl.values import visible

log = logging.getLogger("demeter")

# So often in a row are credentials refused, or does a server give out, before the rest is not tried. Five
# wrong signatures lock a key.
MOST_IN_A_ROW = 3
COLUMNS = (
    *("project", "project_id", "exit_status", "sweep_id", "verdict", "instance_count", "new_count"),
    *("changed_count", "gone_count", "quarantined_count", "seconds"),
)


@dataclass(frozen=True)
class Job:
    """A project to sweep: its settings, what of it, and the folder of the pace that all keep."""

    name: str
    settings: Settings
    scope: Scope
    resume: bool
    pace: Path

    @property
    def project(self) -> Project:
        """The project by its name, with settings that are worked out."""
        return Project(self.name, list)

    @property
    def found(self) -> Mapping[str, Any]:
        """What is known of its sweep before that begins."""
        return {"project_id": self.settings.project_id}

    @property
    def identity(self) -> tuple[str, ...]:
        """Who demeter is to the service for this project."""
        given = self.settings
        user = (given.iam_endpoint, given.domain, given.user)
        return ("identity", given.ak or given.token or given.token_command, *user)

    @property
    def server(self) -> tuple[str, ...]:
        """Where the project is listed."""
        return ("server", urlsplit(self.settings.endpoint).netloc)


@dataclass(frozen=True)
class Ended:
    """How a job ended, in a form that goes from one process to another."""

    status: int
    said: str
    came: bool
    is_unknown: bool  # The credentials were refused.
    found: Mapping[str, Any]
    stage: Stage


@dataclass
class _Queue:
    """The jobs that wait. Credentials that are not known to be good are tried by one at a time."""

    waiting: deque[Job]
    under_way: Counter[tuple[str, ...]] = field(default_factory=Counter)
    in_a_row: Counter[tuple[str, ...]] = field(default_factory=Counter)
    good: set[tuple[str, ...]] = field(default_factory=set)
    said: dict[tuple[str, ...], str] = field(default_factory=dict)

    def next(self) -> Job | None:
        """The first job that may begin; None where there is none now."""
        for job in self.waiting:
            known = job.identity in self.good or not self.under_way[job.identity]
            if known and not self.given_up(job):
                self.waiting.remove(job)
                self.under_way[job.identity] += 1
                return job
        return None

    def given_up(self, job: Job) -> tuple[str, ...] | None:
        """What was in vain too often for a job to be tried: its credentials, or its server."""
        return next((key for key in (job.identity, job.server) if self.in_a_row[key] >= MOST_IN_A_ROW), None)

    def ended(self, job: Job, error: DemeterError | None) -> None:
        """Take note of what a job that ended says of its credentials and its server."""
        self.under_way[job.identity] -= 1
        if isinstance(error, CredentialsRefused):
            self._count(job.identity, str(error))
        elif isinstance(error, ServiceUnavailable):
            self._count(job.server, str(error))
        elif error is None or isinstance(error, (IncompleteListing, Refused)):
            self.good.add(job.identity)
            self.in_a_row[job.identity] = self.in_a_row[job.server] = 0

    def _count(self, key: tuple[str, ...], said: str) -> None:
        self.good.discard(key)
        self.in_a_row[key] += 1
        self.said[key] = said

    def not_tried(self) -> Iterator[tuple[Job, DemeterError]]:
        """The jobs that were given up, each with why."""
        for job in self.waiting:
            key = self.given_up(job)
            if key:
                kind = CredentialsRefused if key == job.identity else ServiceUnavailable
                what = "its credentials were refused" if key == job.identity else "its server gave out"
                yield job, kind(f"not tried: {what} {self.in_a_row[key]} times in a row: {self.said[key]}")


class Sweeps:
    """Sweeps of projects, so many at once as the settings say."""

    def __init__(
        self, settings: Settings, scope: Scope, resume: bool, log_there: Callable[[], object] = int
    ) -> None:
        self.settings, self.scope, self.resume = settings, scope, resume
        self.size = settings.workers or len(os.sched_getaffinity(0))
        self._log_there = log_there
        self._crew: Crew[Job, Ended] | None = None
        self._stopped = ""

    def run(self, projects: Sequence[Project]) -> Iterator[Outcome]:
        """Sweep the projects, and yield how each ended, the first that did first."""
        with tempfile.TemporaryDirectory(prefix="demeter-") as folder:
            jobs = []
            for project in projects:
                try:
                    jobs.append(self._job(project, min(self.size, len(projects)), Path(folder)))
                except DemeterError as error:
                    yield Outcome(project, error, came=False)
            if jobs:
                yield from self._each(jobs)

    def stop(self, why: str) -> None:
        """Begin no other sweep, and let those that are under way end in good order."""
        self._stopped = why
        if self._crew:
            self._crew.terminate()

    def _job(self, project: Project, size: int, pace: Path) -> Job:
        settings = project.settings()
        sweep.check(settings)
        shared = replace(settings, memory=share(settings.memory, size))
        return Job(project.name, shared, self.scope, self.resume, pace)

    def _each(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        queue = _Queue(deque(jobs))
        with private():
            Lake(self.settings.lake).create()
        self._crew = Crew(min(self.size, len(jobs)), partial(sweeper, self.settings.lake, self._log_there))
        for job, ended in self._crew.run(lambda: None if self._stopped else queue.next()):
            outcome = _outcome(job, ended)
            queue.ended(job, outcome.error)
            yield outcome
        for job, error in queue.not_tried():
            yield Outcome(job.project, error, came=False, found=job.found)


def share(memory: str, size: int) -> str:
    """The part of the memory that each of so many may use."""
    number, unit = re.fullmatch(r"([0-9.]+) *(\w+)", memory).groups()  # type: ignore[union-attr]
    return f"{float(number) / size:.6f}{unit}"


def sweeper(lake: str, log_there: Callable[[], object]) -> Callable[[Job], Ended]:
    """What sweeps one project after another in a worker, which knows the tables from one to the next."""
    log_there()
    return partial(sweep_one, Lake(lake))


def sweep_one(lake: Lake, job: Job) -> Ended:
    """Sweep a project, in a process of its own; a defect is told like what goes wrong with it."""
    began, found = time.monotonic(), dict(job.found)
    error: DemeterError | None = None
    came = False
    with stage("project", is_apart=True, project=job.name) as now, private():
        try:
            swept = _swept(lake, job)
            for each in contract.told(job.settings, swept.breaches):
                log.warning("%s", visible(each))
            found |= swept.told
            came, error = True, sweep.failure(job.settings, swept)
        except DemeterError as failed:
            error = failed
        except Exception as defect:
            log.info("where it came from:", exc_info=defect)
            error = DemeterError(f"a defect ({type(defect).__name__}: {defect}); -v shows where")
        now.error = str(error or "")
    found["seconds"] = round(time.monotonic() - began, 3)
    refused = isinstance(error, CredentialsRefused)
    return Ended(error.exit_status if error else 0, now.error, came, refused, found, now)


def _swept(lake: Lake, job: Job) -> sweep.Sweep:
    """The sweep itself, which SIGTERM ends in good order, and a second one at once."""
    client = Client(job.settings, pace=Pace(job.settings.requests_per_second, job.pace))

    def heed(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        client.stop(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, heed)
    try:
        with stage("sweep", scope=job.scope.text):
            return sweep.list_and_commit(job.settings, job.scope, lake, resume=job.resume, client=client)
    finally:
        signal.signal(signal.SIGTERM, before)


def _outcome(job: Job, ended: Ended | Killed) -> Outcome:
    """How the sweep of a project ended, as the rest of a run has it."""
    if isinstance(ended, Killed):
        said = f"its sweep was killed ({ended.how}): look at the log of the machine, and run it again"
        return Outcome(job.project, IncompleteListing(said), came=False, found=job.found)
    graft(ended.stage)
    error = rebuilt(ended.status, ended.said)
    if ended.is_unknown:
        error = CredentialsRefused(ended.said)
    return Outcome(job.project, error, ended.came, ended.found)


def row(outcome: Outcome) -> dict[str, str]:
    """How the sweep of a project ended, as a row of text."""
    known = {"project": outcome.project.name, "exit_status": outcome.exit_status, **outcome.found}
    return {name: str(known.get(name, "")) for name in COLUMNS} | {"error": str(outcome.error or "")}
