"""A priced pool is shared out by use, and not a microsecond of it is lost."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from costs import Sweep, at, book, found_by, histories, only, rates, sums_of_rollups, total, used, worked_out
from hypothesis import given, settings
from hypothesis import strategies as st

POOL = "pool-1,,pool,hour,CNY,10,,"


def seen(hours: float, change: str = "new", project_id: str = "project", **others: Any) -> dict[str, Any]:
    """A row of pool_history, of the sweep of that hour."""
    return {
        "project_id": project_id,
        "pool_id": "pool-1",
        "type": "USER_DEFINED",
        "sweep_id": f"s{round(hours):03}",
        "observed_at": at(hours),
        "valid_from": at(hours),
        "change": change,
        **others,
    }


def sweeps(hours: int) -> dict[str, list[dict[str, Any]]]:
    """Hourly sweeps from midnight on; the sweep of an hour is named after it."""
    return histories([Sweep(at(hour), {}) for hour in range(hours + 1)])


def shares(*usage: dict[str, Any], hours: int = 24, **others: Any) -> list[dict[str, Any]]:
    given = {"pool_history": [seen(0)], **sweeps(hours), **others}
    return worked_out("pool_cost_daily", usage_daily=usage, **given)


def test_a_pool_is_shared_out_by_accelerator_time(tmp_path: Path) -> None:
    table = book(tmp_path, POOL)
    rows = shares(
        used(3, instance_id="DE-1", pool_id="pool-1", accelerator_count=1, user_id="a"),
        used(1, instance_id="DE-2", pool_id="pool-1", accelerator_count=8, user_id="b", workspace_id="w"),
        used(1, instance_id="DE-3", pool_id="pool-1", user_id="c"),
        used(9, instance_id="DE-4", pool_id="pool-2", accelerator_count=8),
        used(9, instance_id="DE-5", accelerator_count=8),
        book=table,
    )
    common = {
        "usage_date": date(2024, 3, 1),
        "project_id": "project",
        "pool_id": "pool-1",
        "workspace_id": None,
        "ai_project_id": None,
        "price_id": table["price_id"][0].as_py(),
        "unit": "hour",
        "currency": "CNY",
        "price_currency": "CNY",
        "exchange_rate": Decimal(1),
        "unit_price": Decimal(10),
        "is_idle": False,
        "is_priced": True,
        "is_complete": True,
    }
    # 3, 8 and 1 of 12 parts of 24 hours.
    assert rows == [
        common
        | {"instance_id": name, "user_id": user, "quantity": hours, "cost": hours * 10, "weight_us": weight}
        | workspace
        for name, user, hours, weight, workspace in (
            ("DE-1", "a", 6, 10_800_000_000, {}),
            ("DE-2", "b", 16, 28_800_000_000, {"workspace_id": "w"}),
            ("DE-3", "c", 2, 3_600_000_000, {}),
        )
    ]


def test_what_does_not_divide_goes_to_the_last(tmp_path: Path) -> None:
    usage = [used(instance_id=f"DE-{number}", pool_id="pool-1") for number in (1, 2, 3)]
    tables = sweeps(1)
    rows = shares(*usage, book=book(tmp_path, POOL), **tables)
    third = Decimal("0.3333333333")
    assert only(rows, "quantity", "cost") == [
        (third, third * 10),
        (third, third * 10),
        (third + Decimal("1e-10"), Decimal("3.333333334")),
    ]


def test_a_pool_in_which_nothing_ran_is_idle(tmp_path: Path) -> None:
    rows = shares(used(0, pool_id="pool-1", running_us_max=5), book=book(tmp_path, POOL))
    assert only(rows, "instance_id", "user_id", "is_idle", "quantity", "cost", "weight_us") == [
        (None, None, True, 24, 240, 0)
    ]


def test_a_pool_costs_from_the_day_of_its_first_sighting_to_that_of_its_last(tmp_path: Path) -> None:
    table = book(tmp_path, POOL)
    still_there = shares(hours=90, book=table, pool_history=[seen(30)])
    assert only(still_there, "usage_date", "quantity", "is_complete") == [
        (date(2024, 3, 2), 24, True),
        (date(2024, 3, 3), 24, True),
        (date(2024, 3, 4), 18, False),
    ]
    left = shares(hours=90, book=table, pool_history=[seen(30), seen(49, "gone")])
    assert only(left, "usage_date", "quantity") == [(date(2024, 3, 2), 24), (date(2024, 3, 3), 24)]
    last_seen_before_midnight = shares(hours=90, book=table, pool_history=[seen(30), seen(48, "gone")])
    assert only(last_seen_before_midnight, "usage_date") == [date(2024, 3, 2)]
    came_back = shares(hours=90, book=table, pool_history=[seen(3), seen(5, "gone"), seen(80)])
    assert only(came_back, "quantity") == [24, 24, 24, 18]


def test_a_pool_of_two_projects_costs_once(tmp_path: Path) -> None:
    tables = sweeps(24)
    tables["sweeps"] += [{**row, "project_id": "other"} for row in tables["sweeps"]]
    usage = [used(1, pool_id="pool-1"), used(3, pool_id="pool-1", project_id="other")]
    history = [seen(0), seen(0, project_id="other")]
    rows = shares(*usage, book=book(tmp_path, POOL), **{**tables, "pool_history": history})
    assert only(rows, "project_id", "quantity") == [("other", 18), ("project", 6)]


def test_a_pool_without_a_price_of_its_day_is_unpriced_and_one_that_was_never_priced_absent(
    tmp_path: Path,
) -> None:
    gone_by = book(tmp_path, "pool-1,,pool,hour,USD,10,,2024-03-02")
    history = [seen(0), seen(0, pool_id="pool-2")]
    converted = shares(hours=48, book=gone_by, pool_history=history, rates=rates(tmp_path, "USD,CNY,7.2,,"))
    columns = ("pool_id", "usage_date", "cost", "currency", "is_priced")
    assert only(converted, *columns) == [
        ("pool-1", date(2024, 3, 1), 1728, "CNY", True),
        ("pool-1", date(2024, 3, 2), None, "CNY", False),
    ]
    unconverted = shares(hours=48, book=gone_by, pool_history=history)
    assert only(unconverted, "cost", "is_priced") == [(None, False), (None, False)]
    assert shares(book=book(tmp_path, "pool-1,,compute,hour,CNY,1,,")) == []


WEIGHTS = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 90_000_000_000), st.sampled_from([None, 0, 1, 3, 8, 16])),
    min_size=1,
    max_size=40,
)


@given(WEIGHTS, st.decimals(0, 99_999_999, places=8, allow_nan=False), st.integers(1, 120))
@settings(max_examples=10)
def test_shares_add_up_to_the_pool_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    weights: list[tuple[int, int, int | None]],
    price: Decimal,
    hours: int,
) -> None:
    usage = [
        used(day=day, running_us=us, accelerator_count=count, instance_id=f"DE-{number}", pool_id="pool-1")
        for number, (day, us, count) in enumerate(weights)
    ]
    table = book(tmp_path_factory.mktemp("book"), f"pool-1,,pool,hour,CNY,{price:f},,")
    rows = shares(*usage, hours=hours, book=table)
    quantities: dict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        assert row["quantity"] >= 0
        quantities[row["usage_date"]] += row["quantity"]
    whole, rest = divmod(hours, 24)
    expected = {date(2024, 3, day + 1): Decimal(24) for day in range(whole)}
    assert quantities == expected | ({date(2024, 3, whole + 1): Decimal(rest)} if rest else {})
    assert total(rows, "cost") == hours * price
    assert sums_of_rollups(rows, ["instance_id"], ["cost"]) == {"instance_id": {"cost": hours * price}}
    assert found_by("pool_shares_sum_to_the_pool", pool_cost_daily=rows) == []


@pytest.mark.parametrize(
    "flaw",
    [
        {"quantity": Decimal("6.0000000001")},
        {"quantity": Decimal(-6), "cost": Decimal(-60)},
        {"cost": Decimal("60.0000000000000000000001")},
        {"cost": None},
        {"is_idle": True},
    ],
)
def test_the_check_finds_shares_that_do_not_add_up(flaw: dict[str, Any], tmp_path: Path) -> None:
    usage = [used(hours, instance_id=f"DE-{hours}", pool_id="pool-1") for hours in (1, 3)]
    rows = shares(*usage, book=book(tmp_path, POOL))
    assert found_by("pool_shares_sum_to_the_pool", pool_cost_daily=rows) == []
    assert len(found_by("pool_shares_sum_to_the_pool", pool_cost_daily=[rows[0] | flaw, rows[1]])) == 1
