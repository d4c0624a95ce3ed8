"""A bill is lined up with what was metered: nothing on either side is lost, and the bounds decide."""

from __future__ import annotations

import csv
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from books import Books, Row, charge, disk, hour
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from etl import bill
from etl.cli import main
from etl.errors import UsageError
from etl.reconcile import columns_of, reconcile, totals

HEADER = "resource_id,period_start,period_end,amount,currency"
SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST, SECOND = date(2026, 10, 1), date(2026, 10, 2)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


def billed(path: Path, *lines: str, header: str = HEADER) -> Path:
    """The file of a bill."""
    file = path / "bill.csv"
    file.write_text("\n".join((header, *lines)), encoding="utf-8")
    return file


def compared(books: Books, *lines: str, **options: Any) -> list[Row]:
    file = billed(books.lake.path.parent, *lines, header=options.pop("header", HEADER))
    return reconcile(books.lake, file, **options).to_pylist()


def told(rows: list[Row]) -> list[tuple[Any, ...]]:
    names = ("status", "resource_id", "billed_amount", "cost_min", "cost", "cost_max")
    return [tuple(row[name] for name in names) for row in rows]


DOUBTFUL = charge(price="2", billed_cost_min=Decimal(1), billed_cost_max=Decimal(3))


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        ("2", "within bounds"),
        ("1.00", "within bounds"),
        ("3.00", "within bounds"),
        ("3.01", "within bounds"),  # A bill rounds: it may stand for 3.00
        ("3.02", "outside bounds"),
        ("0.99", "within bounds"),
        ("0.98", "outside bounds"),
        ("-2", "outside bounds"),
        ("3.0000000001", "within bounds"),
        ("3.0000000002", "outside bounds"),
    ],
)
def test_an_amount_agrees_where_it_lies_within_the_bounds(books: Books, amount: str, status: str) -> None:
    books.keep([DOUBTFUL], until=date(2026, 10, 5))
    rows = compared(books, f"DE-1,2026-10-01,2026-10-02,{amount},CNY")
    assert told(rows) == [(status, "DE-1", Decimal(amount), 1, 2, 3)]
    assert rows[0]["difference"] == Decimal(amount) - 2


def test_a_row_says_whose_period_it_is_and_where_the_bill_has_it(books: Books) -> None:
    books.keep([DOUBTFUL], until=date(2026, 10, 5))
    [row] = compared(books, "DE-1,2026-10-01,2026-10-02,1.5,CNY", "DE-1,2026-10-01,2026-10-02,0.5,CNY")
    assert row == {
        **{
            "status": "within bounds",
            "resource_id": "DE-1",
            "currency": "CNY",
            "line_count": 2,
            "first_line": 2,
        },
        **{"unpriced_count": 0, "billed_amount": 2, "cost_min": 1, "cost": 2, "cost_max": 3, "difference": 0},
        "is_covered": True,
        "period_start": datetime(2026, 9, 30, 16, tzinfo=UTC),
        "period_end": datetime(2026, 10, 1, 16, tzinfo=UTC),
    }


def test_what_only_one_side_knows_is_told(books: Books) -> None:
    ours = charge(instance_id="DE-2", price="7")
    waived = charge(instance_id="DE-3", is_waived=True)
    books.keep([charge(price="2"), ours, waived], until=date(2026, 10, 5))
    rows = compared(books, "DE-1,2026-10-01,2026-10-02,2,CNY", "DE-9,2026-10-01,2026-10-02,5,CNY")
    assert told(rows) == [
        ("only ours", "DE-2", None, 7, 7, 7),
        ("only theirs", "DE-9", 5, None, None, None),
        ("within bounds", "DE-1", 2, 2, 2, 2),
    ]


def test_a_day_that_is_not_billed_is_ours_alone_and_outside_of_the_bill_nothing_is_compared(
    books: Books,
) -> None:
    books.keep([charge(date(2026, 10, day), price=str(day)) for day in range(1, 6)], until=date(2026, 10, 6))
    rows = compared(books, "DE-1,2026-10-02,2026-10-03,2,CNY", "DE-1,2026-10-04,2026-10-05,4,CNY")
    assert [(row["status"], row["cost"]) for row in rows] == [
        ("only ours", 3),
        ("within bounds", 2),
        ("within bounds", 4),
    ]


def test_usage_without_a_price_is_never_taken_for_free(books: Books) -> None:
    books.keep([charge(price=None), charge(instance_id="DE-2", price=None)], until=date(2026, 10, 5))
    rows = compared(books, "DE-1,2026-10-01,2026-10-02,2,CNY")
    assert told(rows) == [
        ("unpriced", "DE-1", 2, None, None, None),
        ("unpriced", "DE-2", None, None, None, None),
    ]


def test_compute_and_disk_of_an_instance_are_compared_with_its_lines_together(books: Books) -> None:
    books.keep([charge(hours="2", price="2"), disk()], until=date(2026, 10, 5))
    hours = ("DE-1,2026-10-01 08:00,2026-10-01 09:00,2,CNY", "DE-1,2026-10-01 20:00,2026-10-01 21:00,2,CNY")
    [row] = compared(books, *hours, "DE-1,2026-10-01,2026-10-02,0.168,CNY")
    told = (row["status"], row["line_count"], row["billed_amount"], row["cost"])
    assert told == ("within bounds", 3, Decimal("4.168"), Decimal("4.168"))


def test_a_bill_in_another_currency_is_not_compared(books: Books) -> None:
    books.keep([charge(price="2")], until=date(2026, 10, 5))
    [row] = compared(books, "DE-1,2026-10-01,2026-10-02,2,USD")
    assert (row["status"], row["currency"], row["difference"]) == ("other currency", "USD", None)


def test_a_bill_that_is_cut_at_hours_is_compared_hour_by_hour(books: Books) -> None:
    day = charge(hours="2.5", price="4")
    hours = [hour(day, 8, 60), hour(day, 9, 60), hour(day, 10, 30, least=20, most=45)]
    books.keep([day], hours=hours, until=date(2026, 10, 5))
    rows = compared(
        books,
        "DE-1,2026-10-01 08:00:00,2026-10-01 09:00:00,4,CNY",
        "DE-1,2026-10-01 10:00:00,2026-10-01 11:00:00,3.5,CNY",
        "DE-9,2026-10-01,2026-10-02,1,CNY",
    )
    third = Decimal("1.3333333333")
    assert told(rows) == [
        ("only ours", "DE-1", None, 4, 4, 4),
        ("only theirs", "DE-9", 1, None, None, None),
        ("outside bounds", "DE-1", Decimal("3.5"), third, 2, 3),
        ("within bounds", "DE-1", 4, 4, 4, 4),
    ]


def test_of_an_hour_that_is_cut_all_or_nothing_may_be_billed(books: Books) -> None:
    day = charge(hours="0.75", price="4")
    books.keep([day], hours=[hour(day, 8, 45)], until=date(2026, 10, 5))
    [row] = compared(books, "DE-1,2026-10-01 08:00:00,2026-10-01 08:30:00,1,CNY")
    assert (row["cost_min"], row["cost"], row["cost_max"]) == (1, Decimal("1.5"), 2)


def test_a_disk_costs_by_the_hour_where_a_day_is_cut(books: Books) -> None:
    books.keep([disk()], until=date(2026, 10, 5))
    [row] = compared(books, "DE-1,2026-10-01 06:00:00,2026-10-01 12:00:00,0.042,CNY")
    assert (row["status"], row["cost"]) == ("within bounds", Decimal("0.042"))


def test_a_period_that_was_not_metered_to_its_end_says_so(books: Books) -> None:
    books.keep([charge(), charge(date(2026, 10, 5))], since=FIRST, until=date(2026, 10, 5))
    rows = compared(books, "DE-1,2026-10-01,2026-10-02,2.5,CNY", "DE-1,2026-10-05,2026-10-07,2.5,CNY")
    assert [row["is_covered"] for row in rows] == [True, False]


def test_totals_add_up_both_sides_by_status(books: Books) -> None:
    books.keep([charge(price="2"), charge(instance_id="DE-2", price="7")], until=date(2026, 10, 5))
    lines = ("DE-1,2026-10-01,2026-10-02,2,CNY", "DE-9,2026-10-01,2026-10-02,5,CNY")
    file = billed(books.lake.path.parent, *lines)
    found = totals(reconcile(books.lake, file)).to_pylist()
    assert [(row["status"], row["line_count"], row["billed_amount"], row["cost"]) for row in found] == [
        ("only ours", 0, None, 7),
        ("only theirs", 1, 5, None),
        ("within bounds", 1, 2, 2),
    ]


def test_the_command_shows_each_row_and_the_totals_apart(books: Books) -> None:
    books.keep([charge(price="2")], until=date(2026, 10, 5))
    header = "resource_id,period_start,period_end,Net"
    file = billed(books.lake.path.parent, "DE-1,2026-10-01,2026-10-02,2", header=header)
    options = ["--column", "amount=Net", "--currency", "CNY", "--format", "csv"]
    result = CliRunner().invoke(main, ["--lake", str(books.lake.path), "reconcile", str(file), *options])
    assert (result.exit_code, result.exception) == (0, None)
    [row] = csv.DictReader(result.stdout.splitlines())
    assert (row["status"], row["resource_id"]) == ("within bounds", "DE-1")
    assert re.search(r"within bounds +1 +1 +2", result.stderr)


LINE = st.tuples(
    st.sampled_from(["DE-1", "DE-2", "DE-9"]), st.integers(1, 9), st.integers(1, 4), st.integers(-500, 500)
)


@budget(max_examples=10)
@given(lines=st.lists(LINE, min_size=1, max_size=6))
def test_neither_side_of_a_reconciliation_loses_anything(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, int, int, int]]
) -> None:
    books = Books(tmp_path_factory.mktemp("books"))
    costs = [
        charge(date(2026, 10, day), price=str(day), instance_id=name)
        for day in range(1, 12)
        for name in ("DE-1", "DE-2")
    ]
    books.keep(costs, until=date(2026, 10, 13))
    rows = compared(
        books,
        *(
            f"{name},2026-10-{day:02},2026-10-{day + length:02},{amount / 100},CNY"
            for name, day, length, amount in lines
        ),
    )
    first, last = min(day for _, day, _, _ in lines), max(day + length for _, day, length, _ in lines)
    assert sum(row["billed_amount"] or 0 for row in rows) == Decimal(sum(line[3] for line in lines)) / 100
    assert sum(row["cost"] or 0 for row in rows) == 2 * sum(day for day in range(first, min(last, 12)))
    assert sum(row["line_count"] for row in rows) == len(lines)


@pytest.mark.parametrize(
    "header",
    [
        "Resource ID,Usage Start Time,Usage End Time,Amount Due,Currency",
        "RESOURCE_ID,period start,Period End,AMOUNT,currency",
        "ResourceId,ChargePeriodStart,ChargePeriodEnd,BilledCost,BillingCurrency",
        "资源ID,使用开始时间,使用结束时间,应付金额,币种",
    ],
)
def test_headers_are_known_by_the_names_that_bills_give_them(books: Books, header: str) -> None:
    books.keep([charge(price="2")], until=date(2026, 10, 5))
    [row] = compared(books, "DE-1,2026-10-01,2026-10-02,2,CNY", header=header)
    assert row["status"] == "within bounds"


def test_other_headers_can_be_named_and_other_columns_are_left_alone(books: Books) -> None:
    books.keep([charge(price="2")], until=date(2026, 10, 5))
    header = "Instance,Region,period_start,period_end,Net,amount"
    columns = ("resource_id=instance", "amount=Net")
    line = "DE-1,cn-north-4,2026-10-01,2026-10-02,2,9"
    [row] = compared(books, line, header=header, columns=columns, currency="CNY")
    assert (row["status"], row["billed_amount"]) == ("within bounds", 2)


@pytest.mark.parametrize("option", ["amount", "amount=", "sum=Net"])
def test_a_header_for_no_field_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match=r"is not FIELD=NAME"):
        columns_of([option])


def moments(*lines: str, header: str = HEADER, path: Path) -> list[tuple[datetime, datetime]]:
    table = bill.read(billed(path, *lines, header=header), SHANGHAI)
    instants = [table[name].cast(pa.timestamp("us", "UTC")).to_pylist() for name in ("from_us", "to_us")]
    return list(zip(*instants, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01 08:00:00",
        "2026-10-01T08:00:00",
        "2026/10/1 8:00",
        "2026-10-01T00:00:00Z",
        "2026-10-01 08:00:00+08:00",
        "2026-10-01 08:00:00 GMT+08:00",
        "2026-09-30 19:00:00-0500",
        "2026-10-01 08:00:00.000",
    ],
)
def test_times_are_of_the_billing_zone_unless_they_say_otherwise(tmp_path: Path, text: str) -> None:
    [(start, _)] = moments(f"DE-1,{text},2026-10-03,1,CNY", path=tmp_path)
    assert start == datetime(2026, 10, 1, tzinfo=UTC)


def test_days_that_periods_end_with_belong_to_them_where_a_day_ends_as_it_begins(tmp_path: Path) -> None:
    lines = ("DE-1,2026-10-01,2026-10-02,1,CNY", "DE-1,2026-10-03,2026-10-03,1,CNY")
    ends = [end.astimezone(SHANGHAI).day for _, end in moments(*lines, path=tmp_path)]
    assert ends == [3, 4]
    assert [end.astimezone(SHANGHAI).day for _, end in moments(lines[0], path=tmp_path)] == [2]


def test_a_last_second_belongs_to_its_period(tmp_path: Path) -> None:
    [(_, end)] = moments("DE-1,2026-10-01 00:00:00,2026-10-01 23:59:59,1,CNY", path=tmp_path)
    assert end.astimezone(SHANGHAI) == datetime(2026, 10, 2, tzinfo=SHANGHAI)


def test_amounts_may_have_commas_and_keep_their_decimals(tmp_path: Path) -> None:
    lines = ('DE-1,2026-10-01,2026-10-02,"1,234.50",CNY', "DE-1,2026-10-01,2026-10-02,-0.00000001,CNY")
    table = bill.read(billed(tmp_path, *lines), SHANGHAI)
    assert table["amount"].to_pylist() == [Decimal("1234.50"), Decimal("-0.00000001")]
    assert table["rounding"].to_pylist() == [Decimal("0.01"), Decimal("0.00000001")]


def test_every_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    lines = (
        "DE-1,2026-10-01,2026-10-02,1,CNY",
        "",
        ",2026-10-01,2026-10-02,1,CNY",
        "DE-1,2026-13-01,2026-10-02,1,CNY",
        "DE-1,2026-10-02,2026-10-01,1,CNY",
        "DE-1,2026-10-01 08:00,2026-10-01 08:00,1,CNY",
        "DE-1,2026-10-01,2026-10-02,one,CNY",
        "DE-1,2026-10-01,2026-10-02,1.00000000001,CNY",
        "DE-1,2026-10-01,2026-10-02,1,yuan",
        "DE-1,2026-10-01,2026-10-02,1",
    )
    with pytest.raises(UsageError) as caught:
        bill.read(billed(tmp_path, *lines), SHANGHAI)
    found = str(caught.value).partition("needs mending: ")[2].split("; ")
    assert [each.split(" has ")[0].split(" ends ")[0] for each in found] == [
        f"line {number}" for number in range(4, 12)
    ]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "no column for resource_id"),
        (HEADER, "has no lines"),
        ("resource_id,period_start,period_end,currency", "no column for amount"),
        (f"{HEADER},Amount Due", "2 columns for amount"),
        (HEADER + '\n"open', "is not CSV|needs mending"),
    ],
)
def test_a_file_that_is_no_bill_is_said_in_a_line(tmp_path: Path, text: str, wanted: str) -> None:
    file = tmp_path / "bill.csv"
    file.write_text(text)
    with pytest.raises(UsageError, match=wanted):
        bill.read(file, SHANGHAI)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_said_in_a_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "bill.csv"
    if content:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"bill\.csv"):
        bill.read(file, SHANGHAI)


def test_a_bill_whose_dates_cannot_be_right_is_refused(books: Books) -> None:
    books.keep([charge()], until=date(2026, 10, 5))
    with pytest.raises(UsageError, match="mend its dates"):
        compared(books, "DE-1,2026-10-01,2062-10-01,1,CNY")


def test_without_costs_there_is_nothing_to_compare(books: Books) -> None:
    with pytest.raises(UsageError, match="demeter build"):
        compared(books, "DE-1,2026-10-01,2026-10-02,1,CNY")
