"""A price book says exactly what its file says, or every line that is wrong with it."""

from __future__ import annotations

import json
import logging
import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import prices
from etl.build import take_prices
from etl.errors import UsageError
from etl.lake import Lake
from etl.settings import Settings

HEADER = "sku,region,kind,unit,currency,unit_price,valid_from,valid_to"
BOOK = """\
sku,region,kind,unit,currency,unit_price,valid_from,valid_to
modelarts.kat1.xlarge,,compute,hour,CNY,3.50,2024-01-01,2024-03-01
modelarts.kat1.xlarge,,compute,hour,CNY,4,2024-03-01,
modelarts.kat1.xlarge,cn-north-4,compute,hour,CNY,3.12345678,,
modelarts.storage.volume,,storage,gb_hour,USD,0.0004,,
pool-1,,pool,hour,CNY,0,,
"""
ROWS = [
    {
        "sku": "modelarts.kat1.xlarge",
        "region": None,
        "kind": "compute",
        "unit": "hour",
        "currency": "CNY",
        "unit_price": Decimal("3.50000000"),
        "valid_from": date(2024, 1, 1),
        "valid_to": date(2024, 3, 1),
    },
    {
        "sku": "modelarts.kat1.xlarge",
        "region": None,
        "kind": "compute",
        "unit": "hour",
        "currency": "CNY",
        "unit_price": Decimal("4.00000000"),
        "valid_from": date(2024, 3, 1),
        "valid_to": None,
    },
    {
        "sku": "modelarts.kat1.xlarge",
        "region": "cn-north-4",
        "kind": "compute",
        "unit": "hour",
        "currency": "CNY",
        "unit_price": Decimal("3.12345678"),
        "valid_from": None,
        "valid_to": None,
    },
    {
        "sku": "modelarts.storage.volume",
        "region": None,
        "kind": "storage",
        "unit": "gb_hour",
        "currency": "USD",
        "unit_price": Decimal("0.00040000"),
        "valid_from": None,
        "valid_to": None,
    },
    {
        "sku": "pool-1",
        "region": None,
        "kind": "pool",
        "unit": "hour",
        "currency": "CNY",
        "unit_price": Decimal("0.00000000"),
        "valid_from": None,
        "valid_to": None,
    },
]


def written(folder: Path, text: str | bytes, name: str = "prices.csv") -> Path:
    """A file with that text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, *lines: str) -> list[str]:
    """What is said to be wrong with a price book of these lines under its header."""
    return problems_of(folder, "\n".join((HEADER, *lines)))


def problems_of(folder: Path, text: str | bytes) -> list[str]:
    path = written(folder, text)
    with pytest.raises(UsageError) as error:
        prices.read(path)
    beginning = f"the price book {path} needs mending: "
    assert str(error.value).startswith(beginning)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(beginning).split("; ")


def without_ids(table: pa.Table) -> list[dict[str, object]]:
    return table.drop_columns("price_id").to_pylist()


def test_a_price_book_is_read_to_the_last_decimal(tmp_path: Path) -> None:
    table = prices.read(written(tmp_path, BOOK))
    assert table.schema == prices.PRICES
    assert without_ids(table) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\xef\xbb\xbf" + BOOK.encode(), id="byte order mark"),
        pytest.param(BOOK.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(BOOK.replace("\n", "\n\n  \n,,,,,,,\n"), id="blank lines"),
        pytest.param("# of 2024\n" + BOOK.replace("\n", '\n  # why, and "who\n'), id="comments"),
        pytest.param(BOOK.rstrip("\n"), id="no end of line"),
        pytest.param(BOOK.replace(",", " , "), id="spaces"),
        pytest.param(BOOK.replace("modelarts.kat1.xlarge", '"modelarts.kat1.xlarge"'), id="quotes"),
        pytest.param(BOOK.replace("sku,region", "SKU,Region"), id="capitals in the header"),
        pytest.param(BOOK.replace("3.50", "+3.5000000000"), id="zeros beyond the decimals"),
        pytest.param(BOOK.replace("0.0004", "4E-4"), id="an exponent"),
        pytest.param("\n".join([HEADER, *reversed(BOOK.splitlines()[1:])]), id="another order"),
    ],
)
def test_how_a_file_is_written_does_not_matter(text: str | bytes, tmp_path: Path) -> None:
    assert prices.read(written(tmp_path, text)).equals(prices.read(written(tmp_path, BOOK, "plain.csv")))


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    turned = "\n".join(",".join(reversed(line.split(","))) for line in BOOK.splitlines())
    assert without_ids(prices.read(written(tmp_path, turned))) == ROWS


def test_every_problem_is_named_with_its_line(tmp_path: Path) -> None:
    assert problems(
        tmp_path,
        "",
        "# a comment",
        ",,compute,hour,CNY,1,,",
        "a,,computing,hour,CNY,1,,",
        "a,,compute,hours,CNY,1,,",
        "a,,storage,hour,CNY,1,,",
        "a,,compute,gb_hour,CNY,1,,",
        "a,,compute,hour,cny,1,,",
        "a,,compute,hour,CNY,-1,,",
        "a,,compute,hour,CNY,free,,",
        "a,,compute,hour,CNY,,,",
        "a,,compute,hour,CNY,1_000,,",
        "a,,compute,hour,CNY,NaN,,",
        "a,,compute,hour,CNY,0.123456789,,",
        "a,,compute,hour,CNY,100000000,,",
        "a,,compute,hour,CNY,1,2024-02-30,",
        "a,,compute,hour,CNY,1,20240201,",
        "a,,compute,hour,CNY,1,2024-03-01,2024-03-01",
        'a,,compute,hour,CNY,"1',
        "a,,compute,hour,CNY,1",
        "a,,compute,hour,€,-1,x,",
    )[:20] == [
        "line 4 sku is empty",
        "line 5 kind 'computing' is unknown: it is one of compute, storage, pool",
        "line 6 unit 'hours' is unknown: it is hour for compute and pool, gb_hour for storage",
        "line 7 unit hour does not go with storage: it is gb_hour",
        "line 8 unit gb_hour does not go with compute: it is hour",
        "line 9 currency 'cny' is not a currency: three capital letters, such as CNY",
        "line 10 unit_price '-1' is negative",
        "line 11 unit_price 'free' is not a number: write it as 3.5",
        "line 12 unit_price '' is not a number: write it as 3.5",
        "line 13 unit_price '1_000' is not a number: write it as 3.5",
        "line 14 unit_price 'NaN' is not a number: write it as 3.5",
        "line 15 unit_price '0.123456789' has more than 8 decimals",
        "line 16 unit_price '100000000' is too large: it has to be below 100000000",
        "line 17 valid_from '2024-02-30' is not a date: write it as 2024-02-29",
        "line 18 valid_from '20240201' is not a date: write it as 2024-02-29",
        "line 19 valid_to 2024-03-01 is not after valid_from 2024-03-01: it is the first day no longer valid",
        "line 20 is not CSV: unexpected end of data",
        "line 21 has 6 cells under 8 columns",
        "line 22 currency '€' is not a currency: three capital letters, such as CNY",
        "line 22 unit_price '-1' is negative",
    ]


def test_of_many_problems_twenty_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    found = problems(tmp_path, *["a,,compute,hour,CNY,-1,,"] * 23)
    assert (len(found), found[-1]) == (21, "and 3 more")


def test_a_long_cell_is_cut_in_the_message(tmp_path: Path) -> None:
    [found] = problems(tmp_path, f"a,,compute,hour,CNY,{'x' * 100_000},,")
    assert found == f"line 2 unit_price '{'x' * 40}…' is not a number: write it as 3.5"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1 has no column sku, region, kind, unit, currency, unit_price, valid_from, valid_to"),
        ("\n# nothing\nsku,price\na,1\n", "line 3 has no column region, kind, unit, currency"),
        (BOOK.replace("currency", "sku"), "line 1 has no column currency"),
        (BOOK.replace("currency", "currency,sku"), "line 1 has the column sku twice"),
    ],
)
def test_a_header_without_the_columns_is_named(text: str, told: str, tmp_path: Path) -> None:
    assert problems_of(tmp_path, text)[0].startswith(told)


def test_columns_that_are_not_read_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wider = "\n".join(f"{line},{'note,' if not n else 'x,'}" for n, line in enumerate(BOOK.splitlines()))
    path = written(tmp_path, wider)
    with caplog.at_level(logging.WARNING, "demeter"):
        assert without_ids(prices.read(path)) == ROWS
    assert caplog.messages == [f"the price book {path} has columns that are not read: 'note'"]


def test_rows_that_overlap_are_refused_with_both_lines(tmp_path: Path) -> None:
    assert problems(
        tmp_path,
        "a,,compute,hour,CNY,1,2024-01-01,2024-02-01",
        "a,,compute,hour,CNY,2,2024-02-01,",
        "a,,compute,hour,CNY,3,2024-05-05,2024-05-06",
        "b,,compute,hour,CNY,1,,",
        "b,,compute,hour,CNY,2,,2024-01-01",
        "c,,compute,hour,CNY,1,2024-01-01,2024-12-31",
        "c,,compute,hour,CNY,1,2024-02-01,2024-03-01",
        "c,,compute,hour,CNY,1,2024-12-30,2025-01-01",
    ) == [
        "line 4 overlaps line 3: both are valid from 2024-05-05 on",
        "line 6 overlaps line 5: both are valid from the beginning on",
        "line 8 overlaps line 7: both are valid from 2024-02-01 on",
        "line 9 overlaps line 7: both are valid from 2024-12-30 on",
    ]


def test_a_row_that_repeats_another_is_refused(tmp_path: Path) -> None:
    row = "a,,compute,hour,CNY,1,2024-01-01,"
    assert problems(tmp_path, row, row, row.replace(",1,", ",1.0,")) == [
        "line 3 repeats line 2",
        "line 4 repeats line 2",
    ]


def test_what_differs_in_region_kind_or_currency_does_not_overlap(tmp_path: Path) -> None:
    rows = (
        "a,,compute,hour,CNY,1,,",
        "a,cn-north-4,compute,hour,CNY,2,,",
        "a,,pool,hour,CNY,3,,",
        "a,,compute,hour,USD,4,,",
        "a,,storage,gb_hour,CNY,5,,",
    )
    assert prices.read(written(tmp_path, "\n".join((HEADER, *rows)))).num_rows == len(rows)


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.booleans(), st.booleans()),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_a_book_is_refused_exactly_if_a_day_has_two_prices(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int, bool, bool]]
) -> None:
    spans = [(first, end, is_open, ends) for first, end, is_open, ends in spans if first < end]
    bounds = [(0 if is_open else first, 99 if ends else end) for first, end, is_open, ends in spans]
    doubled = any(sum(first <= day < end for first, end in bounds) > 1 for day in range(100))
    lines = [
        "a,,compute,hour,CNY,1,"
        + ("" if is_open else f"2024-{first:02}-01")
        + ","
        + ("" if ends else f"2024-{end:02}-01")
        for first, end, is_open, ends in spans
    ]
    path = written(tmp_path_factory.mktemp("book"), "\n".join((HEADER, *lines)))
    try:
        prices.read(path)
    except UsageError:
        assert doubled
    else:
        assert not doubled


def test_a_parquet_book_is_the_same_as_a_csv_one(tmp_path: Path) -> None:
    csv = prices.read(written(tmp_path, BOOK))
    rows = pa.Table.from_pylist(ROWS, schema=csv.drop_columns("price_id").schema)
    texts = pa.table(
        {name: [None if v is None else str(v) for v in rows[name].to_pylist()] for name in rows.column_names}
    )
    floats = rows.set_column(5, "unit_price", rows["unit_price"].cast(pa.float64()))
    instants = rows.set_column(6, "valid_from", rows["valid_from"].cast(pa.timestamp("us")))
    for table in (csv, rows, texts, floats, instants):
        pq.write_table(table, tmp_path / "prices.parquet")
        assert prices.read(tmp_path / "prices.parquet").equals(csv)


def test_a_parquet_book_is_judged_by_its_rows(tmp_path: Path) -> None:
    rows = [
        {**ROWS[0], "unit_price": 3.5},
        {**ROWS[4], "unit_price": float("nan")},
        {**ROWS[4], "unit_price": -0.1},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "prices.parquet")
    with pytest.raises(
        UsageError, match=r"mending: row 2 unit_price 'nan' is not a number.*; row 3 unit_price '-0.1' is neg"
    ):
        prices.read(tmp_path / "prices.parquet")
    noon = [{**ROWS[0], "valid_from": datetime(2024, 1, 1, 12)}]  # noqa: DTZ001 (a file's own)
    pq.write_table(pa.Table.from_pylist(noon), tmp_path / "prices.parquet")
    with pytest.raises(UsageError, match="row 1 valid_from '2024-01-01 12:00:00' is not a date"):
        prices.read(tmp_path / "prices.parquet")
    pq.write_table(pa.table({"sku": ["a"]}), tmp_path / "prices.parquet")
    with pytest.raises(UsageError, match="mending: it has no column region, kind"):
        prices.read(tmp_path / "prices.parquet")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory: check its path"),
        (b"sku,\xff\xfe", "is not UTF-8 text: save it as CSV in UTF-8"),
        (b"PAR1 and no more", "is broken as Parquet: "),
    ],
)
def test_a_file_that_cannot_be_read_says_so(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "book"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"^the price book .*book {told}") as error:
        prices.read(path)
    assert error.value.exit_status == 2


def test_a_price_keeps_its_id_for_as_long_as_its_key_and_dates_stay(tmp_path: Path) -> None:
    before = prices.read(written(tmp_path, BOOK))["price_id"].to_pylist()
    dearer = prices.read(written(tmp_path, BOOK.replace(",3.50,", ",3.60,")))["price_id"].to_pylist()
    moved = prices.read(written(tmp_path, BOOK.replace(",2024-01-01,", ",2023-01-01,")))[
        "price_id"
    ].to_pylist()
    assert len(set(before)) == len(ROWS)
    assert dearer == before
    assert len(set(moved) - set(before)) == 1
    assert before[0] == "5bcfff8000c3"  # the same on every machine and in every version


def test_a_version_is_that_of_the_rows_alone(tmp_path: Path) -> None:
    book = prices.read(written(tmp_path, BOOK))
    turned = prices.read(written(tmp_path, "\n".join([HEADER, *reversed(BOOK.splitlines()[1:])])))
    dearer = prices.read(written(tmp_path, BOOK.replace(",3.50,", ",3.60,")))
    assert prices.version(book) == prices.version(turned) == prices.version(book.take([4, 3, 2, 1, 0]))
    assert len({prices.version(table) for table in (book, dearer, prices.empty(), prices.empty_rates())}) == 4


def test_a_lake_keeps_every_version_and_gives_back_the_current_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake").root
    assert prices.load(lake).equals(prices.empty())
    book = prices.read(written(tmp_path, BOOK))
    dearer = prices.read(written(tmp_path, BOOK.replace(",3.50,", ",3.60,")))
    versions = [prices.store(lake, table) for table in (book, dearer, dearer)]
    assert versions == [prices.version(table) for table in (book, dearer, dearer)]
    assert prices.load(lake).equals(dearer)
    assert sorted(path.name for path in (tmp_path / "lake" / "prices").iterdir()) == sorted(
        ["current.json", *(f"{version}.parquet" for version in set(versions))]
    )
    assert prices.store(lake, book) == versions[0]
    assert prices.load(lake).equals(book)


def test_a_stored_book_that_was_altered_is_not_used(tmp_path: Path) -> None:
    book = prices.read(written(tmp_path, BOOK))
    stored = tmp_path / "prices" / f"{prices.store(Lake(tmp_path).root, book)}.parquet"
    pq.write_table(book.slice(1), stored)
    with pytest.raises(UsageError, match=r"current\.json leads to no table as it was stored"):
        prices.load(Lake(tmp_path).root)
    stored.unlink()
    with pytest.raises(UsageError, match=r"current\.json leads to no table as it was stored"):
        prices.load(Lake(tmp_path).root)
    (tmp_path / "prices" / "current.json").write_text(json.dumps([]))
    with pytest.raises(UsageError, match=r"current\.json leads to no table as it was stored"):
        prices.load(Lake(tmp_path).root)


RATES = """\
from_currency,to_currency,rate,valid_from,valid_to
USD,CNY,7.1,,2024-03-01
USD,CNY,7.2,2024-03-01,
CNY,USD,0.1388888889,,
"""


def test_exchange_rates_are_read_to_the_last_decimal_and_kept(tmp_path: Path) -> None:
    table = prices.read_rates(written(tmp_path, RATES))
    assert (table.schema, [tuple(row.values()) for row in table.to_pylist()]) == (
        prices.RATES,
        [
            ("CNY", "USD", Decimal("0.1388888889"), None, None),
            ("USD", "CNY", Decimal("7.1000000000"), None, date(2024, 3, 1)),
            ("USD", "CNY", Decimal("7.2000000000"), date(2024, 3, 1), None),
        ],
    )
    assert prices.load_rates(Lake(tmp_path).root).equals(prices.empty_rates())
    prices.store_rates(Lake(tmp_path).root, table)
    assert prices.load_rates(Lake(tmp_path).root).equals(table)
    assert prices.load(Lake(tmp_path).root).equals(prices.empty())


def test_exchange_rates_that_cannot_be_are_refused(tmp_path: Path) -> None:
    lines = ("CNY,CNY,1,,", "USD,CNY,0,,", "USD,CNY,0.00000000001,,", "EUR,CNY,7,,", "EUR,CNY,8,2024-01-01,")
    path = written(tmp_path, "\n".join((RATES.splitlines()[0], *lines)))
    with pytest.raises(UsageError) as error:
        prices.read_rates(path)
    assert str(error.value).removeprefix(f"the list of exchange rates {path} needs mending: ").split(
        "; "
    ) == [
        "line 2 converts CNY to itself: take the row out",
        "line 3 rate '0' makes all costs 0: an exchange rate is above 0",
        "line 4 rate '0.00000000001' has more than 10 decimals",
        "line 6 overlaps line 5: both are valid from 2024-01-01 on",
    ]


def test_the_examples_in_the_documentation_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "prices.md").read_text(encoding="utf-8")
    prices_example, rates_example = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    assert prices.read(written(tmp_path, prices_example)).num_rows == 6
    assert prices.read_rates(written(tmp_path, rates_example)).num_rows == 2


def test_a_book_that_lost_skus_is_taken_and_they_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake, file = Lake(tmp_path / "lake"), tmp_path / "prices.csv"
    lake.create()
    settings = Settings(lake=str(lake.path), prices=str(file))
    file.write_text(BOOK)
    take_prices(settings, lake)
    assert caplog.messages == []
    file.write_text("\n".join(BOOK.splitlines()[:3]) + "\n")
    for _ in range(2):
        take_prices(settings, lake)
    assert caplog.messages == [
        f"the price book {file} no longer has modelarts.storage.volume, pool-1: what ran on that, "
        "whenever it was, has no price now"
    ]
    assert prices.load(lake.root).num_rows == 2
