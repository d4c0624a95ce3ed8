"""How near the meter comes to the truth: emulated fleets, seen by sweeps that come and get lost."""

from __future__ import annotations

import itertools
import os
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bench.fleets import FLEETS, RULES, fleet_of, sweeps_of
from bench.relations import Sweep, relations, worked_out
from etl.emulator import Fleet
from etl.emulator.states import DAY, MINUTE, SECOND, State

PAGE = Path(__file__).parents[1] / "docs/metering.md"
BEGIN, END = "<!-- begin: make bench-meter -->\n", "<!-- end -->"
INTERVALS = (5, 15, 60)
HEAD = (
    "| every | `updated_at` | fleet | instance-days | outside | total | absolute | width "
    "| count × interval | first to last |\n|---:|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
)
NAMES = {"every_status": "every change", "user_actions": "user actions", "never": "never moves"}

Cell = tuple[str, int]  # An instance, and the first microsecond of a day in UTC.


@dataclass(frozen=True)
class Figures:
    """What was found; errors and width are shares of the true running time.

    The methods to compare with have a total and an absolute error each.
    """

    cells: int
    outside: int
    total: float
    absolute: float
    width: float
    counted: tuple[float, float]
    first_to_last: tuple[float, float]


def figures(kind: str, rule: str, minutes: float, days: float = 7, seed: int = 7) -> Figures:
    """The figures of a kind of fleet whose updated_at goes by a rule, swept at an interval."""
    fleet = fleet_of(kind, rule, days, seed)
    return measure(fleet, sweeps_of(fleet, minutes), minutes, tells_updates=rule != "never")


def measure(fleet: Fleet, sweeps: Sequence[Sweep], minutes: float, *, tells_updates: bool) -> Figures:
    """Compare the daily usage of a fleet with its truth."""
    times = [sweep.at_us for sweep in sweeps if sweep.verdict == "complete"]
    days = _days(times)
    truth = truth_of(fleet, days)
    with worked_out(relations(fleet, sweeps, tells_updates=tells_updates)) as connection:
        metered = metered_by_day(connection)
    counted, first_to_last = _naive(fleet, times, days, int(minutes * MINUTE))
    nothing = (0, 0, 0)
    rows = [(true, *metered.get(cell, nothing)) for cell, true in truth.items()]
    cells = [row for row in rows if any(row)]
    whole = sum(truth.values())
    return Figures(
        len(cells),
        sum(not low <= true <= high for true, low, _, high in cells),
        *_errors({cell: middle for cell, (_, middle, _) in metered.items()}, truth),
        sum(high - low for _, low, _, high in cells) / whole,
        _errors(counted, truth),
        _errors(first_to_last, truth),
    )


def truth_of(fleet: Fleet, days: Sequence[tuple[int, int]]) -> dict[Cell, int]:
    """How long each instance really ran, in the parts of days that were metered."""
    return {
        (one.instance_id, begin // DAY * DAY): fleet.running_microseconds(one.instance_id, begin, end)
        for one in fleet.instances
        for begin, end in days
    }


def metered_by_day(connection: duckdb.DuckDBPyConnection) -> dict[Cell, tuple[int, int, int]]:
    """The lower bound, the estimate and the upper bound of each instance and day."""
    rows = connection.execute("""
        select instance_id, day_from_us, sum(running_us_min), sum(running_us), sum(running_us_max)
        from usage_daily inner join days using (usage_date) group by all
    """).fetchall()
    return {(name, begin): (int(low), int(middle), int(high)) for name, begin, low, middle, high in rows}


def _days(times: Sequence[int]) -> list[tuple[int, int]]:
    """The parts of days in UTC between the first sweep and the last one, in whole seconds."""
    first, last = (at_us // SECOND * SECOND for at_us in (times[0], times[-1]))
    begins = range(first // DAY * DAY, last, DAY)
    return [(max(begin, first), min(begin + DAY, last)) for begin in begins]


def _naive(
    fleet: Fleet, times: Sequence[int], days: Sequence[tuple[int, int]], interval_us: int
) -> tuple[dict[Cell, int], dict[Cell, int]]:
    """What the count of sightings times the interval gives, and the time from first to last."""
    counted: dict[Cell, int] = {}
    first_to_last: dict[Cell, int] = {}
    for one in fleet.instances:
        for (first, last), (begin, end) in itertools.product(_runs_seen(one.life.states, times), days):
            cell = (one.instance_id, begin // DAY * DAY)
            count = bisect_left(times, end, first, last) - bisect_left(times, begin, first, last)
            length_us = max(0, min(times[last - 1], end) - max(times[first], begin))
            counted[cell] = counted.get(cell, 0) + count * interval_us
            first_to_last[cell] = first_to_last.get(cell, 0) + length_us
    return counted, first_to_last


def _runs_seen(states: Sequence[State], times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The ranges of sweeps that saw it RUNNING one after the other."""
    run = (0, 0)
    ends = [state.at_us for state in states[1:]] + [times[-1] + 1]
    for state, end_us in zip(states, ends, strict=True):
        first, last = bisect_left(times, state.at_us), bisect_left(times, end_us)
        if first == last or state.status != "RUNNING" or not state.is_listed:
            continue
        if run[1] == first:
            run = (run[0], last)
            continue
        if run[0] < run[1]:
            yield run
        run = (first, last)
    if run[0] < run[1]:
        yield run


def _errors(found: Mapping[Cell, int], truth: Mapping[Cell, int]) -> tuple[float, float]:
    """The total and the absolute error of a method."""
    differences = [found.get(cell, 0) - true for cell, true in truth.items()]
    whole = sum(truth.values())
    return sum(differences) / whole, sum(map(abs, differences)) / whole


def table(cases: Sequence[tuple[str, str, int]], found: Sequence[Figures]) -> str:
    """The figures of cases (kind, rule, minutes) as a table in Markdown."""
    return HEAD + "".join(_line(*case, each) for case, each in zip(cases, found, strict=True))


def _line(kind: str, rule: str, minutes: int, found: Figures) -> str:
    errors = [f"{found.total:+.2%}", f"{found.absolute:.2%}", f"{found.width:.1%}"]
    others = [f"{total:+.1%}, {absolute:.1%}" for total, absolute in (found.counted, found.first_to_last)]
    counts = [str(found.cells), str(found.outside)]
    return f"| {' | '.join([f'{minutes} min', NAMES[rule], kind, *counts, *errors, *others])} |\n"


def written(page: str, table: str) -> str:
    """A page with the table in its place."""
    place = re.compile(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", re.DOTALL)
    return place.sub(lambda _: f"\n{table}\n", page)


def main() -> None:
    """Measure every combination, print the table and write it into docs/metering.md."""
    rules = [(kind, rule) for rule in RULES[:2] for kind in FLEETS] + [("usual", RULES[2])]
    cases = [(kind, rule, minutes) for minutes in INTERVALS for kind, rule in rules]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = list(processes.map(figures, *zip(*cases, strict=True)))
    text = table(cases, found)
    print(text, end="")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
