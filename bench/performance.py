"""How fast a sweep is beside the floor and others: `make bench` writes it into docs/performance.md."""

from __future__ import annotations

import json
import math
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import pages
from bench.measure import OTHERS, OWN, ROOT, Run, Service, machine, run, service, versions

COMMAND = "make bench"
RESULTS = ROOT / ".bench/performance.json"
FLEET, LARGE_FLEET, SMALL_FLEET = 20_000, 200_000, 200
ROUNDS = 5
# The rate is that of a service that never throttles; dlt is quiet, and calls nobody.
ENVIRONMENT = {
    "DEMETER_REQUESTS_PER_SECOND": "1000000",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}


@dataclass(frozen=True)
class Contestant:
    """A way to bring the listing home; `rounds` is how often it runs."""

    name: str
    command: tuple[str, ...]
    rounds: int = ROUNDS


FLOOR = Contestant("floor", (OWN, "-m", "bench.floor"))
SWEEP = Contestant("demeter", (OWN, "-m", "bench.ours", "sweep"))
BUILD = Contestant("demeter build", (OWN, "-m", "bench.ours", "build"))
DLT, DLT_TWO, DLT_NESTED = (
    Contestant(f"dlt, {setting}", (OTHERS, "-m", "bench.rivals.dlt_parquet", "{folder}", setting), rounds)
    for setting, rounds in (("one process", ROUNDS), ("two processes", 2), ("nested left as JSON", 2))
)
PANDAS = Contestant("json_normalize", (OTHERS, "-m", "bench.rivals.pandas_parquet", "{folder}"))
VERSION = Contestant("demeter --version", (str(Path(OWN).with_name("demeter")), "--version"), 10)
REPORT = Contestant("demeter report", (str(Path(OWN).with_name("demeter")), "report", "summary"), 10)

FIRST, LARGE = f"first sweep of {FLEET:,}", f"first sweep of {LARGE_FLEET:,}"
REPEATED = {share: f"sweep with {share:.0%} changed" for share in (0.0, 0.01, 0.1)}
START = "start"
# When the last run of a case has to be over, in seconds from the beginning: an idle machine needs less.
UNTIL_SECONDS = {FIRST: 270, **dict.fromkeys(REPEATED.values(), 390), START: 430, LARGE: 580}


class Results:
    """The runs of each case and contestant, as many as there is time for."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.runs: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
        self.loads: list[float] = []

    def take(self, case: str, contestant: Contestant, folder: Path, to: Service | None = None) -> None:
        """Run a contestant once more, if it can be expected to end in time."""
        left_seconds = self.began + UNTIL_SECONDS.get(case, math.inf) - time.monotonic()
        if self._expected_seconds(case, contestant) > left_seconds:
            return
        words = [word.format(folder=folder) for word in contestant.command]
        self.loads.append(os.getloadavg()[0])
        found = run(words, {**ENVIRONMENT, "DEMETER_LAKE": str(folder / "lake")}, to)
        self.runs[case][contestant.name].append(found)
        times = f"{found.seconds:7.2f} s, {found.work_seconds:7.2f} s without start-up"
        used = f"{found.cpu_seconds:7.2f} s of CPU, {found.peak_bytes / 1e6:6,.0f} MB"
        print(f"{case:26} {contestant.name:24} {times}, {used}", flush=True)

    def _expected_seconds(self, case: str, contestant: Contestant) -> float:
        """By how long it took before; ten times the fleet takes ten times as long."""
        again = self.middle(case, contestant.name, "seconds")
        return again or (self.middle(FIRST, contestant.name, "seconds") or 0) * (10 if case == LARGE else 1)

    def middle(self, case: str, name: str, figure: str = "work_seconds") -> float | None:
        """The median of a figure; None where nothing was measured."""
        found = [getattr(each, figure) for each in self.runs.get(case, {}).get(name, ())]
        return statistics.median(found) if found else None


def main() -> None:
    """Measure, print, and write the page and the figures behind it."""
    results = Results()
    with service(FLEET) as fleet:
        first_sweeps(results, fleet)
        repeated_sweeps(results, fleet)
    starts(results)
    large_sweeps(results)
    text = report(results)
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    kept = {case: {name: [asdict(each) for each in runs] for name, runs in found.items()}
            for case, found in results.runs.items()}  # fmt: skip
    RESULTS.write_text(json.dumps({"machine": machine(), "loads": results.loads, "runs": kept}, indent=1))
    pages.write("performance.md", COMMAND, text)


def first_sweeps(results: Results, fleet: Service) -> None:
    """Everybody lists everything once, in turn, each time as if for the first time."""
    for number in range(ROUNDS):
        for contestant in (FLOOR, SWEEP, DLT, PANDAS, DLT_TWO, DLT_NESTED):
            if number < contestant.rounds:
                with folder() as place:
                    results.take(FIRST, contestant, place, fleet)


def repeated_sweeps(results: Results, fleet: Service) -> None:
    """Sweeps of one lake, a quarter of an hour of the service's clock after each other."""
    with folder() as place:
        results.take("before", SWEEP, place, fleet)
        for _ in range(ROUNDS):
            for share, case in REPEATED.items():
                fleet.ask(minutes=15, changed=round(share * FLEET))
                for contestant in (FLOOR, SWEEP):
                    results.take(case, contestant, place, fleet)


def starts(results: Results) -> None:
    """The command line on a small lake."""
    with service(SMALL_FLEET) as fleet, folder() as place:
        for _ in range(4):
            results.take("before", SWEEP, place, fleet)
            fleet.ask(minutes=360, changed=20)
        results.take("before", BUILD, place)
        for _ in range(VERSION.rounds):
            for contestant in (VERSION, REPORT):
                results.take(START, contestant, place)


def large_sweeps(results: Results) -> None:
    """First sweeps of the large fleet, as many as there is time for."""
    with service(LARGE_FLEET) as fleet:
        for contestant in (FLOOR, SWEEP, DLT, FLOOR, SWEEP, PANDAS):
            with folder() as place:
                results.take(LARGE, contestant, place, fleet)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


Reached = Callable[[Results, str], float | None]  # A figure of the results, by the name of a field of a run.


@dataclass(frozen=True)
class Aim:
    """What was aimed at: at most (`least`: at least) so much of a unit; the first of the figures decides."""

    work: str
    bound: float
    unit: str
    reached: Reached
    figures: tuple[str, ...]
    least: bool = False

    def row(self, results: Results) -> list[str]:
        """The row of the table of aims."""
        found = [self.reached(results, figure) for figure in self.figures]
        shown = ["–" if each is None else f"{figure(each)} {self.unit}" for each in (*found, None, None)]
        return [
            self.work,
            f"{'≥' if self.least else '≤'} {self.bound:g} {self.unit}",
            *shown[:3],
            self._met(found[0]),
        ]

    def _met(self, reached: float | None) -> str:
        if reached is None:
            return "not measured"
        return "yes" if (reached >= self.bound if self.least else reached <= self.bound) else "**no**"


def to_floor(case: str) -> Reached:
    """How many times as much as the floor in the same case."""
    return lambda results, figure: ratio(
        results.middle(case, SWEEP.name, figure), results.middle(case, FLOOR.name, figure)
    )


def to_dlt(results: Results, figure: str) -> float | None:
    """How many times as much dlt takes, at the better of its settings that leave tables."""
    settings = [results.middle(FIRST, each.name, figure) for each in (DLT, DLT_TWO)]
    return ratio(min(filter(None, settings), default=None), results.middle(FIRST, SWEEP.name, figure))


def peak(results: Results, case: str) -> float | None:
    return results.middle(case, SWEEP.name, "peak_bytes")


def figure(value: float) -> str:
    """A figure with as many digits as mean something."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def command_line(contestant: Contestant) -> Reached:
    return lambda results, figure: results.middle(START, contestant.name, figure)


TIMES = ("work_seconds", "seconds", "cpu_seconds")
PEAK = ("peak_bytes",)
AIMS = (
    Aim("first sweep of 20,000: dlt takes", 6, "×", to_dlt, TIMES, least=True),
    Aim("first sweep of 20,000, to the floor", 2, "×", to_floor(FIRST), TIMES),
    Aim("sweep with nothing changed, to the floor", 2, "×", to_floor(REPEATED[0.0]), TIMES),
    Aim(
        "peak memory, 200,000 to 20,000",
        1.3,
        "×",
        lambda got, _: ratio(peak(got, LARGE), peak(got, FIRST)),
        PEAK,
    ),
    Aim("peak memory with 200,000", 350, "MB", lambda got, _: ratio(peak(got, LARGE), 1e6), PEAK),
    Aim("`demeter --version`", 0.2, "s", command_line(VERSION), ("seconds",)),
    Aim("`demeter report` of a small lake", 1, "s", command_line(REPORT), ("seconds",)),
)


def report(results: Results) -> str:
    """What the page says: the machine, the aims, and a table for each case."""
    aims = pages.table(
        "work | >aim | >reached | >with start-up | >in CPU seconds | met", [aim.row(results) for aim in AIMS]
    )
    cases = [case for case in results.runs if case not in ("before", START)]
    tables = [case_table(results, case) for case in cases]
    return "\n".join([setting(results), aims, *tables, starts_table(results)])


def setting(results: Results) -> str:
    """What it was measured on."""
    found = machine()
    own = versions(OWN, "duckdb", "deltalake", "orjson", "requests")
    others = versions(OTHERS, "dlt", "pandas", "pyarrow", "orjson")
    loads = f"{min(results.loads):.1f} to {max(results.loads):.1f}"
    return (
        f"{found['cores']} cores ({found['processor']}), {found['memory_bytes'] / 1e9:.0f} GB of memory, "
        f"Python {found['python']}; {listed(own)}; beside {listed(others)}. "
        f"The load average before the runs was {loads}.\n"
    )


def listed(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


HEAD = (
    "{case} | >runs | >seconds (range) | >× floor | >from the imports on (range) | >× floor "
    "| >CPU seconds | >× floor | >peak MB | >service's CPU"
)


def case_table(results: Results, case: str) -> str:
    """Every contestant of a case beside the floor."""
    rows = [case_row(results, case, name, runs) for name, runs in results.runs[case].items()]
    return pages.table(HEAD.format(case=case), rows)


def starts_table(results: Results) -> str:
    """The command line, which has no floor."""
    rows = []
    for name, runs in results.runs[START].items():
        seconds = [each.seconds for each in runs]
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"
        cpu, peak = (results.middle(START, name, each) or 0 for each in ("cpu_seconds", "peak_bytes"))
        rows.append([f"`{name}`", str(len(runs)), spread, f"{cpu:.2f}", f"{peak / 1e6:,.0f}"])
    head = f"lake of {SMALL_FLEET} instances | >runs | >seconds (range) | >CPU seconds | >peak MB"
    return pages.table(head, rows)


def case_row(results: Results, case: str, name: str, runs: Sequence[Run]) -> list[str]:
    """The figures of a contestant."""
    cells = [name, str(len(runs))]
    for figure in ("seconds", "work_seconds", "cpu_seconds"):
        found = [getattr(each, figure) for each in runs]
        beside = ratio(statistics.median(found), results.middle(case, FLOOR.name, figure))
        span = f" ({min(found):.2f}–{max(found):.2f})" if figure != "cpu_seconds" else ""
        cells += [f"{statistics.median(found):.2f}{span}", f"{beside:.1f}" if beside else "–"]
    most = statistics.median(each.peak_bytes for each in runs)
    return [*cells, f"{most / 1e6:,.0f}", f"{statistics.median(each.service_seconds for each in runs):.2f}"]


if __name__ == "__main__":
    main()
