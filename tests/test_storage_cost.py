"""Disks cost from creation to deletion, running or not, within bounds that hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from costs import Listed, Sweep, at, book, histories, only, used, worked_out
from hypothesis import assume, given, settings
from hypothesis import strategies as st

GB = 1_000_000_000
QUANTITIES = ("quantity_min", "quantity", "quantity_max")


def storage(sweeps: Sequence[Sweep], **others: Any) -> list[dict[str, Any]]:
    return worked_out("storage_daily", **histories(sweeps), **others)


def gb_hours(sweeps: Sequence[Sweep], **others: Any) -> list[tuple[Any, ...]]:
    """The day of March, and the least, the best and the most that it can have been."""
    return [(row["usage_date"].day, *(row[name] for name in QUANTITIES)) for row in storage(sweeps, **others)]


def test_a_disk_costs_from_creation_to_the_last_sweep_running_or_not(tmp_path: Path) -> None:
    table = book(tmp_path, "modelarts.storage.volume,,storage,gb_hour,CNY,0.0004,,")
    sweeps = [
        Sweep(at(1), {}),
        Sweep(at(3), {"DE-1": Listed("RUNNING", created_at=at(2))}),
        Sweep(at(10), {"DE-1": Listed("STOPPED", created_at=at(2))}),
        Sweep(at(30), {"DE-1": Listed("FAILED", created_at=at(2))}),
    ]
    rows = worked_out("cost_daily", book=table, **histories(sweeps))
    assert rows == [
        {
            "usage_date": date(2024, 3, day),
            "project_id": "project",
            "instance_id": "DE-1",
            "user_id": "user-1",
            "pool_id": None,
            "workspace_id": None,
            "ai_project_id": None,
            "flavor": None,
            "sku": "modelarts.storage.volume",
            "charge": "storage",
            "volume": 0,
            "promo_type": None,
            "billing_flavor": None,
            "billing_ratio": None,
            "accelerator_count": None,
            "cpu_count": None,
            "memory_bytes": None,
            "price_id": table["price_id"][0].as_py(),
            "unit": "gb_hour",
            "currency": "CNY",
            "price_currency": "CNY",
            "exchange_rate": Decimal(1),
            "unit_price": Decimal("0.0004"),
            **dict.fromkeys(QUANTITIES, Decimal(hours * 5)),
            **dict.fromkeys(
                ("list_cost", "billed_cost_min", "billed_cost", "billed_cost_max"),
                Decimal(hours * 5) * Decimal("0.0004"),
            ),
            "is_dedicated": False,
            "is_waived": False,
            "is_priced": True,
            "is_complete": False,
        }
        for day, hours in ((1, 22), (2, 6))
    ]


def test_gigabyte_hours_are_the_size_times_hours_rounded_once() -> None:
    created = at(1) + timedelta(seconds=1)
    sweeps = [Sweep(at(0), {}), Sweep(at(2), {"DE-1": Listed(sizes={0: 500 * GB}, created_at=created)})]
    # 59 min 59 s are 0.999722222222... h.
    assert gb_hours(sweeps) == [(1, *[500 * Decimal("0.9997222222")] * 3)]


def test_a_gibibyte_is_more_than_a_gigabyte() -> None:
    sweeps = [Sweep(at(0), {}), Sweep(at(2), {"DE-1": Listed(sizes={0: 2**30}, created_at=at(1))})]
    assert gb_hours(sweeps) == [(1, *[Decimal("1.0737418240")] * 3)]


def test_nothing_is_metered_before_the_first_complete_sweep_or_after_the_last() -> None:
    listed = {"DE-1": Listed(sizes={0: GB}, created_at=at(-100))}
    sweeps = [
        Sweep(at(1), listed, complete=False),
        Sweep(at(2), listed),
        Sweep(at(5), listed),
        Sweep(at(9), listed, complete=False),
    ]
    assert gb_hours(sweeps) == [(1, 3, 3, 3)]
    assert gb_hours([sweep for sweep in sweeps if not sweep.complete]) == []


@pytest.mark.parametrize("last", [{}, {"DE-1": Listed("DELETED", sizes={0: GB}, created_at=at(0))}])
def test_a_deletion_is_somewhere_between_two_sweeps(last: Mapping[str, Listed]) -> None:
    listed = {"DE-1": Listed(sizes={0: GB}, created_at=at(0))}
    sweeps = [Sweep(at(0), {}), Sweep(at(1), listed), Sweep(at(4), listed), Sweep(at(8), last)]
    assert gb_hours([*sweeps, Sweep(at(20), last), Sweep(at(23), {})]) == [(1, 4, 6, 8)]


def test_updated_at_tells_when_an_instance_was_deleted() -> None:
    listed = {"DE-1": Listed(sizes={0: GB}, created_at=at(0))}
    deleted = {"DE-1": Listed("DELETED", sizes={0: GB}, created_at=at(0), updated_at=at(5))}
    sweeps = [Sweep(at(0), {}), Sweep(at(1), listed), Sweep(at(4), listed), Sweep(at(8), deleted)]
    assert gb_hours(sweeps) == [(1, 4, 5, 8)]


def test_what_came_and_went_between_two_sweeps_has_bounds() -> None:
    deleted = {"DE-1": Listed("DELETED", sizes={0: GB}, created_at=at(2))}
    assert gb_hours([Sweep(at(1), {}), Sweep(at(8), deleted)]) == [(1, 0, 3, 6)]


def test_what_was_deleted_before_it_was_ever_seen_costs_nothing() -> None:
    deleted = {"DE-1": Listed("DELETED", sizes={0: GB}, created_at=at(-50))}
    assert gb_hours([Sweep(at(1), deleted), Sweep(at(8), deleted)]) == []


def test_an_instance_that_came_back_had_not_been_deleted() -> None:
    listed = {"DE-1": Listed(sizes={0: GB}, created_at=at(0))}
    changed = {"DE-1": Listed("STOPPED", sizes={0: GB}, created_at=at(0), updated_at=at(11))}
    sweeps = [
        Sweep(at(0), {}),
        Sweep(at(1), listed),
        Sweep(at(4), {}),
        Sweep(at(8), {}),
        Sweep(at(12), changed),
        Sweep(at(13), changed),
    ]
    assert gb_hours(sweeps) == [(1, 13, 13, 13)]
    # With another size it had either since the sweep that last saw it, at the first hour.
    larger = {"DE-1": Listed("STOPPED", sizes={0: 3 * GB}, created_at=at(0))}
    assert gb_hours([*sweeps[:4], Sweep(at(11), larger)]) == [(1, 11, 21, 31)]


def test_what_is_listed_as_deleted_and_then_again_had_not_been_deleted() -> None:
    listed = {"DE-1": Listed(sizes={0: GB}, created_at=at(0))}
    deleted = {"DE-1": Listed("DELETED", sizes={0: GB}, created_at=at(0))}
    sweeps = [Sweep(at(0), {}), Sweep(at(1), listed), Sweep(at(4), deleted), Sweep(at(8), listed)]
    # Surely for the first hour, and the last two.
    assert gb_hours([*sweeps, Sweep(at(10), listed)]) == [(1, 3, 10, 10)]


def test_what_failed_to_be_created_may_never_have_had_a_disk() -> None:
    failed = {"DE-1": Listed("CREATE_FAILED", sizes={0: GB}, created_at=at(1))}
    assert gb_hours([Sweep(at(0), {}), Sweep(at(2), failed), Sweep(at(4), failed)]) == [(1, 0, 3, 3)]


def test_an_instance_of_unknown_status_is_there() -> None:
    listed = {"DE-1": Listed(status=None, sizes={0: GB}, created_at=at(1))}
    assert gb_hours([Sweep(at(0), {}), Sweep(at(2), listed), Sweep(at(4), listed)]) == [(1, 3, 3, 3)]


def test_without_created_at_it_came_somewhere_between_two_sweeps() -> None:
    listed = {"DE-1": Listed(sizes={0: GB})}
    assert gb_hours([Sweep(at(0), {}), Sweep(at(4), listed), Sweep(at(5), listed)]) == [(1, 1, 3, 5)]


def test_between_two_sizes_it_had_either() -> None:
    small, large = ({"DE-1": Listed(sizes={0: size * GB}, created_at=at(0))} for size in (10, 100))
    sweeps = [
        Sweep(at(0), {}),
        Sweep(at(1), small),
        Sweep(at(2), small),
        Sweep(at(4), large),
        Sweep(at(5), large),
    ]
    least, best, most = 2 * 10 + 2 * 10 + 100, 2 * 10 + 10 + 100 + 100, 2 * 10 + 2 * 100 + 100
    assert gb_hours(sweeps) == [(1, least, best, most)]


def test_a_volume_that_was_added_and_removed_is_bounded_by_sweeps() -> None:
    one, two = ({"DE-1": Listed(sizes=sizes, created_at=at(0))} for sizes in ({0: GB}, {0: GB, 1: 10 * GB}))
    sweeps = [Sweep(at(0), {}), Sweep(at(1), one), Sweep(at(3), two), Sweep(at(4), two), Sweep(at(6), one)]
    found = [(row["volume"], *(row[name] for name in QUANTITIES)) for row in storage(sweeps)]
    assert found == [(0, 6, 6, 6), (1, 10, 30, 50)]


def test_a_size_that_is_not_known_is_unpriced_and_not_free(tmp_path: Path) -> None:
    table = book(tmp_path, "modelarts.storage.volume,,storage,gb_hour,CNY,1,,")
    sweeps = [
        Sweep(at(0), {}),
        Sweep(at(1), {"DE-1": Listed(sizes={0: None}, created_at=at(0))}),
        Sweep(at(25), {"DE-1": Listed(sizes={0: GB}, created_at=at(0))}),
        Sweep(at(50), {"DE-1": Listed(sizes={0: GB}, created_at=at(0))}),
    ]
    rows = worked_out("cost_daily", book=table, **histories(sweeps))
    assert only(rows, "quantity", "list_cost", "billed_cost", "is_priced") == [
        (None, None, None, False),
        (None, None, None, False),
        (2, 2, 2, True),
    ]


@pytest.mark.parametrize("size", [2**63 - 1, 500_000 * GB])
def test_a_size_that_no_disk_has_is_unpriced(size: int) -> None:
    sweeps = [Sweep(at(0), {}), Sweep(at(24), {"DE-1": Listed(sizes={0: size}, created_at=at(0))})]
    assert gb_hours(sweeps) == [(1, None, None, None)]


@pytest.mark.parametrize("volume_type", ["obs", "efs", "obsfs"])
def test_only_evs_volumes_cost(volume_type: str) -> None:
    sweeps = [Sweep(at(0), {}), Sweep(at(2), {"DE-1": Listed(type=volume_type, created_at=at(0))})]
    assert storage(sweeps) == []


def test_a_disk_belongs_to_who_has_its_instance() -> None:
    first, second = ({"DE-1": Listed(sizes={0: GB}, created_at=at(0), user_id=user)} for user in ("a", "b"))
    sweeps = [Sweep(at(0), {}), Sweep(at(1), first), Sweep(at(4), first), Sweep(at(6), second)]
    assert only(storage(sweeps), "user_id", *QUANTITIES) == [("a", 4, 4, 4), ("b", 2, 2, 2)]


def test_the_sku_is_that_of_the_storage_price_list_unless_the_book_prices_evs(tmp_path: Path) -> None:
    sweeps = [Sweep(at(0), {}), Sweep(at(2), {"DE-1": Listed(created_at=at(0))})]
    lists = {
        "modelarts.storage.volume": (
            "evs,,compute,hour,CNY,1,,",
            "modelarts.storage.volume,,storage,gb_hour,CNY,1,,",
        ),
        "evs": ("evs,,storage,gb_hour,CNY,1,,", "modelarts.storage.volume,,storage,gb_hour,CNY,2,,"),
    }
    found = {sku: only(storage(sweeps, book=book(tmp_path, *lines)), "sku") for sku, lines in lists.items()}
    assert found == {sku: [sku] for sku in lists}


def test_compute_that_is_free_or_dedicated_leaves_the_disk_to_be_paid(tmp_path: Path) -> None:
    table = book(
        tmp_path, "flavor-1,,compute,hour,CNY,1,,", "modelarts.storage.volume,,storage,gb_hour,CNY,1,,"
    )
    tables = histories(
        [Sweep(at(0), {}), Sweep(at(2), {"DE-1": Listed(sizes={0: GB}, created_at=at(0), pool_id="pool-1")})]
    )
    pool = {"project_id": "project", "pool_id": "pool-1", "type": "USER_DEFINED", "change": "new"}
    rows = worked_out(
        "cost_daily",
        book=table,
        usage_daily=[used(pool_id="pool-1", promo_type="Free")],
        pool_history=[{**pool, "sweep_id": "s001", "valid_from": at(2), "observed_at": at(2)}],
        **tables,
    )
    assert only(rows, "charge", "is_dedicated", "list_cost", "billed_cost") == [
        ("compute", True, 1, 0),
        ("storage", True, 2, 2),
    ]


def test_days_begin_at_midnight_of_the_billing_time_zone() -> None:
    sweeps = [Sweep(at(10), {}), Sweep(at(20), {"DE-1": Listed(sizes={0: GB}, created_at=at(10))})]
    assert gb_hours(sweeps, zone="Asia/Shanghai") == [(1, 6, 6, 6), (2, 4, 4, 4)]


def test_a_day_is_complete_once_sweeps_cover_it() -> None:
    listed = {"DE-1": Listed(created_at=at(-10))}
    rows = storage([Sweep(at(-1), listed), Sweep(at(23), listed), Sweep(at(25), listed)])
    assert only(rows, "usage_date", "is_complete") == [(date(2024, 3, 1), True), (date(2024, 3, 2), False)]


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Sweep], dict[int, int]]:
    """Sweeps of an instance that is created, resized and deleted, and its true GB-minutes of each day."""
    created, resized, deleted = sorted(draw(st.lists(st.integers(0, 4000), min_size=3, max_size=3)))
    sizes = draw(st.tuples(st.integers(1, 4096), st.integers(1, 4096)))
    times = sorted(draw(st.sets(st.integers(0, 4000), min_size=2, max_size=12)))
    lingers = draw(st.booleans())
    sweeps = []
    for minute in times:
        there, status = created <= minute < deleted, draw(st.sampled_from(["RUNNING", "STOPPED"]))
        size = sizes[minute >= resized] * GB
        listed = Listed(status if there else "DELETED", {0: size}, created_at=at(created / 60))
        shown = there or (lingers and minute >= deleted)
        sweeps.append(
            Sweep(
                at(minute / 60), {"DE-1": listed} if shown else {}, draw(st.sampled_from([True, True, False]))
            )
        )
    seen = [minute for minute in times if created <= minute < deleted]
    # A size that nobody saw is not known of.
    assume(seen and seen[0] < resized <= seen[-1])
    complete = [minute for minute, sweep in zip(times, sweeps, strict=True) if sweep.complete] or [0]
    truth: dict[int, int] = {}
    for minute in range(max(created, complete[0]), min(deleted, complete[-1])):
        day = minute // 1440 + 1
        truth[day] = truth.get(day, 0) + sizes[minute >= resized]
    return sweeps, truth


@given(lives())
@settings(max_examples=10)
def test_the_truth_lies_within_the_bounds(life: tuple[list[Sweep], dict[int, int]]) -> None:
    sweeps, truth = life
    found = {day: quantities for day, *quantities in gb_hours(sweeps)}
    for day in truth.keys() | found.keys():
        least, best, most = found.get(day, [Decimal(0)] * 3)
        # A minute is no whole number of the last of ten decimals.
        slack = Decimal("1e-5")
        assert least <= best <= most
        assert least - slack <= Decimal(truth.get(day, 0)) / 60 <= most + slack


def test_a_day_that_was_swept_often_is_exact() -> None:
    listed = {"DE-1": Listed(sizes={0: 7 * GB}, created_at=at(0.5))}
    sweeps = [Sweep(at(hour / 4), listed if hour > 2 else {}) for hour in range(4 * 24 * 3 + 1)]
    assert gb_hours(sweeps) == [(1, *[Decimal("164.5")] * 3), (2, *[168] * 3), (3, *[168] * 3)]
    assert isinstance(sweeps[0].at, datetime)
