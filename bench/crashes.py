"""What is left of runs that are broken off, of demeter and of dlt: `make bench-faults` writes it down."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

import orjson

from bench import pages
from bench.faults import folder
from bench.others import Other, dlt, service_of
from bench.torture import command, processes, query
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake

PAGE, COMMAND = "faults.md", "make bench-faults: runs that are broken off"
FLEET = FleetSettings(instances=300, unchanging=True)
LIMIT = 100
TIMES = 20
MOVED = 30
NO_LIMIT = 0

Rows = Counter[tuple[str, str]]  # The id and the status of each row that readers see.
UNREADABLE: Rows = Counter({("unreadable", ""): 1})


class Tool(Protocol):
    """A tool that keeps the listing of a service in a folder."""

    name: str
    service: Emulator

    @property
    def files(self) -> Path:
        """The folder of the files that readers read."""
        ...

    def begin(self, file_bytes: int = NO_LIMIT) -> int:
        """Begin a run, in which no file may grow beyond a size; give its process."""
        ...

    def ended(self) -> list[int]:
        """The statuses of the runs that were begun, when all have ended."""
        ...

    def rows(self) -> Rows:
        """What readers see now."""
        ...

    def forget_state(self) -> None:
        """Remove by hand what a run has left beside the rows."""
        ...

    def forget_all(self) -> None:
        """Begin anew."""
        ...


@dataclass
class Demeter:
    """Sweeps into a lake."""

    service: Emulator
    place: Path
    name: str = "demeter"
    running: list[ForkServerProcess] = field(default_factory=list)

    @property
    def files(self) -> Path:
        return self.place / "lake/tables"

    def begin(self, file_bytes: int = NO_LIMIT) -> int:
        told = service_of(self.service, LIMIT)
        environment = {f"DEMETER_{name.upper()}": str(value) for name, value in told.items()}
        environment |= {"DEMETER_LAKE": str(self.place / "lake"), "DEMETER_REQUESTS_PER_SECOND": "10000"}
        output = str(self.place / f"output-{len(self.running)}")
        process = processes().Process(target=command, args=(["sweep"], environment, output, file_bytes))
        process.start()
        self.running.append(process)
        return process.pid or 0

    def ended(self) -> list[int]:
        for process in self.running:
            process.join()
        found, self.running = [process.exitcode or 0 for process in self.running], []
        return found

    def rows(self) -> Rows:
        lake = Lake(str(self.place / "lake"))
        if not lake.path.exists():
            return Counter()
        return Counter(query(lake, "select instance_id, status from instances"))

    def forget_state(self) -> None:
        for name in ("locks", "tmp"):
            shutil.rmtree(self.place / "lake" / name, ignore_errors=True)

    def forget_all(self) -> None:
        shutil.rmtree(self.place / "lake", ignore_errors=True)


@dataclass
class Dlt:
    """Runs of dlt, each in one of two processes that wait for them."""

    name: str
    way: str
    service: Emulator
    place: Path
    tools: Sequence[Other]
    running: int = 0

    @property
    def files(self) -> Path:
        return self.place / "kept"

    def _told(self, **more: Any) -> dict[str, Any]:
        return {**service_of(self.service, LIMIT), "folder": str(self.place), "way": self.way, **more}

    def begin(self, file_bytes: int = NO_LIMIT) -> int:
        said = self.tools[self.running].begin(self._told(file_bytes=file_bytes))
        self.running += 1
        return int(said["process"])

    def ended(self) -> list[int]:
        found = [int(tool.said()["status"]) for tool in self.tools[: self.running]]
        self.running = 0
        return found

    def rows(self) -> Rows:
        found = self.tools[0].begin(self._told(read=True))
        return UNREADABLE if found is None else Counter((name, status) for name, status in found)

    def forget_state(self) -> None:
        shutil.rmtree(self.place / "pipelines", ignore_errors=True)

    def forget_all(self) -> None:
        shutil.rmtree(self.place)
        self.place.mkdir()


@dataclass
class Result:
    """What came of a fault: how often it broke a run off, and the harm that was done."""

    times: int = 0
    broken: int = 0
    torn: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    repairs: int = 0

    def cells(self) -> list[str]:
        """The figures of the row; harm stands out."""
        harm = (self.torn, self.lost, self.doubled, self.stale, self.repairs)
        return [str(self.times), str(self.broken), *(f"**{each:,}**" if each else "0" for each in harm)]


@dataclass(frozen=True)
class Pace:
    """How long a run takes that nothing befalls, and how long of that it writes what readers read."""

    seconds: float
    writing_seconds: float


Fault = Callable[[Tool, random.Random, Pace], None]


def killed(tool: Tool, draw: random.Random, pace: Pace) -> None:
    """SIGKILL at a random moment of the time that a run takes."""
    process = tool.begin()
    time.sleep(draw.uniform(0, pace.seconds))
    kill(process)


def killed_while_it_writes(tool: Tool, draw: random.Random, pace: Pace) -> None:
    """SIGKILL at a random moment after the first change of what readers read."""
    process = tool.begin()
    wait_for_change(tool, 10 * pace.seconds)
    time.sleep(draw.uniform(0, pace.writing_seconds))
    kill(process)


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def wait_for_change(tool: Tool, most_seconds: float) -> None:
    """Return at the first change of a file that readers read, or after so long."""
    before, until = state_of(tool.files), time.monotonic() + most_seconds
    while state_of(tool.files) == before and time.monotonic() < until:
        time.sleep(0.0005)


def state_of(place: Path) -> list[tuple[str, int, int]]:
    """The files below a folder, with their sizes and times."""
    found = []
    for above, _, names in os.walk(place):
        for path in (f"{above}/{name}" for name in names):
            with suppress(OSError):
                now = os.stat(path)
                found.append((path, now.st_size, now.st_mtime_ns))
    return sorted(found)


def refused(tool: Tool, draw: random.Random, pace: Pace) -> None:
    """A disk that takes no more of a file than a random size."""
    tool.begin(int(10 ** draw.uniform(3, 5)))


def together(tool: Tool, draw: random.Random, pace: Pace) -> None:
    """Two runs at once, the second a random moment after the first."""
    tool.begin()
    time.sleep(draw.uniform(0, pace.seconds / 2))
    tool.begin()


FAULTS: dict[str, Fault] = {
    "SIGKILL at a random moment": killed,
    "SIGKILL at a random moment of its writing": killed_while_it_writes,
    "no file may grow beyond a random size": refused,
    "two runs at once": together,
}
WAYS = {
    "dlt, `replace`, Parquet": "replace",
    "dlt, `append`, Parquet, last load read": "append",
    "dlt, `merge` (`cdc`), Delta": "delta",
    "dlt, `merge` (`delete-insert`), DuckDB": "duckdb",
}
HEAD = (
    "fault | tool | >times | >broke off | >readers saw a part | >rows lost | >rows doubled | >rows stale "
    "| >repairs by hand"
)


@contextmanager
def tools() -> Iterator[list[tuple[Tool, Callable[[], None]]]]:
    """Every tool with a service of its own, and what lets that service move on."""
    with ExitStack() as stack:
        runners = [stack.enter_context(dlt()) for _ in range(2)]
        found = []
        for name, way in {"demeter": "", **WAYS}.items():
            place = stack.enter_context(folder())
            listed = [orjson.loads(each) for each in fleet_documents()]
            service = stack.enter_context(Emulator.of_documents(listed, Clock.at(FLEET.start)))
            tool: Tool = Dlt(name, way, service, place, runners) if way else Demeter(service, place)
            found.append((tool, mover(service, listed)))
        yield found


def fleet_documents() -> list[bytes]:
    """Documents as the emulated service has them."""
    clock = Clock.at(FLEET.start)
    with Emulator(Fleet(FLEET), clock) as service:
        return service.documents


def mover(service: Emulator, listed: list[dict[str, Any]]) -> Callable[[], None]:
    """A function that moves a service on by a quarter of an hour, in which some instances start or stop."""
    state = {"next": 0}

    def move() -> None:
        service.clock.advance(minutes=15)
        for _ in range(MOVED):
            document = listed[state["next"] % len(listed)]
            document["status"] = "STOPPED" if document["status"] == "RUNNING" else "RUNNING"
            document["latest_update_timestamp"] = str(service.clock.now_ms() - 60_000)
            state["next"] += 1
        service.documents = listed

    return move


def listed_now(service: Emulator) -> Rows:
    """What readers should see."""
    return Counter((each["id"], each["status"]) for each in map(orjson.loads, service.documents))


def befall(tool: Tool, move: Callable[[], None], fault: Fault, times: int, draw: random.Random) -> Result:
    """Let a fault befall a tool so many times, and hold what comes of it against the service."""
    result = Result()
    tool.forget_all()
    run_again(tool, result)
    pace = pace_of(tool, move)
    for _ in range(times):
        before = tool.rows()
        move()
        fault(tool, draw, pace)
        result.times += 1
        result.broken += any(tool.ended())
        result.torn += tool.rows() not in (before, listed_now(tool.service))
        run_again(tool, result)
        hold_against(listed_now(tool.service), tool.rows(), result)
    return result


def pace_of(tool: Tool, move: Callable[[], None]) -> Pace:
    """How long one more run takes."""
    move()
    began = time.monotonic()
    tool.begin()
    wait_for_change(tool, 60)
    wrote = time.monotonic()
    tool.ended()
    return Pace(time.monotonic() - began, time.monotonic() - wrote)


def run_again(tool: Tool, result: Result) -> None:
    """The next run; what a hand has to do before it works is counted."""
    for repair in (None, tool.forget_state, tool.forget_all):
        if repair:
            repair()
            result.repairs += 1
        tool.begin()
        if tool.ended() == [0]:
            return
    raise RuntimeError(f"{tool.name} does not work any more")


def hold_against(listed: Rows, rows: Rows, result: Result) -> None:
    """Count the rows that should be there and are not, that are there again, and that say what is past."""
    ids = Counter(name for name, _ in rows.elements())
    result.lost += len({name for name, _ in listed} - ids.keys())
    result.doubled += (ids - Counter(set(ids))).total()
    result.stale += sum(count for row, count in rows.items() if row not in listed)


def main() -> None:
    """Try every fault with every tool, and write the table into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=TIMES, help="how often a fault is tried")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = []
    with tools() as found:
        for fault, does in FAULTS.items():
            for tool, move in found:
                result = befall(tool, move, does, given.times, random.Random(given.seed))
                rows.append([fault, tool.name, *result.cells()])
                print(" | ".join(rows[-1]), flush=True)
    pages.write(PAGE, COMMAND, pages.table(HEAD, rows))


if __name__ == "__main__":
    main()
