"""Processes that work on one job after another, side by side; one that is killed costs the job it had.

Workers are started afresh, and not forked: the threads of the libraries of a lake do not survive a fork.
Each is in a process group of its own, so that Ctrl-C on a terminal reaches who gives out the jobs alone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from etl.lean import leave_out

Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Killed:
    """A worker ended before its job did: `how` is the signal, or the status that it ended with."""

    how: str


class Crew(Generic[Job, Done]):
    """So many workers at most, each begun when there is a job for it.

    Each calls `make` once, and what that gives for every job. What goes to a worker and what comes back has
    to be such that it can be pickled.
    """

    def __init__(self, size: int, make: Callable[[], Callable[[Job], Done]]) -> None:
        self._size, self._make = size, make
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Job]] = {}

    def run(self, next_job: Callable[[], Job | None]) -> Iterator[tuple[Job, Done | Killed]]:
        """Work on what `next_job` gives, and yield each job with what came of it, the first done first.

        It is asked for a job whenever there is room, and gives None while there is none to begin with.
        """
        try:
            self._give_out(next_job)
            while self._busy:
                for connection in wait(list(self._busy)):
                    yield self._taken(connection)  # type: ignore[arg-type]
                self._give_out(next_job)
        finally:
            self._dismiss()

    def terminate(self) -> None:
        """Ask all who are at work to end in good order."""
        for worker, _ in list(self._busy.values()):
            worker.process.terminate()

    def _give_out(self, next_job: Callable[[], Job | None]) -> None:
        while len(self._busy) < self._size and (job := next_job()) is not None:
            worker = self._idle.pop() if self._idle else _Worker(self._make)
            self._busy[worker.connection] = (worker, job)
            worker.send(job)

    def _taken(self, connection: Connection) -> tuple[Job, Done | Killed]:
        worker, job = self._busy.pop(connection)
        try:
            done: Done | Killed = connection.recv()
        except (EOFError, OSError):
            return job, Killed(worker.ended())
        self._idle.append(worker)
        return job, done

    def _dismiss(self) -> None:
        """Let the idle go, and end those who are still at work because nobody waits for them."""
        for worker in self._idle:
            worker.connection.close()
        for worker, _ in self._busy.values():
            worker.process.kill()
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.process.join()


class _Worker:
    """A process, and the way to it."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        self.send(make)

    def send(self, given: Any) -> None:
        """Give it something; that it was killed is told when it is waited for."""
        with suppress(OSError):
            self.connection.send(given)

    def ended(self) -> str:
        """How the process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"status {code}"


def _serve(connection: Connection) -> None:
    """Work on what comes until nothing comes any more."""
    leave_out()
    os.setpgrp()
    coming = _coming(connection)
    # It comes this way, for an argument would be loaded with all that it imports before this is called.
    make = next(coming, None)
    if make is None:
        return
    work = make()
    for job in coming:
        done = work(job)
        with suppress(OSError):
            connection.send(done)


def _coming(connection: Connection) -> Iterator[Any]:
    """What comes, until whoever gives it out has ended or has no more."""
    with suppress(EOFError, OSError):
        while True:
            yield connection.recv()
