"""What a lake has to bear: `make torture` breaks runs off at every point, and writes what came of it.

Each fault has a lake that it befalls, and a twin that nothing befalls: both see the same service at the
same times of its clock, so in the end both have to hold the same rows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bench import hostile
from bench.kept import missing, spread
from etl import viewfile, views
from etl.dictionary import kept
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.flatten import Staging, relations
from etl.lake import Lake
from etl.page import read_page
from etl.raw import RawPage

PAGE = Path(__file__).parents[1] / "docs" / "torture.md"
BEGIN, END = "<!-- begin: make torture -->", "<!-- end -->"
HEADINGS = ("fault", "times", "broke off", "rows lost", "rows doubled", "leaks", "repairs by hand")
START = "2026-10-12T00:00:00Z"
PROJECTS = ("a" * 32, "b" * 32)
BATCH = 100
PER_LAKE = 25  # Attempts, so that what a lake has grown to does not slow the next hundred down.
KILLS, DISK_FULL, TOGETHER, DOCUMENTS = 500, 200, 60, 10_000  # Of a whole run.
MARTS = ("usage_daily", "usage_hourly", "sessions", "states")

Rows = Counter[tuple[Any, ...]]


@dataclass
class Result:
    """What came of one fault: how often it was tried, how often it broke a run off, and the harm done."""

    fault: str
    times: int = 0
    broken: int = 0
    lost: int = 0
    doubled: int = 0
    leaks: int = 0
    repairs: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether no harm was done."""
        return not (self.lost or self.doubled or self.leaks or self.repairs or self.said)

    def line(self) -> str:
        """The row of the table."""
        figures = (self.times, self.broken, self.lost, self.doubled, self.leaks, self.repairs)
        return f"| {self.fault} | " + " | ".join(f"{each:,}" for each in figures) + " |"


# Runs of demeter, each in a process of its own.


def processes() -> ForkServerContext:
    """Processes that begin with everything imported, so that a fault falls into the run itself."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["etl.cli", "etl.sweep", "etl.build", "etl.upkeep", "pandas", "deltalake"])
    return context


def command(words: Sequence[str], environment: Mapping[str, str], output: str, file_bytes: int) -> None:
    """Run demeter with these words; no file that it writes may grow beyond `file_bytes`, if not 0."""
    from etl.cli import main

    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment)
    if file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    main(list(words))


@dataclass
class Bench:
    """A service, the lake that faults befall, and its twin."""

    context: ForkServerContext
    service: Emulator
    lake: Lake
    twin: Lake
    output: Path
    draw: random.Random
    result: Result

    def start(
        self, *words: str, lake: Lake | None = None, project: int = 0, file_bytes: int = 0
    ) -> ForkServerProcess:
        """A run of demeter that has begun."""
        environment = {
            "DEMETER_LAKE": str((lake or self.lake).path),
            "DEMETER_ENDPOINT": self.service.endpoint,
            "DEMETER_PROJECT_ID": PROJECTS[project],
            "DEMETER_TOKEN": self.service.token_of(PROJECTS[project]),
            "DEMETER_REQUESTS_PER_SECOND": "10000",
            "DEMETER_LIMIT": "40",
            "DEMETER_RAW_DAYS": "0.000001",
        }
        output = self.output if lake is None else self.output.with_name("output-of-twin")
        process = self.context.Process(target=command, args=(words, environment, str(output), file_bytes))
        process.start()
        return process

    def ended(self, process: ForkServerProcess) -> int:
        """The exit status of a run, when it has ended."""
        process.join(120)
        if process.is_alive():
            process.kill()
            self.result.said.append("a run did not end")
        with self.transcript.open("ab") as file:
            file.write(self.output.read_bytes() if self.output.exists() else b"")
        return process.exitcode or 0

    @property
    def transcript(self) -> Path:
        """All that the runs have written to the terminal."""
        return self.output.with_name("transcript")

    def run(self, *words: str, **how: Any) -> int:
        """The exit status of a run."""
        return self.ended(self.start(*words, **how))

    def recover(self, *commands: str) -> None:
        """Run what a schedule would run next; it has to work without a hand."""
        for each in commands:
            status = self.run(each)
            if status:
                self.result.repairs += 1
                self.result.said.append(f"{each} ended with {status} after it: {self.last_words()}")

    def seconds_of(self, name: str) -> float:
        """How long a run takes that nothing befalls, and that has to work without a hand."""
        began = time.monotonic()
        self.recover(name)
        return time.monotonic() - began

    def last_words(self) -> str:
        """The last line that a run wrote."""
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else ""

    def hold_against(self, before: Rows) -> Rows:
        """Count what has gone from rows that readers saw, and hold what is there against the service.

        Returns the rows that readers see now.
        """
        after = history(self.lake)
        self.result.lost += (before - after).total()
        listed = Counter(
            (project, str(orjson.loads(each)["id"]))
            for project in self.service.project_ids
            for each in self.service.documents_of(project)
        )
        here = Counter(query(self.lake, "select project_id, instance_id from instances"))
        swept = {project for project, _ in here}
        listed = Counter({key: count for key, count in listed.items() if key[0] in swept})
        self.result.lost += (listed - here).total()
        self.result.doubled += (here - listed).total()
        return after

    def hold_against_twin(self) -> None:
        """Build both lakes: whatever the twin has, the other one has, once."""
        for each in (self.lake, self.twin):
            if self.run("build", lake=each):
                self.result.said.append(f"the last build: {self.last_words()}")
        for rows in (history, usage):
            mine, others = rows(self.lake), rows(self.twin)
            self.result.lost += (others - mine).total()
            self.result.doubled += (mine - others).total()

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a query of the lake."""
        return query(self.lake, text)

    def look_for_secrets(self) -> None:
        """Count the files of the lake, and the lines of output, with a credential in them."""
        secrets = [*self.service.planted_secrets, *(self.service.token_of(each) for each in PROJECTS)]
        self.result.leaks += leaks((self.lake.path, self.transcript), secrets)


def query(lake: Lake, text: str) -> list[tuple[Any, ...]]:
    with views.connect(lake) as connection:
        return connection.execute(text).fetchall()


def history(lake: Lake) -> Rows:
    """Every row of every tidy table that readers see, without the sweep that wrote it."""
    found: Rows = Counter()
    with views.connect(lake) as connection:
        for table in kept():
            text = f"select * exclude (sweep_id, valid_from, valid_to) from {table.history}"
            found.update((table.name, repr(row)) for row in connection.execute(text).fetchall())
    return found


def usage(lake: Lake) -> Rows:
    """Every row of the marts about running time."""
    found: Rows = Counter()
    with views.connect(lake) as connection:
        for name in MARTS:
            found.update((name, repr(row)) for row in connection.execute(f"from {name}").fetchall())
    return found


def texts_of(file: Path) -> bytes:
    """All that a file says: its bytes, and what is compressed or encoded in them."""
    raw = file.read_bytes()
    with suppress(OSError, pa.ArrowException):
        if file.suffix == ".zst":
            with pa.input_stream(str(file), compression="zstd") as stream:
                return raw + bytes(stream.read())
        if file.suffix == ".parquet":
            return raw + repr(pq.ParquetFile(file).read().to_pylist()).encode()
    return raw


def leaks(places: Sequence[Path], secrets: Sequence[str]) -> int:
    """In how many files, at these places or below them, one of the secrets stands."""
    files = [file for place in places for file in (place, *place.rglob("*")) if file.is_file()]
    wanted = [secret.encode() for secret in secrets]
    return sum(any(secret in text for secret in wanted) for text in map(texts_of, files))


# The faults. Each is tried once by a call: it moves the clock on, does its harm, and recovers.

Fault = Callable[[Bench], bool]


def broken_off(name: str, number: signal.Signals) -> Fault:
    """A run that gets a signal at a random moment of the time that it usually takes."""
    lasts: list[float] = []

    def attempt(bench: Bench) -> bool:
        if not lasts:
            lasts.append(bench.seconds_of(name))
        process = bench.start(name)
        process.join(bench.draw.uniform(0, lasts[-1]))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, number)
        status = bench.ended(process)
        if status not in (0, -number):
            bench.result.said.append(f"{name} ended with {status} of {number.name}: {bench.last_words()}")
        lasts.append(bench.seconds_of(name))
        if name != "sweep":
            bench.recover("sweep")
        return status != 0

    return attempt


def file_too_large(name: str) -> Fault:
    """A run in which no file can grow beyond a random size: every writer meets the error at its point."""

    def attempt(bench: Bench) -> bool:
        status = bench.run(name, file_bytes=int(10 ** bench.draw.uniform(3, 5)))
        expect_plain_words(bench, name, status)
        bench.recover(*dict.fromkeys((name, "sweep")))
        return status != 0

    return attempt


def disk_full(name: str) -> Fault:
    """A run on a file system that has a random, small number of bytes left."""

    def attempt(bench: Bench) -> bool:
        ballast = bench.lake.path.parent / "ballast"
        free = shutil.disk_usage(bench.lake.path).free
        left = int(10 ** bench.draw.uniform(0, 6))
        ballast.write_bytes(bytes(max(0, free - left)))
        status = bench.run(name)
        ballast.unlink()
        expect_plain_words(bench, name, status)
        bench.recover(*dict.fromkeys((name, "sweep")))
        return status != 0

    return attempt


def expect_plain_words(bench: Bench, name: str, status: int) -> None:
    """Say so where a run calls what befell it a defect, or ends by a signal."""
    if status == 1 or status < 0:
        bench.result.said.append(f"{name} ended with {status}: {bench.last_words()}")


def read_only(bench: Bench) -> bool:
    """Every command on a file system that is mounted to be read: readers answer, writers say why not."""
    place = str(bench.lake.path.parent)
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)  # noqa: S603, S607
    statuses = {}
    for name in ("sweep", "build", "maintain"):
        statuses[name] = bench.run(name)
        expect_plain_words(bench, name, statuses[name])
    if bench.run("sql", "select count(*) from instances"):
        bench.result.said.append(f"a query of a lake that can only be read: {bench.last_words()}")
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)  # noqa: S603, S607
    bench.recover("sweep", "build", "maintain")
    return any(statuses.values())


def two_sweeps_of_one_project(bench: Bench) -> bool:
    """Two sweeps at once: the later one has to wait or to say that it is not alone."""
    first = bench.start("sweep")
    time.sleep(bench.draw.uniform(0, 0.3))
    statuses = sorted((bench.run("sweep"), bench.ended(first)))
    if statuses not in ([0, 0], [0, 7]):
        bench.result.said.append(f"two sweeps ended with {statuses}: {bench.last_words()}")
    bench.recover("sweep")
    return statuses == [0, 7]


def two_projects(bench: Bench) -> bool:
    """Sweeps of two projects side by side."""
    runs = [bench.start("sweep", project=number) for number in (0, 1)]
    statuses = [bench.ended(each) for each in runs]
    if any(statuses):
        bench.result.said.append(f"two projects ended with {statuses}: {bench.last_words()}")
    bench.run("sweep", lake=bench.twin, project=1)
    return any(statuses)


def beside_a_reader(bench: Bench) -> bool:
    """A sweep, a build and a maintain one after the other, and all the while somebody reads."""
    before = Counter(query(bench.lake, PER_SWEEP))
    for name in ("sweep", "build", "maintain"):
        process = bench.start(name)
        while process.is_alive():
            now = Counter(query(bench.lake, PER_SWEEP))
            bench.result.lost += (before - now).total()
            before = now
            read_by_file(bench)
        if bench.ended(process):
            bench.result.said.append(f"{name} beside a reader: {bench.last_words()}")
    return False


PER_SWEEP = "select sweep_id, change, count(*) from instance_history group by all"


def read_by_file(bench: Bench) -> None:
    """Read by the file of the views, as other clients do."""
    with duckdb.connect(str(bench.lake.path / viewfile.FILE), read_only=True) as connection:
        [(count, distinct)] = connection.execute(
            "select count(*), count(distinct (project_id, instance_id)) from instances"
        ).fetchall()
    bench.result.doubled += count - distinct


# From a fault to its row.


@contextmanager
def benches(result: Result, seed: int, on: Callable[[], Any]) -> Iterator[Bench]:
    """A service and two lakes, which are the same to begin with; `on` gives the folder of the first."""
    fleets = {
        project: Fleet(
            FleetSettings(instances=60, seed=seed + number, days=60, mean_run_hours=2, repository_share=0.5)
        )
        for number, project in enumerate(PROJECTS)
    }
    with (
        Emulator(clock=Clock.at(START), fleets=fleets) as service,
        on() as folder,
        in_folder() as beside,
    ):
        lakes = Lake(folder / "lake"), Lake(beside / "twin")
        bench = Bench(processes(), service, *lakes, beside / "output", random.Random(seed), result)
        # The second sweep leaves the first fault of a build something to do.
        if any(bench.run(each) for each in ("sweep", "build", "sweep")):
            raise SystemExit(f"there is no lake to begin with: {bench.last_words()}")
        shutil.copytree(bench.lake.path, bench.twin.path)
        yield bench


def torture(name: str, fault: Fault, times: int, seed: int, on: Callable[[], Any]) -> Result:
    """Try a fault so often, on lakes of its own; `on` gives the folder that one stands in."""
    result = Result(name)
    for first in range(0, times, PER_LAKE):
        _torture(result, fault, min(PER_LAKE, times - first), seed + first, on)
    return result


def _torture(result: Result, fault: Fault, times: int, seed: int, on: Callable[[], Any]) -> None:
    """Try a fault so often on one lake."""
    with benches(result, seed, on) as bench:
        before = history(bench.lake)
        for _ in range(times):
            bench.service.clock.advance(hours=bench.draw.choice((0.25, 0.25, 6, 20)))
            beside = bench.start("sweep", lake=bench.twin)
            result.times += 1
            result.broken += fault(bench)
            if bench.ended(beside):
                raise SystemExit(f"the twin is not untouched: {bench.last_words()}")
            before = bench.hold_against(before)
        bench.hold_against_twin()
        bench.look_for_secrets()


def hostile_documents(count: int, seed: int) -> Result:
    """Flatten hostile documents and find every value again; then sweep some with secrets in them."""
    result = Result("hostile documents, in batches of 100")
    for number in range(-(-count // BATCH)):
        batch = hostile.documents(seed + number, min(BATCH, count - number * BATCH))
        found = flattened(page_of(batch))
        lost = missing(batch, found)
        ids = Counter(row["instance_id"] for row in found["instances"])
        result.times += len(batch)
        result.lost += len(lost) + (Counter(each["id"] for each in batch) - ids).total()
        result.doubled += (ids - Counter(each["id"] for each in batch)).total()
        result.said += lost[:3]
    return result


def hostile_sweeps(count: int, seed: int) -> Result:
    """Sweep hostile documents with secrets planted in them, and look for the secrets in every file."""
    result = Result("hostile documents with secrets in them, swept")
    context, secrets = processes(), []
    with Emulator.of_documents([], Clock.at(START)) as service, in_folder() as folder:
        lake = Lake(folder / "lake")
        for number in range(-(-count // BATCH)):
            batch = hostile.documents(seed + number, min(BATCH, count - number * BATCH))
            planted = [
                [f"Zq7{number}x{document}y{place}9Kd" for place in range(5)] for document in range(len(batch))
            ]
            secrets += [secret for each in planted for secret in each]
            service.documents = [hostile.with_secrets(*each) for each in zip(batch, planted, strict=True)]
            service.clock.advance(hours=1)
            environment = {
                "DEMETER_LAKE": str(lake.path),
                "DEMETER_ENDPOINT": service.endpoint,
                "DEMETER_PROJECT_ID": service.project_id,
                "DEMETER_TOKEN": service.token,
                "DEMETER_REQUESTS_PER_SECOND": "10000",
            }
            process = context.Process(
                target=command, args=(["-v", "sweep"], environment, str(folder / "output"), 0)
            )
            process.start()
            process.join()
            result.times += len(batch)
            here = Counter(each for (each,) in query(lake, "select instance_id from instances"))
            listed = Counter(each["id"] for each in batch)
            result.lost += (listed - here).total()
            result.doubled += (here - listed).total()
            if process.exitcode:
                result.broken += 1
                result.said.append((folder / "output").read_text(errors="replace").splitlines()[-1])
        result.leaks = leaks((folder,), secrets)
    return result


def page_of(documents: Sequence[Any]) -> bytes:
    """A page of documents, among whose numbers are some beyond 64 bits."""
    return json.dumps({"instances": documents, "total_count": len(documents)}).encode()


def flattened(page: bytes) -> dict[str, list[dict[str, Any]]]:
    """The tidy relations of a page, with `document_id`."""
    staging = Staging()
    read = read_page(page, datetime(2026, 10, 12, tzinfo=UTC), staging.connection.cursor())
    staging.add([RawPage(0, 1, read)])
    staging.settle()
    spread(staging.connection)
    relations(staging.connection)
    found = {table.name: staging.connection.sql(f"from tidy_{table.name}") for table in kept()}
    return {
        name: [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
        for name, relation in found.items()
    }


@contextmanager
def in_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        yield Path(name)


@contextmanager
def in_memory() -> Iterator[Path]:
    """A small file system of its own, which can be full and can be mounted to be read."""
    with in_folder() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)  # noqa: S603, S607
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)  # noqa: S603, S607


def may_mount() -> bool:
    """Whether this user may mount a file system."""
    with suppress(OSError, subprocess.CalledProcessError), in_memory():
        return True
    return False


@dataclass(frozen=True)
class Size:
    """How often each kind of fault is tried."""

    kills: int
    disk_full: int
    together: int
    documents: int

    @classmethod
    def of(cls, share: float) -> Size:
        """A share of a whole run, but each fault at least once; documents, which take little time, more."""
        often = (share * whole for whole in (KILLS, DISK_FULL, TOGETHER))
        return cls(*(max(1, round(each)) for each in often), round(min(1, 5 * share) * DOCUMENTS))


def faults(size: Size, mounts: bool) -> Iterator[tuple[str, Fault, int, Callable[[], Any]]]:
    """The faults of a lake: name, what it does, how often, and where the lake stands."""
    names = (("sweep", 0.35), ("build", 0.1), ("maintain", 0.05))
    for number in (signal.SIGKILL, signal.SIGTERM):
        for name, share in names:
            times = max(1, round(size.kills * share))
            yield f"{number.name} at a random moment of `{name}`", broken_off(name, number), times, in_folder
    for name, share in (("sweep", 0.3), ("build", 0.15), ("maintain", 0.05)):
        times = max(1, round(size.disk_full * share))
        yield (
            f"no file may grow beyond a random size (EFBIG): `{name}`",
            file_too_large(name),
            times,
            in_folder,
        )
        if mounts:
            yield f"the disk is full at a random point (ENOSPC): `{name}`", disk_full(name), times, in_memory
    share = max(1, size.together // 4)
    if mounts:
        yield "a lake that can only be read: `sweep`, `build`, `maintain`, `sql`", read_only, share, in_memory
    yield "two sweeps of one project at once", two_sweeps_of_one_project, share, in_folder
    yield "sweeps of two projects side by side", two_projects, share, in_folder
    yield "a reader beside `sweep`, `build` and `maintain`", beside_a_reader, share, in_folder


def table(results: Sequence[Result]) -> str:
    """The lines of the table."""
    head = ["| " + " | ".join(HEADINGS) + " |", "|---|" + "--:|" * (len(HEADINGS) - 1)]
    return "\n".join([*head, *(each.line() for each in results)])


def main() -> None:
    """Try every fault, and write the table into the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--share", type=float, default=0.04, help="how much of a whole run: 1 is all of it")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="only the faults with this in their name; writes no page")
    given = options.parse_args()
    size, results = Size.of(given.share), []
    runs: list[tuple[str, Callable[[], Result]]] = [
        (name, partial(torture, name, fault, times, given.seed, on))
        for name, fault, times, on in faults(size, may_mount())
    ]
    runs.append(("hostile documents", partial(hostile_documents, size.documents, given.seed)))
    runs.append(("hostile sweeps", partial(hostile_sweeps, max(1, size.documents // 10), given.seed)))
    for name, run in runs:
        if given.only in name:
            results.append(run())
            print(results[-1].line(), *results[-1].said[:5], sep="\n    ", flush=True)
    if not given.only:
        page = PAGE.read_text(encoding="utf-8")
        before, after = page.partition(BEGIN)[0], page.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}", encoding="utf-8")
    if not all(each.is_clean for each in results):
        raise SystemExit("harm was done: see above")


if __name__ == "__main__":
    main()
