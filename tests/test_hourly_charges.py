"""Hours are rounded so that those of a day sum to what the day is charged, however odd they are."""

from __future__ import annotations

from collections import Counter
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
# Of each row the kind of charge that it is of; the hour is its place.
DAYS = st.lists(st.tuples(st.sampled_from("ab"), LASTED), min_size=1, max_size=24)

_HOURLY = """
create or replace table usage_hourly as
select
    'p' as project_id, 'i' as instance_id, date '2026-10-12' as usage_date, hour_from_us, hour_of_day, sku,
    running_us as running_us_min, running_us, running_us as running_us_max, 1 as accelerator_count,
    null as user_id, null as pool_id, null as workspace_id, null as ai_project_id, null as flavor,
    null as promo_type, null as billing_flavor, null as billing_ratio, null as cpu_count, null as memory_bytes
from (
    select unnest($hours) as hour_of_day, unnest($skus) as sku, unnest($lasted)::bigint as running_us,
        unnest($hours)::bigint * 3600000000 as hour_from_us
)
"""


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    connection.execute(
        "create table flavor_history (project_id text, flavor text, type text, observed_at int)"
    )
    return connection


def rounded(running_us: int) -> Decimal:
    """Hours to ten decimals, halves up."""
    return int(Fraction(running_us * 25, 9) + Fraction(1, 2)) * SPARE


@given(DAYS)
def test_the_hours_of_a_day_sum_to_it_and_none_is_off_by_more_than_the_last_decimal(
    connection: duckdb.DuckDBPyConnection, day: list[tuple[str, int]]
) -> None:
    skus, lasted = [sku for sku, _ in day], [each for _, each in day]
    given = {"hours": list(range(len(day))), "skus": skus, "lasted": lasted}
    connection.execute(_HOURLY, given)
    charges = sqlfiles.text("shared", "hourly_charges")
    found = connection.execute(
        f"select hour_of_day, running_hours_min, running_hours, running_hours_max from ({charges})"
    ).fetchall()
    told = {hour: hours for hour, _, hours, _ in found}
    assert [(low, high) for _, low, _, high in found] == [(hours, hours) for _, _, hours, _ in found]
    assert sorted(told) == given["hours"]
    whole, summed = Counter[str](), Counter[str]()
    for hour, (sku, running_us) in enumerate(day):
        assert abs(told[hour] - rounded(running_us)) <= SPARE
        whole[sku] += running_us
        summed[sku] += told[hour]  # type: ignore[assignment]
    assert dict(summed) == {sku: rounded(running_us) for sku, running_us in whole.items()}
