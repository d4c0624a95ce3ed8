"""What holds of every history, however odd: bounds, sums, days and the order of things."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
from histories import MINUTE, UNSEEN, rows_of, seen_as
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.relations import Row, Sweep, instant, worked_out
from etl.emulator.clock import microseconds

# Midnights near which clocks change somewhere, or a month or a year ends.
NIGHTS = [
    microseconds(f"{day}T00:00:00Z")
    for day in ("2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01", "2027-01-01")
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
STATUSES = ["RUNNING", "STOPPED", "STOPPING", "STARTING", "START_FAILED", "UNAVAILABLE", "DELETED", "NEWS"]

few = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
History = tuple[list[Sweep], dict[str, list[Any]]]


@st.composite
def histories(draw: st.DrawFn, verdicts: Sequence[str] = ("complete",)) -> History:
    """Sweeps over some hours around a midnight, and what they saw of some instances."""
    at_us = draw(st.sampled_from(NIGHTS)) + draw(st.integers(-20, 6)) * 60 * MINUTE
    sweeps = []
    for gap in draw(st.lists(st.integers(1, 240), min_size=3, max_size=9)):
        sweeps.append(Sweep(at_us, draw(st.sampled_from(verdicts))))
        at_us += gap * MINUTE + draw(st.integers(0, 999_999))
    sweeps[0] = sweeps[-1] = Sweep(sweeps[0].at_us)
    sweeps[-1] = Sweep(at_us)
    names = [f"DE-{number}" for number in range(draw(st.integers(1, 6)))]
    return sweeps, {name: [draw(sightings(sweep)) for sweep in sweeps] for name in names}


@st.composite
def sightings(draw: st.DrawFn, sweep: Sweep) -> Row | None:
    """What a sweep may have seen of an instance, sensible or not."""
    ago = st.one_of(st.none(), st.integers(0, 300).map(lambda minutes: sweep.at_us - minutes * MINUTE))
    status = draw(st.sampled_from([*STATUSES, "RUNNING", "STOPPED", None]))
    if status is None:
        return None
    created_us, updated_us, run_us = NIGHTS[0] - 3600 * MINUTE, draw(ago), draw(ago)
    seconds = draw(st.sampled_from([1800, 3600, 14400]))
    times = {
        "created_at": instant(draw(ago) or created_us),
        "updated_at": None if updated_us is None else instant(updated_us),
        "run_started_at": None if run_us is None else instant(run_us),
        "stop_at": None if run_us is None else instant(run_us + seconds * 1_000_000),
        "auto_stop_seconds": seconds,
    }
    return seen_as(status, flavor=draw(st.sampled_from(["cpu.2u", "cpu.8u"]))) | times


def built(history: History, tz: str = "UTC") -> duckdb.DuckDBPyConnection:
    """The marts of a history."""
    return worked_out(rows_of(*history), tz)


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The number of rows that a query finds."""
    [(found,)] = connection.execute(f"select count(*) from ({query})").fetchall()
    return int(found)


def mart(connection: duckdb.DuckDBPyConnection, name: str) -> list[Any]:
    """All rows of a mart, in order."""
    return connection.execute(f"select * from {name} order by all").fetchall()


@few
@given(histories(["complete", "complete", "incomplete", "failed"]), st.sampled_from(ZONES))
def test_bounds_days_and_sums_hold_of_every_history(history: History, tz: str) -> None:
    with built(history, tz) as connection:
        assert_bounds_hold(connection)
        assert_nothing_overlaps(connection)
        assert_no_day_is_longer_than_itself(connection)
        assert_sums_agree(connection)


def assert_bounds_hold(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("usage_hourly", "usage_daily", "sessions"):
        broken = "not (0 <= running_us_min and running_us_min <= running_us and running_us <= running_us_max)"
        assert count(connection, f"select 1 from {name} where {broken}") == 0, name
    nested = "max_from_us <= from_us and from_us <= to_us and to_us <= max_to_us and min_from_us <= min_to_us"
    within = "(min_from_us = min_to_us or (from_us <= min_from_us and min_to_us <= to_us))"
    assert count(connection, f"select 1 from stretches where not ({nested} and {within})") == 0
    metered = "(select min(first_us) as first_us, max(last_us) as last_us from sweep_steps)"
    outside = f"select 1 from stretches cross join {metered} as m where max_from_us < m.first_us"
    assert count(connection, f"{outside} or max_to_us > m.last_us") == 0


def assert_nothing_overlaps(connection: duckdb.DuckDBPyConnection) -> None:
    for begin, end in (("min_from_us", "min_to_us"), ("from_us", "to_us"), ("max_from_us", "max_to_us")):
        later = f"lead({begin}) over (partition by instance_id order by {begin}, {end})"
        taken = f"select {end}, {later} as next_us from stretches where {begin} < {end}"
        assert count(connection, f"select 1 from ({taken}) where next_us < {end}") == 0, begin
    later = "lead(started_us) over (partition by instance_id order by state_number)"
    joined = f"select ended_us, {later} as next_us from states"
    assert count(connection, f"select 1 from ({joined}) where next_us <> ended_us") == 0


def assert_no_day_is_longer_than_itself(connection: duckdb.DuckDBPyConnection) -> None:
    for part, key in (("day", "usage_date"), ("hour", "hour_from_us")):
        mart, dimension = ("usage_daily", "days") if part == "day" else ("usage_hourly", "hours")
        summed = f"select {key}, sum(running_us_max) as us from {mart} group by instance_id, {key}"
        longer = f"select 1 from ({summed}) inner join {dimension} using ({key})"
        assert count(connection, f"{longer} where us > {part}_to_us - {part}_from_us") == 0, part


def assert_sums_agree(connection: duckdb.DuckDBPyConnection) -> None:
    whole = total(connection, "stretches", "to_us - from_us")
    for name in ("usage_daily", "usage_hourly", "sessions"):
        assert total(connection, name, "running_us") == whole, name
    for key in ("usage_date", "flavor", "instance_id, usage_date", "user_id"):
        grouped = f"(select sum(running_us) as us from usage_daily group by {key})"
        assert total(connection, grouped, "us") == whole, key


def total(connection: duckdb.DuckDBPyConnection, relation: str, value: str) -> int:
    """The sum of a value over a relation; 0 where it has no rows."""
    [(found,)] = connection.execute(f"select coalesce(sum({value}), 0) from {relation}").fetchall()
    return int(found)


@few
@given(histories(["complete", "complete", "incomplete"]), st.randoms(use_true_random=False))
def test_the_order_in_which_rows_arrive_does_not_matter(history: History, chance: random.Random) -> None:
    rows = rows_of(*history)
    shuffled = {name: chance.sample(each, len(each)) for name, each in rows.items()}
    with worked_out(rows) as one, worked_out(shuffled) as other:
        for name in ("stretches", "usage_hourly", "usage_daily", "states", "sessions", "coverage"):
            assert mart(one, name) == mart(other, name), name


@few
@given(histories(), st.integers(1, 8))
def test_a_failed_sweep_changes_nothing_but_coverage(history: History, place: int) -> None:
    later = added(history, place, "failed", lambda before, after: UNSEEN)
    with built(history) as one, built(later) as other:
        for name in ("usage_hourly", "usage_daily"):
            assert mart(one, name) == mart(other, name), name
        failed = "select sum(failed_sweep_count) from coverage"
        counts = [connection.execute(failed).fetchall()[0][0] or 0 for connection in (one, other)]
    assert counts[1] == counts[0] + 1


@few
@given(histories(), st.integers(1, 8))
def test_an_incomplete_sweep_that_agrees_with_its_neighbours_shortens_no_certain_time(
    history: History, place: int
) -> None:
    """It sees an instance as the next sweep does, where that one saw it as the last one did."""

    def same(before: Any, after: Any) -> Any:
        return after if before == after and after is not None else UNSEEN

    with built(history) as one, built(added(history, place, "incomplete", same)) as other:
        assert certain(one) == certain(other)


def certain(connection: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    """The time that each instance ran at least."""
    return dict(
        connection.execute(
            "select instance_id, sum(running_us_min) from usage_daily group by instance_id"
        ).fetchall()
    )


def added(history: History, place: int, verdict: str, seen: Any) -> History:
    """The history with another sweep, somewhere between the first one and the last."""
    sweeps, documents = history
    place = min(place, len(sweeps) - 1)
    before, after = sweeps[place - 1], sweeps[place]
    between = Sweep((before.at_us + after.at_us) // 2, verdict)
    told = {
        name: [*each[:place], seen(each[place - 1], each[place]), *each[place:]]
        for name, each in documents.items()
    }
    return [*sweeps[:place], between, *sweeps[place:]], told
