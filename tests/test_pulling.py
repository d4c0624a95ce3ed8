"""Prices come from the billing service into the price book, and what a user wrote stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import document, environment_for, one_line, swept

from etl import prices
from etl.cli import main
from etl.emulator import ERRORS, Clock, Emulator
from etl.emulator.billing import RATINGS_PATH
from etl.inquiry import MOST_PRODUCTS, Product, Quote, quotes, request
from etl.lake import Lake
from etl.page import BadPage
from etl.pricebook import Book

GOLDEN = Path(__file__).parent / "golden" / "inquiry"
KAT1, DISK = Product("modelarts.kat1.xlarge", "compute"), Product("modelarts.storage.volume", "storage")
CPU, FREE = "modelarts.vm.cpu.2u", "modelarts.vm.cpu.free"
HEADER = "sku,region,kind,unit,currency,unit_price,valid_from,valid_to"
DAY = "2026-10-12"
EVS = {"storage": {"type": "evs", "location": {"volume_size": 5}}}
TERMS = {"name": "eight", "billing_flavor": "modelarts.kat1.xlarge", "billing_params": 8}
DOCUMENTS = [
    document(1, spec=EVS),
    document(2, flavor="eight", flavor_details=TERMS),
    document(3, flavor=FREE),
]


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents(DOCUMENTS, Clock.at(datetime.now(UTC).isoformat(), speed=1)) as running:
        yield running


@pytest.fixture
def lake(service: Emulator, tmp_path: Path) -> Lake:
    """A lake that has seen three flavors and a disk."""
    lake = Lake(tmp_path / "lake")
    swept(service, lake)
    service.requests.clear()
    return lake


def pulled(service: Emulator, lake: Lake, *arguments: str, **others: str) -> Result:
    environment = environment_for(
        service,
        lake.path,
        **{
            "DEMETER_BSS_ENDPOINT": service.endpoint,
            "DEMETER_REGION": "cn-north-4",
            "DEMETER_PRICES": str(book(lake)),
            **others,
        },
    )
    return CliRunner().invoke(main, ["prices", "pull", "--since", DAY, *arguments], env=environment)


def book(lake: Lake) -> Path:
    return lake.path.parent / "prices.csv"


def results(result: Result) -> dict[str, str]:
    return {row["sku"]: row["result"] for row in json.loads(result.stdout)}


def told(lake: Lake) -> list[tuple[Any, ...]]:
    """The prices in the book: SKU, region, price, first day and end."""
    names = ("sku", "region", "unit_price", "valid_from", "valid_to")
    return [tuple(row[name] for name in names) for row in prices.read(book(lake)).to_pylist()]


def test_the_request_is_the_golden_one() -> None:
    body = request("5f0a1c2b3d4e4f60a1b2c3d4e5f60718", "cn-north-4", [KAT1, DISK])
    assert json.loads(body) == json.loads((GOLDEN / "request.json").read_text())


def test_the_golden_answer_is_read_by_its_ids_and_to_the_last_digit() -> None:
    found = quotes((GOLDEN / "response.json").read_bytes(), [KAT1, DISK])
    assert found == {KAT1: Quote(Decimal("12.0"), "CNY"), DISK: Quote(Decimal("0.0004"), "CNY")}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"currency": "CNY"}', b'{"error_code": "CBC.0999"}'])
def test_what_is_no_answer_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(BadPage):
        quotes(body, [KAT1])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"official_website_amount": None}, "the answer has no amount for it"),
        ({"official_website_amount": -1}, "its amount is no price"),
        ({"official_website_amount": "NaN"}, "its amount is no price"),
        ({"official_website_amount": 5, "measure_id": 3}, "its amount is in a unit that is not known"),
    ],
)
def test_an_amount_that_is_no_price_is_told_and_not_guessed(row: dict[str, Any], reason: str) -> None:
    said = {"currency": "CNY", "measure_id": 1, "product_rating_results": [{"id": "1", **row}]}
    assert quotes(json.dumps(said).encode(), [KAT1]) == {KAT1: Quote(None, reason=reason)}


def test_what_a_lake_has_seen_is_priced_and_the_rest_is_said(service: Emulator, lake: Lake) -> None:
    result = pulled(service, lake, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, f"are in {book(lake)}: 3 added, 1 unpriced\n")
    assert results(result) == {KAT1.sku: "added", CPU: "added", DISK.sku: "added", FREE: "unpriced"}
    first = date.fromisoformat(DAY)
    assert told(lake) == [
        (sku, "cn-north-4", Decimal(str(service.billing.prices[sku])), first, None)
        for sku in (KAT1.sku, DISK.sku, CPU)
    ]
    lines = book(lake).read_text().splitlines()
    assert lines[0] == f"{HEADER},source"
    assert all(",on-demand inquiry cn-north-4 2" in line for line in lines[1:])


def test_what_was_answered_is_not_asked_again_for_a_while(service: Emulator, lake: Lake) -> None:
    pulled(service, lake)
    service.requests.clear()
    assert set(results(pulled(service, lake, "--format", "json")).values()) == {"same", "unpriced"}
    assert [each.path for each in service.requests] == []
    pulled(service, lake, "--fresh")
    assert {each.path for each in service.requests} == {RATINGS_PATH}


def test_a_dry_run_tells_the_same_and_writes_nothing(service: Emulator, lake: Lake) -> None:
    dry = pulled(service, lake, "--dry-run", "--format", "json")
    assert not book(lake).exists()
    assert not (lake.path / "prices").exists()
    assert dry.stdout == pulled(service, lake, "--format", "json").stdout
    assert dry.stderr.startswith("would be in ")


def test_a_price_that_a_user_wrote_stays_unless_it_is_to_be_overwritten(
    service: Emulator, lake: Lake
) -> None:
    text = f"# Ours.\n{HEADER}\n\n# By contract\n{CPU},cn-north-4,compute,hour,CNY,9.50,2026-01-01,\n"
    book(lake).write_text(text)
    kept = pulled(service, lake, "--format", "json")
    [row] = [row for row in json.loads(kept.stdout) if row["sku"] == CPU]
    price = service.billing.prices[CPU]
    assert (row["result"], row["before"], row["note"]) == (
        "kept",
        "9.50",
        f"yours; the service says {price:g} CNY",
    )
    lines = book(lake).read_text().splitlines()
    assert lines[:5] == [
        "# Ours.",
        f"{HEADER},source",
        "",
        "# By contract",
        f"{CPU},cn-north-4,compute,hour,CNY,9.50,2026-01-01,,",
    ]
    assert results(pulled(service, lake, "--overwrite", "--format", "json"))[CPU] == "changed"
    first = date.fromisoformat(DAY)
    assert sorted((row for row in told(lake) if row[0] == CPU), key=lambda row: row[3]) == [
        (CPU, "cn-north-4", Decimal("9.5"), date(2026, 1, 1), first),
        (CPU, "cn-north-4", Decimal(str(price)), first, None),
    ]


def test_a_price_that_moved_holds_from_the_day_on_and_the_old_one_until_then(
    service: Emulator, lake: Lake
) -> None:
    pulled(service, lake, "--since", "2026-10-01")
    service.billing.prices[CPU] = 7.25
    result = pulled(service, lake, "--fresh", "--format", "json")
    assert results(result) == {KAT1.sku: "same", CPU: "changed", DISK.sku: "same", FREE: "unpriced"}
    ends = [row[2:] for row in told(lake) if row[0] == CPU]
    first, moved = date(2026, 10, 1), date.fromisoformat(DAY)
    assert ends[1] == (Decimal("7.25"), moved, None)
    assert ends[0][1:] == (first, moved)


def test_a_pulled_price_ends_where_one_that_is_known_beforehand_begins(service: Emulator, lake: Lake) -> None:
    book(lake).write_text(f"{HEADER}\n{CPU},cn-north-4,compute,hour,CNY,9.50,2027-01-01,\n")
    assert results(pulled(service, lake, "--format", "json"))[CPU] == "added"
    ends = sorted(row[3:] for row in told(lake) if row[0] == CPU and row[4])
    assert ends == [(date.fromisoformat(DAY), date(2027, 1, 1))]


def test_one_unknown_product_among_many_costs_no_other_its_price(service: Emulator, tmp_path: Path) -> None:
    flavors = [f"flavor-{number:03}" for number in range(MOST_PRODUCTS + 10)]
    service.documents = [document(number, flavor=flavor) for number, flavor in enumerate(flavors, start=1)]
    service.billing.prices = dict.fromkeys(flavors, 2.0)
    del service.billing.prices["flavor-007"]
    lake = Lake(tmp_path / "lake")
    swept(service, lake)
    service.requests.clear()
    found = results(pulled(service, lake, "--format", "json"))
    assert found == dict.fromkeys(flavors, "added") | {"flavor-007": "unpriced"}
    # Two batches, and the halves of the one that was refused.
    assert len(service.requests) < 16


def test_what_an_answer_leaves_out_is_unpriced(service: Emulator, lake: Lake) -> None:
    service.billing.left_out = {CPU}
    rows = {row["sku"]: row for row in json.loads(pulled(service, lake, "--format", "json").stdout)}
    assert (rows[CPU]["result"], rows[CPU]["note"]) == ("unpriced", "the answer leaves it out")
    assert rows[KAT1.sku]["result"] == "added"


def test_another_currency_is_kept_and_told(service: Emulator, lake: Lake) -> None:
    service.billing.currency = "USD"
    result = pulled(service, lake)
    assert "prices are in USD: a build wants exchange_rates to CNY" in result.stderr
    assert set(prices.read(book(lake))["currency"].to_pylist()) == {"USD"}


def test_throttling_is_waited_out(service: Emulator, lake: Lake) -> None:
    service.billing.fail_next = [ERRORS["busy"]]
    assert pulled(service, lake, DEMETER_ATTEMPTS="3").exit_code == 0
    assert len(told(lake)) == 3


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("no_permission", 5, "the billing service forbids the inquiry (403) ModelArts.0112"),
        ("empty", 6, "the service gave out: the service answered 503"),
    ],
)
def test_what_the_service_refuses_is_one_line_and_leaves_the_book_alone(
    service: Emulator, lake: Lake, answer: str, status: int, said: str
) -> None:
    service.billing.fail_next = [ERRORS[answer]]
    result = pulled(service, lake)
    assert (result.exit_code, one_line(result)[: len(said)]) == (status, said)
    assert not book(lake).exists()


def test_the_inquiry_is_signed_with_an_access_key(service: Emulator, lake: Lake) -> None:
    key = service.access_key
    result = pulled(service, lake, DEMETER_TOKEN="", DEMETER_AK=key.ak, DEMETER_SK=key.sk)
    assert result.exit_code == 0, result.stderr
    signed = [each for each in service.requests if each.path == RATINGS_PATH]
    assert all(each.headers["authorization"].startswith("SDK-HMAC-SHA256 ") for each in signed)
    assert len(told(lake)) == 3


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"DEMETER_BSS_ENDPOINT": ""}, "no bss_endpoint is set: set DEMETER_BSS_ENDPOINT"),
        ({"DEMETER_REGION": ""}, "the region of the project "),
        ({"DEMETER_PRICES": ""}, "no price book is named: name a file with -o, or set prices"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_asked(
    service: Emulator, lake: Lake, others: dict[str, str], said: str
) -> None:
    result = pulled(service, lake, **others)
    assert (result.exit_code, one_line(result)[: len(said)]) == (2, said)
    assert list(service.requests) == []


def test_a_book_that_is_parquet_or_wrong_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f"{HEADER}\n{CPU},,compute,hour,CNY,-1,,\n")
    with pytest.raises(prices.UsageError, match="is negative"):
        Book(path)
