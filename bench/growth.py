"""What a lake is like after a thousand sweeps: `make bench-growth` writes it into docs/performance.md."""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deltalake import DeltaTable

from bench import pages
from bench.measure import OTHERS, ROOT, Run, Service, run, service
from bench.performance import ENVIRONMENT, FLOOR, SWEEP, folder
from etl.build import build
from etl.lake import Lake
from etl.scope import Scope
from etl.settings import Settings, load
from etl.sweep import sweep
from etl.upkeep import maintain

COMMAND = "make bench-growth"
RESULTS = ROOT / ".bench/growth.json"
PICTURE = ROOT / "docs/growth.svg"
FLEET, SWEEPS, A_DAY = 1000, 1000, 96
# Of the young lake: those before its tenth sweep, and those around it, which are measured.
WARM, ROUNDS = 5, 10
DAY_SECONDS = 86_400
TIMES = ("seconds", "cpu_seconds")


@dataclass(frozen=True)
class Day:
    """What a day of sweeps took in CPU seconds, in the median; and the bytes of the lake at its end."""

    sweeps: int
    sweep_seconds: float
    build_seconds: float
    table_bytes: int
    log_bytes: int
    mart_bytes: int
    raw_bytes: int
    whole_bytes: int  # Of all sweeps so far, had each written all of its rows.


@dataclass(frozen=True)
class Growth:
    """The days, and the runs at the end: of the lake, of a young one in turn with it, and of the floor."""

    days: list[Day]
    old: list[Run]
    young: list[Run]
    floor: list[Run]
    instances: int


def main() -> None:
    """Let a lake grow, print what that came to, and write the page and the picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweeps", type=int, default=SWEEPS)
    sweeps = parser.parse_args().sweeps
    logging.disable(logging.WARNING)
    with service(FLEET, "--days", str(sweeps / A_DAY + 2)) as fleet, folder() as place:
        growth = grown(fleet, place, sweeps)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(asdict(growth), indent=1))
    text = report(growth)
    print(text)
    picture = "![Sweeps and builds against the number of sweeps before them](growth.svg)"
    pages.write("performance.md", COMMAND, f"{picture}\n\n{text}")
    subprocess.run([OTHERS, "-m", "bench.draw", RESULTS, PICTURE], cwd=ROOT, check=True)  # noqa: S603 -- ours


def grown(fleet: Service, place: Path, sweeps: int) -> Growth:
    """Sweep every quarter of an hour, build and look after the lake once a day, and measure at the end."""
    settings = settings_of(fleet, place / "old")
    days: list[Day] = []
    taken: list[float] = []
    for number in range(1, sweeps - WARM + 1):
        taken.append(swept(settings))
        if number % A_DAY == 0 or number == sweeps - WARM:
            built = cpu_seconds(lambda: build(settings, Lake(settings.lake)))
            age(Path(settings.lake))
            maintain(settings, Lake(settings.lake))
            whole = whole_bytes(fleet, place / f"whole-{number}")
            days.append(day_of(settings, days, number, taken, built, whole))
            print(days[-1], flush=True)
            taken = []
        fleet.ask(minutes=15)
    return compared(fleet, place, days)


def compared(fleet: Service, place: Path, days: list[Day]) -> Growth:
    """Sweeps of the old lake in turn with those of a young one, which see the same."""
    old, young = settings_of(fleet, place / "old"), settings_of(fleet, place / "young")
    for _ in range(WARM):
        for settings in (old, young):
            swept(settings)
        fleet.ask(minutes=15)
    found: dict[str, list[Run]] = {"old": [], "young": [], "floor": []}
    for number in range(ROUNDS):
        lakes = {"old": old, "young": young}
        for name in sorted(lakes, reverse=number % 2 == 1):
            found[name].append(run(SWEEP.command, ENVIRONMENT | {"DEMETER_LAKE": lakes[name].lake}, fleet))
        found["floor"].append(run(FLOOR.command, ENVIRONMENT, fleet))
        fleet.ask(minutes=15)
    return Growth(days, found["old"], found["young"], found["floor"], FLEET)


def settings_of(fleet: Service, lake: Path) -> Settings:
    """The settings of a lake of its own."""
    return load({"lake": str(lake)}, {**fleet.environment, **ours(ENVIRONMENT)})


def ours(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("DEMETER_")}


def swept(settings: Settings) -> float:
    """The CPU seconds of one sweep in this process, which has to be complete."""

    def whole() -> None:
        found = sweep(settings, Scope())
        if found.verdict != "complete":
            raise RuntimeError(f"a sweep is {found.verdict}: {found.error or found.reason}")

    return cpu_seconds(whole)


def cpu_seconds(work: Callable[[], object]) -> float:
    """What some work in this process takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def age(lake: Path) -> None:
    """Make the files of a lake a day older, as if the day had passed here as it did there."""
    for path in lake.rglob("*"):
        if path.is_file():
            told = path.stat()
            os.utime(path, (told.st_atime - DAY_SECONDS, told.st_mtime - DAY_SECONDS))


def whole_bytes(fleet: Service, lake: Path) -> int:
    """The bytes of the Parquet files of a sweep that writes all of its rows."""
    swept(settings_of(fleet, lake))
    return live(lake / "tables")


def day_of(
    settings: Settings, days: Sequence[Day], sweeps: int, taken: Sequence[float], built: float, whole: int
) -> Day:
    """The figures at the end of a day."""
    before = days[-1].whole_bytes if days else 0
    lake = Path(settings.lake)
    parts = (live(lake / "tables"), logs(lake / "tables"), live(lake / "marts"), size(lake / "raw"))
    return Day(sweeps, statistics.median(taken), built, *parts, before + whole * len(taken))


def live(place: Path) -> int:
    """The bytes of the files that the tables below a folder refer to."""
    tables = [DeltaTable(str(log.parent)) for log in sorted(place.glob("*/_delta_log"))]
    return sum(
        each for table in tables for each in table.get_add_actions(flatten=True)["size_bytes"].to_pylist()
    )


def logs(place: Path) -> int:
    """The bytes of the transaction logs of the tables below a folder."""
    return sum(size(log) for log in place.glob("*/_delta_log"))


def size(place: Path) -> int:
    """The bytes of the files below a folder."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def report(growth: Growth) -> str:
    """What the page says: the aims, the two lakes, and the days."""
    return "\n".join([aims(growth), lakes(growth), by_day(growth.days)])


def aims(growth: Growth) -> str:
    """What was aimed at, and whether it was met."""
    seconds, cpu = (middle(growth.old, name) / middle(growth.young, name) for name in TIMES)
    last = growth.days[-1]
    smaller = last.whole_bytes / last.table_bytes
    rows = [
        [
            f"sweep number {last.sweeps + WARM:,} to number 10",
            "≤ 1.1 ×",
            f"{seconds:.2f} ×",
            f"{cpu:.2f} ×",
            met(seconds <= 1.1),
        ],
        ["tables to every sweep stored whole", "≤ 1/20", f"1/{smaller:.3g}", "–", met(smaller >= 20)],
    ]
    return pages.table("work | >aim | >reached | >in CPU seconds | met", rows)


def met(reached: bool) -> str:
    return "yes" if reached else "**no**"


def lakes(growth: Growth) -> str:
    """The sweeps of the two lakes, and the floor between them."""
    number = growth.days[-1].sweeps + WARM
    named = {
        f"sweeps {WARM + 1} to {WARM + ROUNDS}": growth.young,
        f"sweeps {number + 1:,} to {number + ROUNDS:,}": growth.old,
        "floor": growth.floor,
    }
    head = f"{growth.instances:,} instances | >runs | >seconds (range) | >CPU seconds (range)"
    return pages.table(head, [run_row(name, runs) for name, runs in named.items()])


def run_row(name: str, runs: Sequence[Run]) -> list[str]:
    """The figures of the runs of one lake."""
    spans = [f"{middle(runs, each):.2f} ({span(runs, each)})" for each in TIMES]
    return [name, str(len(runs)), *spans]


def middle(runs: Sequence[Run], figure: str) -> float:
    return statistics.median(getattr(each, figure) for each in runs)


def span(runs: Sequence[Run], figure: str) -> str:
    found = [getattr(each, figure) for each in runs]
    return f"{min(found):.2f}–{max(found):.2f}"


def by_day(days: Sequence[Day]) -> str:
    """How the lake has grown."""
    head = (
        "sweeps | >CPU seconds of a sweep | >of the day's build | >tables, MB | >their logs, MB | >marts, MB "
        "| >raw pages, MB | >every sweep whole, MB"
    )
    return pages.table(head, [day_row(each) for each in days])


def day_row(day: Day) -> list[str]:
    sizes = (day.table_bytes, day.log_bytes, day.mart_bytes, day.raw_bytes, day.whole_bytes)
    taken = (day.sweep_seconds, day.build_seconds)
    return [f"{day.sweeps:,}", *(f"{each:.2f}" for each in taken), *(f"{each / 1e6:,.1f}" for each in sizes)]


if __name__ == "__main__":
    main()
