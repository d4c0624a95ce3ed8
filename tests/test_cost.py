"""What an hour costs, worked out by hand to the last decimal."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from costs import at, book, found_by, only, rates, sums_of_rollups, total, used, worked_out
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import prices

COSTS = ("list_cost", "billed_cost_min", "billed_cost", "billed_cost_max")


def cost(table: pa.Table, *usage: dict[str, Any], **others: Any) -> list[dict[str, Any]]:
    return worked_out("cost_daily", book=table, usage_daily=usage, **others)


def test_a_cost_is_the_quantity_times_the_price_to_the_last_decimal(tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,CNY,3.12345678,2024-01-01,")
    # 1 h 23 min 45.678901 s are 1.39602191694... h; a third less and a third more are its bounds.
    usage = used(
        running_us=5_025_678_901,
        running_us_min=3_350_452_600,
        running_us_max=6_700_905_201,
        user_id="user-1",
        pool_id="pool-1",
        workspace_id="workspace-1",
        ai_project_id="project-1",
        promo_type="NoDiscount",
        accelerator_count=1,
        cpu_count=24,
        memory_bytes=96 * 2**30,
    )
    assert cost(table, usage) == [
        {
            "usage_date": date(2024, 3, 1),
            "project_id": "project",
            "instance_id": "DE-1",
            "user_id": "user-1",
            "pool_id": "pool-1",
            "workspace_id": "workspace-1",
            "ai_project_id": "project-1",
            "flavor": "flavor-1",
            "sku": "flavor-1",
            "charge": "compute",
            "volume": None,
            "promo_type": "NoDiscount",
            "billing_flavor": None,
            "billing_ratio": None,
            "accelerator_count": 1,
            "cpu_count": 24,
            "memory_bytes": 103_079_215_104,
            "price_id": table["price_id"][0].as_py(),
            "unit": "hour",
            "currency": "CNY",
            "price_currency": "CNY",
            "exchange_rate": Decimal("1.0000000000"),
            "unit_price": Decimal("3.123456780000"),
            "quantity_min": Decimal("0.9306812778"),
            "quantity": Decimal("1.3960219169"),
            "quantity_max": Decimal("1.8613625558"),
            "list_cost": Decimal("4.3604141213699015820000"),
            "billed_cost_min": Decimal("2.9069427471634734840000"),
            "billed_cost": Decimal("4.3604141213699015820000"),
            "billed_cost_max": Decimal("5.8138854949516383240000"),
            "is_dedicated": False,
            "is_waived": False,
            "is_priced": True,
            "is_complete": True,
        }
    ]


@pytest.mark.parametrize(
    ("running_us", "hours"),
    [
        (0, "0"),
        (1, "0.0000000003"),  # 0.000000000277...
        (2, "0.0000000006"),  # 0.000000000555...
        (9, "0.0000000025"),
        (3_599_999_999, "0.9999999997"),  # 0.999999999722...
        (3_600_000_000, "1"),
        (90_000_000_000, "25"),  # the longest day
        (3_600_000_000 * 24 * 366 * 100, "878400"),
    ],
)
def test_hours_are_rounded_once_to_the_nearest_of_ten_decimals(running_us: int, hours: str) -> None:
    [quantity] = only(cost(prices.empty(), used(running_us=running_us)), "quantity")
    assert quantity == Decimal(hours)


@given(st.lists(st.integers(0, 90_000_000_000), min_size=1, max_size=300, unique=True))
@settings(max_examples=8)
def test_any_microseconds_become_the_hours_of_exact_arithmetic(microseconds: list[int]) -> None:
    usage = [used(running_us=us, instance_id=str(us)) for us in microseconds]
    found = dict(only(cost(prices.empty(), *usage), "instance_id", "quantity"))
    with localcontext(prec=60):  # half-even unless told otherwise
        hours = {str(us): (Decimal(us) / 3_600_000_000).quantize(Decimal("1e-10")) for us in microseconds}
    assert found == hours


def test_a_price_that_changes_at_midnight_splits_a_session(tmp_path: Path) -> None:
    table = book(
        tmp_path,
        "flavor-1,,compute,hour,CNY,3.5,,2024-03-02",
        "flavor-1,,compute,hour,CNY,4.25,2024-03-02,2024-03-04",
    )
    # From 22:30 on the first to 02:00 on the third.
    usage = [used(1.5, day=1), used(24, day=2), used(2, day=3)]
    assert only(cost(table, *usage), "usage_date", "unit_price", "list_cost") == [
        (date(2024, 3, 1), Decimal("3.5"), Decimal("5.25")),
        (date(2024, 3, 2), Decimal("4.25"), Decimal("102")),
        (date(2024, 3, 3), Decimal("4.25"), Decimal("8.5")),
    ]


def test_a_day_in_a_gap_of_the_price_book_is_unpriced_and_not_free(tmp_path: Path) -> None:
    table = book(
        tmp_path,
        "flavor-1,,compute,hour,CNY,3.5,,2024-03-02",
        "flavor-1,,compute,hour,CNY,4,2024-03-03,",
        "flavor-1,,storage,gb_hour,CNY,5,,",
        "flavor-2,,compute,hour,CNY,6,,",
    )
    rows = cost(table, *(used(day=day) for day in (1, 2, 3)), used(sku="flavor-3"))
    assert only(rows, "usage_date", "sku", *COSTS, "price_id", "unit_price", "currency", "is_priced") == [
        (
            date(2024, 3, 1),
            "flavor-1",
            *[Decimal("3.5")] * 4,
            rows[0]["price_id"],
            Decimal("3.5"),
            "CNY",
            True,
        ),
        (date(2024, 3, 1), "flavor-3", *[None] * 4, None, None, "CNY", False),
        (date(2024, 3, 2), "flavor-1", *[None] * 4, None, None, "CNY", False),
        (date(2024, 3, 3), "flavor-1", *[Decimal("4")] * 4, rows[3]["price_id"], Decimal("4"), "CNY", True),
    ]


def test_a_price_of_zero_is_a_price(tmp_path: Path) -> None:
    [row] = cost(book(tmp_path, "flavor-1,,compute,hour,CNY,0,,"), used())
    assert (row["list_cost"], row["is_priced"]) == (0, True)


@pytest.mark.parametrize(
    ("terms", "quantity"),
    [
        ({"billing_flavor": "card", "billing_ratio": 8}, "12"),
        ({"billing_flavor": "card", "billing_ratio": 1}, "1.5"),
        ({"billing_flavor": "card", "billing_ratio": 0}, "0"),
        ({"billing_flavor": None, "billing_ratio": 8}, "1.5"),
        ({"billing_flavor": None, "billing_ratio": None}, "1.5"),
        ({"billing_flavor": "card", "billing_ratio": None}, None),
        ({"billing_flavor": "card", "billing_ratio": -1}, None),
        ({"billing_flavor": "card", "billing_ratio": 99_999}, "149998.5"),
        ({"billing_flavor": "card", "billing_ratio": 100_000}, None),
        ({"billing_flavor": "card", "billing_ratio": 2**62}, None),
    ],
)
def test_the_ratio_counts_only_with_a_billing_flavor_and_unknown_is_unpriced(
    terms: dict[str, Any], quantity: str | None, tmp_path: Path
) -> None:
    table = book(tmp_path, "card,,compute,hour,CNY,2.2,,", "flavor-1,,compute,hour,CNY,2.2,,")
    [row] = cost(table, used(1.5, sku=terms["billing_flavor"] or "flavor-1", **terms))
    expected = None if quantity is None else Decimal(quantity)
    list_cost = None if expected is None else expected * Decimal("2.2")
    assert (row["quantity"], row["list_cost"], row["is_priced"]) == (
        expected,
        list_cost,
        list_cost is not None,
    )


@pytest.mark.parametrize("promo_type", ["Free", "free", "FREE"])
def test_what_is_free_has_a_list_cost_and_no_billed_cost(promo_type: str, tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,CNY,3.5,,")
    [row] = cost(table, used(2, promo_type=promo_type, running_us_max=9_000_000_000))
    assert [row[name] for name in COSTS] == [Decimal("7"), 0, 0, 0]


def test_what_is_free_and_unpriced_is_unpriced() -> None:
    [row] = cost(prices.empty(), used(2, promo_type="Free"))
    assert [row[name] for name in (*COSTS, "is_priced")] == [None, None, None, None, False]


def pool(
    pool_type: str | None, hours: float = 0, name: str = "pool-1", change: str = "new"
) -> dict[str, Any]:
    """A row of pool_history, of that many hours after midnight."""
    return {
        "project_id": "project",
        "pool_id": name,
        "sweep_id": f"s{round(hours):03}",
        "observed_at": at(hours),
        "valid_from": at(hours),
        "change": change,
        "type": pool_type,
    }


def test_an_instance_in_a_dedicated_pool_is_billed_by_its_pool_unless_told_otherwise(tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,CNY,3.5,,")
    usage = [used(instance_id=f"DE-{name}", pool_id=name) for name in ("own", "public", "unknown", None)]
    history = [pool("USER_DEFINED", name="own"), pool("SYSTEM_DEFINED", name="public")]
    columns = ("instance_id", "is_dedicated", "list_cost", "billed_cost")
    own, free, price = "DE-own", Decimal(0), Decimal("3.5")
    others = [(f"DE-{name}", False, price, price) for name in (None, "public", "unknown")]
    assert only(cost(table, *usage, pool_history=history), *columns) == [
        others[0],
        (own, True, price, free),
        *others[1:],
    ]
    billed = cost(table, *usage, pool_history=history, dedicated_pools_are_billed=True)
    assert only(billed, *columns) == [others[0], (own, True, price, price), *others[1:]]


def test_a_pool_is_what_it_was_on_the_day(tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,CNY,1,,")
    usage = [used(pool_id="pool-1", day=day) for day in (1, 2, 3, 4)]
    history = [
        pool("SYSTEM", 30),
        pool(None, 49, change="changed"),
        pool("USER_DEFINED", 50, change="changed"),
        pool("USER_DEFINED", 74, change="keyframe"),
    ]
    assert only(cost(table, *usage, pool_history=history), "is_dedicated") == [False, False, True, True]


def test_a_price_of_the_region_goes_before_one_of_any_region(tmp_path: Path) -> None:
    table = book(
        tmp_path,
        "flavor-1,,compute,hour,CNY,1,,",
        "flavor-1,cn-north-4,compute,hour,CNY,2,2024-03-02,2024-03-03",
        "flavor-1,cn-south-1,compute,hour,CNY,3,,",
        "flavor-2,cn-south-1,compute,hour,CNY,4,,",
    )
    usage = [*(used(day=day) for day in (1, 2, 3)), used(sku="flavor-2")]
    expected = {
        "cn-north-4": [1, None, 2, 1],
        "cn-south-1": [3, 4, 3, 3],
        "eu-de": [1, None, 1, 1],
        None: [1, None, 1, 1],
    }
    found = {region: only(cost(table, *usage, region=region), "list_cost") for region in expected}
    assert found == expected


def test_a_price_in_another_currency_is_converted_at_the_rate_of_the_day(tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,USD,0.697,,", "flavor-2,,compute,hour,CNY,5,,")
    exchange = rates(tmp_path, "USD,CNY,7.1234567891,,2024-03-02", "USD,CNY,7.2,2024-03-02,2024-03-03")
    usage = [*(used(10, day=day) for day in (1, 2, 3)), used(10, sku="flavor-2")]
    columns = ("sku", "price_currency", "exchange_rate", "unit_price", "currency", "list_cost")
    assert only(cost(table, *usage, rates=exchange), *columns) == [
        # 0.697 times 7.1234567891 is 4.9650493820027, which is rounded to twelve decimals.
        (
            "flavor-1",
            "USD",
            Decimal("7.1234567891"),
            Decimal("4.965049382003"),
            "CNY",
            Decimal("49.65049382003"),
        ),
        ("flavor-2", "CNY", 1, 5, "CNY", 50),
        ("flavor-1", "USD", Decimal("7.2"), Decimal("5.0184"), "CNY", Decimal("50.184")),
        ("flavor-1", "USD", None, None, "CNY", None),
    ]


def test_a_rate_serves_only_in_its_own_direction(tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,USD,1,,")
    [row] = cost(table, used(), rates=rates(tmp_path, "CNY,USD,0.14,,", "USD,EUR,0.9,,"))
    assert (row["list_cost"], row["is_priced"], row["price_id"]) == (
        None,
        False,
        table["price_id"][0].as_py(),
    )


def test_without_a_currency_of_the_bill_each_price_keeps_its_own(tmp_path: Path) -> None:
    table = book(tmp_path, "flavor-1,,compute,hour,USD,1,,", "flavor-2,,compute,hour,CNY,2,,")
    rows = cost(table, used(), used(sku="flavor-2"), used(sku="flavor-3"), currency=None)
    assert only(rows, "currency", "list_cost") == [("USD", 1), ("CNY", 2), (None, None)]


def test_a_sku_with_prices_in_two_currencies_costs_what_needs_no_conversion(tmp_path: Path) -> None:
    table = book(
        tmp_path,
        "flavor-1,,compute,hour,CNY,7,,",
        "flavor-1,,compute,hour,USD,1,,",
        "flavor-1,,compute,hour,AUD,2,,",
    )
    exchange = rates(tmp_path, "USD,EUR,0.9,,", "CNY,USD,0.14,,")
    found = {
        currency: only(cost(table, used(), rates=exchange, currency=currency), "price_currency", "list_cost")
        for currency in ("CNY", "USD", "EUR")
    }
    assert found == {"CNY": [("CNY", 7)], "USD": [("USD", 1)], "EUR": [("USD", Decimal("0.9"))]}


def test_no_price_book_can_make_two_rows_of_one(tmp_path: Path) -> None:
    # Not even one that was never read: every row and every rate is there twice.
    table = book(
        tmp_path,
        "flavor-1,,compute,hour,USD,1,,",
        "flavor-1,eu-de,compute,hour,USD,2,,",
        "flavor-1,eu-de,compute,hour,CNY,3,,",
    )
    exchange = rates(tmp_path, "USD,CNY,7,,")
    history = [pool("USER_DEFINED"), pool("SYSTEM"), pool("SYSTEM", change="changed")]
    rows = worked_out(
        "cost_daily",
        book=pa.concat_tables([table] * 2),
        rates=pa.concat_tables([exchange, exchange.set_column(2, "rate", exchange["rate"])] * 2),
        region="eu-de",
        usage_daily=[used(pool_id="pool-1")],
        pool_history=history,
    )
    assert only(rows, "list_cost") == [3]


HOURS = st.integers(0, 86_400_000_000)
USAGE = st.builds(
    lambda day, name, sku, pool_id, promo, ratio, us: used(
        day=day,
        instance_id=name,
        sku=sku,
        pool_id=pool_id,
        promo_type=promo,
        billing_flavor=None if ratio is None else sku,
        billing_ratio=ratio,
        running_us_min=min(us),
        running_us=sorted(us)[1],
        running_us_max=max(us),
    ),
    st.integers(1, 5),
    st.sampled_from(["DE-1", "DE-2", "DE-3"]),
    st.sampled_from(["flavor-1", "flavor-2", "flavor-3"]),
    st.sampled_from(["pool-1", None]),
    st.sampled_from(["Free", None]),
    st.sampled_from([None, 1, 8, 11]),
    st.tuples(HOURS, HOURS, HOURS),
)
PRICE = st.decimals(0, 99_999_999, places=8, allow_nan=False)
RATE = st.decimals("0.0000000001", 1000, places=10, allow_nan=False)


@given(st.lists(USAGE, min_size=1, max_size=30), PRICE, PRICE, RATE)
@settings(max_examples=10)
def test_bounds_hold_and_every_rollup_sums_to_the_total_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    usage: list[dict[str, Any]],
    price: Decimal,
    other: Decimal,
    rate: Decimal,
) -> None:
    folder = tmp_path_factory.mktemp("book")
    table = book(
        folder,
        f"flavor-1,,compute,hour,CNY,{price:f},,2024-03-04",
        f"flavor-2,,compute,hour,USD,{other:f},,",
    )
    unique = {tuple(row[name] for name in sorted(row) if "_us" not in name): row for row in usage}
    rows = cost(
        table,
        *unique.values(),
        rates=rates(folder, f"USD,CNY,{rate:f},,"),
        pool_history=[pool("USER_DEFINED")],
    )
    assert len(rows) == len(unique)
    for row in rows:
        costs = [row[name] for name in COSTS[1:]]
        if row["is_priced"]:
            assert costs == sorted(costs)
            with localcontext(prec=60):
                assert row["list_cost"] == row["quantity"] * row["unit_price"]
            assert row["billed_cost"] in (0, row["list_cost"])
        else:
            assert costs == [None] * 3
    rollups = ("usage_date", "instance_id", "sku", "pool_id", "promo_type")
    totals = {name: total(rows, name) for name in COSTS}
    assert sums_of_rollups(rows, rollups, COSTS) == dict.fromkeys(rollups, totals)


def test_the_day_of_a_price_is_that_of_the_billing_time_zone(tmp_path: Path) -> None:
    table = book(
        tmp_path, "flavor-1,,compute,hour,CNY,1,,2024-03-02", "flavor-1,,compute,hour,CNY,2,2024-03-02,"
    )
    # 17:00 UTC is past midnight in Shanghai, and a pool changes hands there then.
    assert datetime(2024, 3, 1, 17, tzinfo=UTC) == at(17)
    history = [pool("SYSTEM", -20), pool("USER_DEFINED", 17, change="changed")]
    usage = [used(day=day, pool_id="pool-1") for day in (1, 2)]
    rows = cost(table, *usage, pool_history=history, zone="Asia/Shanghai")
    assert only(rows, "list_cost", "billed_cost") == [(1, 1), (2, 0)]


@pytest.fixture
def charged(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """A day of usage with every kind of price, and its cost."""
    table = book(tmp_path, "flavor-1,,compute,hour,CNY,1,,", "flavor-2,,compute,hour,USD,2,,")
    usage = [
        used(1, running_us_min=0, running_us_max=7_200_000_000),
        used(2, promo_type="Free"),
        used(3, sku="flavor-2"),
        used(4, sku="flavor-3"),
    ]
    return {"usage_daily": usage, "cost_daily": cost(table, *usage)}


CHECKS = {"cost_keys_are_unique", "cost_within_bounds", "usage_is_charged_once"}


def failing(tables: dict[str, list[dict[str, Any]]]) -> set[str]:
    needed = {"usage_is_charged_once": ("cost_daily", "usage_daily")}
    return {
        check
        for check in CHECKS
        if found_by(check, **{name: tables[name] for name in needed.get(check, ("cost_daily",))})
    }


def test_the_checks_find_nothing_in_costs_as_they_are_worked_out(
    charged: dict[str, list[dict[str, Any]]],
) -> None:
    assert only(charged["cost_daily"], "is_priced") == [True, True, False, False]
    assert failing(charged) == set()


@pytest.mark.parametrize(
    ("flaw", "check"),
    [
        ({"billed_cost": Decimal(3)}, "cost_within_bounds"),
        ({"billed_cost_min": Decimal("1.1")}, "cost_within_bounds"),
        ({"billed_cost_min": Decimal(-1)}, "cost_within_bounds"),
        ({"billed_cost_max": None}, "cost_within_bounds"),
        ({"list_cost": None}, "cost_within_bounds"),
        ({"list_cost": Decimal("0.9")}, "cost_within_bounds"),
        ({"is_priced": False}, "cost_within_bounds"),
        ({"unit_price": None}, "cost_within_bounds"),
        ({"promo_type": "Free"}, "cost_keys_are_unique"),
        ({"usage_date": date(2024, 3, 2)}, "usage_is_charged_once"),
        ({"charge": "storage"}, "usage_is_charged_once"),
    ],
)
def test_a_check_finds_each_flaw(
    flaw: dict[str, Any], check: str, charged: dict[str, list[dict[str, Any]]]
) -> None:
    rows = charged["cost_daily"]
    position = only(rows, "quantity").index(1)
    rows[position] |= flaw
    assert failing(charged) == {check}


def test_the_example_in_the_documentation_is_worked_out_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "prices.md").read_text(encoding="utf-8")
    example = tmp_path / "example.csv"
    example.write_text(page.split("```csv\n")[1].split("```")[0], encoding="utf-8")
    terms = {"sku": "modelarts.kat1.xlarge", "billing_flavor": "modelarts.kat1.xlarge", "billing_ratio": 8}
    rows = worked_out(
        "cost_daily",
        book=prices.read(example),
        region="cn-north-4",
        first=date(2025, 6, 30),
        usage_daily=[
            used(1.5, **terms) | {"usage_date": date(2025, 6, 30)},
            used(1 + 1 / 3, **terms) | {"usage_date": date(2025, 7, 1)},
        ],
    )
    told = [
        f"| {day} | {row['quantity'] / 8:.10f} | {row['quantity']} | {row['unit_price']:.2f} | "
        f"{row['list_cost'].normalize():f} |"
        for day, row in zip(("June 30", "July 1"), rows, strict=True)
    ]
    assert told == [
        "| June 30 | 1.5000000000 | 12.0000000000 | 12.50 | 150 |",
        "| July 1 | 1.3333333333 | 10.6666666664 | 11.80 | 125.86666666352 |",
    ]
    assert all(line in page for line in told)
