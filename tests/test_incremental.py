"""A build works out the days that changed and no others, and gives what a full build gives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from growing import UNREAD, Growing, growing
from histories import MINUTE, UNSEEN, seen_as
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_meter_properties import ZONES, sightings

from bench.relations import Sweep
from etl import marts
from etl.emulator.clock import microseconds

pytestmark = pytest.mark.long

HOUR = 60 * MINUTE
BEGIN = microseconds("2026-10-20T03:00:00Z")
DAYS = 8
few = settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def day(number: int) -> date:
    """A day of the lake that grows, the first one being 0."""
    return date(2026, 10, 20) + timedelta(number)


def of(day_number: int, place: int) -> int:
    """The number of a sweep: the four of a day are six hours apart."""
    return 4 * day_number + place


def lives() -> dict[str, list[Any]]:
    """One runs all the time, one at every other sweep, and one is away from the third day to the sixth."""
    numbers = range(4 * DAYS)
    running = seen_as("RUNNING", run=-9000, stop=90000)
    away = range(of(2, 2), of(5, 3))
    return {
        "DE-1": [running for _ in numbers],
        "DE-2": [seen_as("RUNNING" if number % 2 else "STOPPED") for number in numbers],
        "DE-3": [None if number in away else running for number in numbers],
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Growing:
    """The lake of the first five days, built."""
    sweeps = [Sweep(BEGIN + number * 6 * HOUR) for number in range(4 * DAYS)]
    grown = growing(tmp_path_factory.mktemp("grown"), sweeps, lives())
    grown.take(*range(of(1, 2)), *range(of(1, 3), of(4, 1)))
    assert grown.build().days == tuple(day(number) for number in range(5))
    return grown


@pytest.fixture
def grown(template: Growing, tmp_path: Path) -> Growing:
    return template.copy(tmp_path)


def assert_as_full(grown: Growing) -> None:
    """What is published is what a full build publishes, value for value."""
    found = grown.marts()
    grown.build(full=True)
    for name, rows in grown.marts().items():
        assert found[name].to_pylist() == rows.to_pylist(), name


def test_no_day_is_built_where_nothing_changed_but_the_files(grown: Growing) -> None:
    grown.lake.keep_house()
    built = grown.build()
    assert (built.rows, built.days, built.day_count) == ({}, (), 5)


def test_another_sweep_builds_its_day_and_the_one_before(grown: Growing) -> None:
    before = {number: grown.files(day(number)) for number in range(5)}
    grown.take(of(4, 1))
    assert grown.build().days == (day(3), day(4))
    for number in range(5):
        assert (grown.files(day(number)) == before[number]) == (number < 3), number
    assert_as_full(grown)


def test_the_checks_hold_where_a_run_goes_on_over_the_edge_of_what_is_built(grown: Growing) -> None:
    grown.take(of(4, 1))
    built = grown.build()
    assert len(built.days) < built.day_count
    assert [finding for finding in built.findings if finding.status == "fail"] == []


def test_a_late_sweep_builds_the_days_that_it_touches(grown: Growing) -> None:
    grown.take(of(1, 2))
    assert grown.build().days == (day(0), day(1), day(2))
    assert_as_full(grown)


def test_an_instance_that_comes_back_builds_the_days_that_it_was_away(grown: Growing) -> None:
    grown.take(*range(of(4, 1), of(5, 3)))
    grown.build()
    grown.take(of(5, 3))
    assert grown.build().days == tuple(day(number) for number in range(2, 6))
    grown.take(of(6, 0))
    assert grown.build().days == (day(5), day(6))
    assert_as_full(grown)


def test_a_new_price_builds_the_days_from_which_it_holds(grown: Growing) -> None:
    lines = ("evs,,storage,gb_hour,CNY,0.001,,", "pool-1,,pool,hour,CNY,9,,")
    since = day(3).isoformat()
    grown.price(f"cpu.2u,,compute,hour,CNY,1.5,,{since}", f"cpu.2u,,compute,hour,CNY,2,{since},", *lines)
    assert grown.build().days[-2:] == (day(3), day(4))
    grown.price(f"cpu.2u,,compute,hour,CNY,1.5,,{since}", f"cpu.2u,,compute,hour,CNY,3,{since},", *lines)
    assert grown.build().days == (day(3), day(4))
    assert_as_full(grown)


def test_another_time_zone_builds_all_days(grown: Growing) -> None:
    grown.tz = "Pacific/Auckland"
    assert len(grown.build().days) == 5
    grown.take(of(4, 1))
    assert grown.build().days[0] > day(2)
    assert_as_full(grown)


def test_what_a_killed_build_left_is_taken_back(grown: Growing) -> None:
    nothing = grown.marts()["stretches"].slice(0, 0)
    marts.write_days(grown.lake, "stretches", nothing, [day(1)])
    grown.take(of(4, 1))
    assert grown.build().days == (day(3), day(4))
    assert_as_full(grown)


def test_days_worked_out_one_by_one_are_those_worked_out_at_once(
    grown: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown.take(*range(of(4, 1), of(6, 2)))
    monkeypatch.setattr("etl.build.BYTES_AT_ONCE", 1)
    assert grown.build(full=True).day_count == 7
    monkeypatch.undo()
    assert_as_full(grown)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Sweep], dict[str, list[Any]]]:
    """Sweeps over some days and nights, some of them lost, and what they saw of some instances."""
    sweeps, at_us = [], BEGIN + 60 * 24 * HOUR * draw(st.integers(0, 2))
    for hours in draw(st.lists(st.sampled_from([1, 5, 9, 20, 30, 70]), min_size=4, max_size=9)):
        at_us += hours * HOUR + draw(st.integers(0, 3_599_999_999))
        verdict = draw(st.sampled_from(["complete", "complete", "complete", "incomplete", "failed"]))
        sweeps.append(Sweep(at_us, verdict))
    sweeps[0] = Sweep(sweeps[0].at_us)
    return sweeps, {
        f"DE-{number}": list(documents(draw, sweeps)) for number in range(draw(st.integers(1, 4)))
    }


def documents(draw: st.DrawFn, sweeps: Iterable[Sweep]) -> Iterable[Any]:
    """What sweeps saw of an instance: often what the one before saw, at times nothing."""
    last: Any = None
    for sweep in sweeps:
        choice = draw(st.sampled_from(["other", "same", "same", "away", "unread"]))
        if choice == "other" or last is None:
            last = draw(sightings(sweep))
        unseen = sweep.verdict == "incomplete" and draw(st.booleans())
        if choice == "unread" and last is not None:
            yield UNREAD
            continue
        pool = {"pool_id": "pool-1"} if draw(st.booleans()) else {}
        yield UNSEEN if unseen else None if choice == "away" or last is None else last | pool


@few
@given(data=st.data(), history=histories(), tz=st.sampled_from(ZONES))
def test_builds_in_whatever_order_sweeps_come_give_what_a_full_build_gives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, history: Any, tz: str
) -> None:
    grown = growing(tmp_path_factory.mktemp("lake"), *history, tz)
    order = data.draw(st.permutations(range(1, len(grown.sweeps))))
    place = data.draw(st.integers(0, len(order) - 1))
    grown.take(0)
    grown.build()
    grown.take(*order[:place])
    grown.build()
    grown.take(*order[place:-1])
    grown.build()
    grown.take(*order[-1:])
    grown.build()
    assert_as_full(grown)
