"""Hours are rounded so that those of a day sum to what the day is charged, however odd they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import sqlfiles

HOUR_US = 3_600_000_000
SPARE = Decimal("0.0000000001")

# Whole hours, seconds and microseconds, as an instance may run in an hour.
LASTED = st.one_of(
    st.just(HOUR_US), st.just(0), st.integers(0, 3600).map(lambda n: n * 1_000_000), st.integers(0, HOUR_US)
)
# Of each hour in what way it is charged, and how long it is at least, by estimate, and at most.
DAYS = st.lists(st.tuples(st.sampled_from("ab"), LASTED, LASTED, LASTED), min_size=1, max_size=24)
MEASURES = ("running_hours_min", "running_hours", "running_hours_max")

_HOURLY = """
create or replace table usage_hourly as
select
    'p' as project_id, 'i' as instance_id, date '2026-10-12' as usage_date, hour_of_day,
    hour_of_day::bigint * 3600000000 as hour_from_us, sku,
    running_us_min::bigint as running_us_min, running_us::bigint as running_us,
    running_us_max::bigint as running_us_max, 1 as accelerator_count,
    null as user_id, null as pool_id, null as workspace_id, null as ai_project_id, null as flavor,
    null as promo_type, null as billing_flavor, null as billing_ratio, null as cpu_count, null as memory_bytes
from (
    select unnest(range(len($sku))) as hour_of_day, unnest($sku) as sku, unnest($low) as running_us_min,
        unnest($middle) as running_us, unnest($high) as running_us_max
)
"""


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    connection.execute(
        "create table flavor_history (project_id text, flavor text, type text, observed_at int)"
    )
    return connection


def charged(
    connection: duckdb.DuckDBPyConnection, day: list[tuple[str, int | None, int, int]]
) -> list[tuple[Decimal, ...]]:
    """The hours of a day, each with its three measures."""
    columns = dict(zip(("sku", "low", "middle", "high"), map(list, zip(*day, strict=True)), strict=True))
    connection.execute(_HOURLY, columns)
    query = sqlfiles.text("shared", "hourly_charges")
    return connection.execute(f"select {', '.join(MEASURES)} from ({query}) order by hour_of_day").fetchall()


def rounded(running_us: int) -> Decimal:
    """Hours to ten decimals, halves up."""
    return int(Fraction(running_us * 25, 9) + Fraction(1, 2)) * SPARE


@given(DAYS)
def test_the_hours_of_a_day_sum_to_it_and_none_is_off_by_more_than_the_last_decimal(
    connection: duckdb.DuckDBPyConnection, day: list[tuple[str, int, int, int]]
) -> None:
    found = charged(connection, day)
    assert len(found) == len(day)
    for place in range(3):
        for hours, (_, *lasted) in zip(found, day, strict=True):
            assert abs(hours[place] - rounded(lasted[place])) <= SPARE
        for sku in {sku for sku, *_ in day}:
            own = [number for number, each in enumerate(day) if each[0] == sku]
            whole = sum(day[number][1 + place] for number in own)
            assert sum(found[number][place] for number in own) == rounded(whole)


def test_an_hour_without_a_measure_is_still_there(connection: duckdb.DuckDBPyConnection) -> None:
    found = charged(connection, [("a", None, HOUR_US, HOUR_US), ("a", HOUR_US, HOUR_US, HOUR_US)])
    assert [hours for _, hours, _ in found] == [1, 1]
