"""A FOCUS export keeps the rules that its validator does not look at, and months add up whatever happens."""

from __future__ import annotations

import csv
import json
import re
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from books import Books, Row, charge, disk, seen
from click.testing import CliRunner
from hypothesis import Phase, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from validate_focus import judge

from etl import demo, focus, prices, views
from etl.build import build
from etl.cli import main
from etl.errors import UsageError
from etl.lake import Lake
from etl.settings import Settings


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


SEEN = (
    seen("instances", "2026-09-30T10:00", instance_id="DE-1", name="before", profile_id="p-1"),
    seen("instances", "2026-10-02T10:00", instance_id="DE-1", name="after", profile_id="p-1"),
    seen("profiles", "2026-09-30T10:00", profile_id="p-1", de_type="Notebook"),
    seen("provisions", "2026-09-30T10:00", profile_id="p-1", image_name="mul-kernel", image_tag="3.1"),
    seen("users", "2026-09-30T10:00", user_id="u-ann", user_name="ann"),
    seen("pools", "2026-09-30T10:00", pool_id="pool-1", type="USER_DEFINED"),
    seen("flavors", "2026-09-30T10:00", flavor="gpu.4", gpu_count=3, cpu_count=8, memory_bytes=64 * 2**30),
    seen("flavors", "2026-10-02T10:00", flavor="gpu.4", gpu_count=4, cpu_count=8, accelerator_kind="V100"),
    seen("flavors", "2026-10-02T10:00", flavor="npu.1", npu_count=1, cpu_count=24),
    *(
        seen(
            "attributes",
            "2026-09-30T10:00",
            owner_kind="profile",
            owner_id="p-1",
            map="labels",
            key=key,
            value=value,
        )
        for key, value in (("team", "vision"), ('a "b"', "{1}"), ("modelarts:ai_project", "not ours"))
    ),
)
MEASURES = (
    *("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "PricingCurrencyEffectiveCost"),
    *("PricingQuantity", "ConsumedQuantity"),
)
BOUNDS = ("x_CostLower", "x_CostUpper", "x_RunSecondsLower", "x_RunSecondsPoint", "x_RunSecondsUpper")
GPU = charge(
    **{
        "hours": "0.3333333333",
        "price": "1.12345678",
        "flavor": "gpu.4",
        "sku": "gpu.4",
        "promo_type": "NoDiscount",
    },
    **{"accelerator_count": 4, "cpu_count": 8, "memory_bytes": 64 * 2**30, "workspace_id": "0"},
    **{"ai_project_id": "ai-1", "pool_id": "pool-1", "is_dedicated": True},
    running_seconds_min=Decimal("1000.5"),
    running_seconds=Decimal("1200.000001"),
    billed_cost_min=Decimal("0.31"),
    billed_cost_max=Decimal("0.45"),
    running_seconds_max=Decimal(1400),
)
FREE = charge(instance_id="DE-2", promo_type="Free", is_waived=True)
ALONE = charge(instance_id="DE-5", flavor="npu.1", sku="npu.1", price_id="price-4", cpu_count=24)
SHARED = charge(
    **{"instance_id": "DE-3", "flavor": "npu.8", "sku": "npu.1", "price_id": "price-4"},
    **{"billing_flavor": "npu.1", "billing_ratio": 8, "cpu_count": 192},
)
ABROAD = charge(
    instance_id="DE-4", price="7.2", price_currency="USD", exchange_rate=Decimal("7.2"), price_id="price-3"
)
ALL = (
    GPU,
    FREE,
    ALONE,
    SHARED,
    ABROAD,
    disk(),
    disk(date(2026, 10, 2)),
    charge(date(2026, 10, 31), price="0"),
)


@pytest.fixture
def rows(books: Books) -> list[Row]:
    """An export with every kind of charge."""
    books.see(*SEEN)
    books.keep(ALL, until=date(2026, 10, 31))
    return books.export()


def test_a_charge_is_told_in_full(books: Books) -> None:
    books.see(*SEEN)
    books.keep([GPU], until=date(2026, 10, 5))
    [row] = books.export()
    at = {
        "BillingPeriodStart": datetime(2026, 9, 30, 16, tzinfo=UTC),
        "BillingPeriodEnd": datetime(2026, 10, 31, 16, tzinfo=UTC),
        "ChargePeriodStart": datetime(2026, 9, 30, 16, tzinfo=UTC),
        "ChargePeriodEnd": datetime(2026, 10, 1, 16, tzinfo=UTC),
    }
    assert {name: row.pop(name) for name in at} == at
    details = {
        "CoreCount": 8,
        "GpuCount": 4,
        "InstanceType": "gpu.4",
        "MemorySize": 64,
        "x_AcceleratorType": "V100",
    }
    assert json.loads(row.pop("SkuPriceDetails")) == details
    tags = {"team": "vision", 'a "b"': "{1}", "modelarts:ai_project": "ai-1"}
    assert json.loads(row.pop("Tags")) == tags
    cost, price = Decimal("0.374485593295884774"), Decimal("1.12345678")
    assert row == {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "BillingAccountId": "project",
        "BillingAccountName": None,
        "BillingCurrency": "CNY",
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": "Running time on gpu.4",
        "ChargeFrequency": "Usage-Based",
        "CommitmentDiscountStatus": None,
        "ConsumedQuantity": Decimal("1200.000001"),
        "ConsumedUnit": "Seconds",
        **dict.fromkeys(("ContractedUnitPrice", "ListUnitPrice"), price),
        **dict.fromkeys(("PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice"), price),
        "PricingCurrencyEffectiveCost": cost,
        "InvoiceId": None,
        "InvoiceIssuerName": "Huawei Cloud",
        "PricingCategory": "Standard",
        "PricingCurrency": "CNY",
        "PricingQuantity": Decimal("0.3333333333"),
        "PricingUnit": "Hours",
        "ProviderName": "Huawei Cloud",
        "PublisherName": "Huawei Cloud",
        "RegionId": None,
        "RegionName": None,
        "ResourceId": "DE-1",
        "ResourceName": "before",
        "ResourceType": "Notebook",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "ModelArts",
        "ServiceSubcategory": "AI Platforms",
        "SkuId": "gpu.4",
        "SkuMeter": "Running time",
        "SkuPriceId": "price-1",
        "SubAccountId": "0",
        "SubAccountName": "0",
        "x_AcceleratorCount": 4,
        "x_AiProjectId": "ai-1",
        "x_BillingFlavor": None,
        "x_BillingRatio": None,
        "x_Charge": "compute",
        "x_CoreCount": 8,
        "x_CostLower": Decimal("0.31"),
        "x_CostUpper": Decimal("0.45"),
        "x_ExchangeRate": Decimal(1),
        "x_Flavor": "gpu.4",
        "x_ImageName": "mul-kernel:3.1",
        "x_IsComplete": True,
        "x_IsEstimate": True,
        "x_IsWaived": False,
        "x_MemoryBytes": 64 * 2**30,
        "x_PoolId": "pool-1",
        "x_PoolType": "USER_DEFINED",
        "x_PriceBookVersion": prices.version(prices.empty()),
        "x_PromoType": "NoDiscount",
        "x_RunSecondsLower": Decimal("1000.5"),
        "x_RunSecondsPoint": Decimal("1200.000001"),
        "x_RunSecondsUpper": Decimal(1400),
        "x_UsageDate": date(2026, 10, 1),
        "x_UserId": "u-ann",
        "x_UserName": "ann",
        "x_Volume": None,
    }


@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_columns_are_named_and_ordered_as_focus_says(books: Books, version: str) -> None:
    books.keep(ALL, until=date(2026, 10, 5))
    books.export(version=version)
    names = pq.read_schema(books.file("parquet", version=version)).names
    own = [name for name in names if name.startswith("x_")]
    assert names == [*sorted(set(names) - set(own)), *sorted(own)]
    assert [name for name in names if not re.fullmatch(r"(x_)?([A-Z][a-z]+)+", name) or len(name) > 50] == []


def test_focus_1_4_differs_in_the_names_of_the_provider_and_the_invoice_detail(books: Books) -> None:
    books.keep([GPU], until=date(2026, 10, 5))
    [old], [new] = books.export(version="1.2"), books.export(version="1.4")
    gone, come = set(old) - set(new), set(new) - set(old)
    assert gone == {"ProviderName", "PublisherName"}
    assert come == {"ServiceProviderName", "HostProviderName", "InvoiceDetailId"}
    assert (new["ServiceProviderName"], new["HostProviderName"], new["InvoiceDetailId"]) == (
        "Huawei Cloud",
    ) * 2 + (None,)
    assert {name: new[name] for name in set(old) - gone} == {name: old[name] for name in set(old) - gone}


def test_a_price_times_its_quantity_is_the_cost_to_the_last_decimal(rows: list[Row]) -> None:
    assert len(rows) == len(ALL)
    wrong = [
        row
        for row in rows
        if row["PricingQuantity"] * row["ListUnitPrice"] != row["ListCost"]
        or row["PricingQuantity"] * row["ContractedUnitPrice"] != row["ContractedCost"]
        or row["PricingQuantity"] * row["PricingCurrencyContractedUnitPrice"]
        != row["PricingCurrencyEffectiveCost"]
        or row["ContractedCost"] != row["BilledCost"]
    ]
    assert wrong == []


def test_a_running_time_is_told_whatever_else_is_unknown(rows: list[Row]) -> None:
    times = [
        (row["x_RunSecondsPoint"], row["ConsumedQuantity"]) for row in rows if row["x_Charge"] == "compute"
    ]
    assert [ran for ran, consumed in times if ran is None or ran != consumed] == []


def test_what_has_no_value_is_null_and_never_an_empty_text(rows: list[Row]) -> None:
    assert [
        (name, value) for row in rows for name, value in row.items() if value in ("", "Not Applicable")
    ] == []
    sets = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency", "PricingQuantity")
    assert [row for row in rows for name in sets if row[name] is None] == []
    pairs = (
        ("RegionId", "RegionName"),
        ("SubAccountId", "SubAccountName"),
        ("ConsumedQuantity", "ConsumedUnit"),
    )
    assert [row for row in rows for one, two in pairs if (row[one] is None) is not (row[two] is None)] == []


def test_maps_are_flat_json_objects_with_known_keys(rows: list[Row]) -> None:
    defined = {"CoreCount", "GpuCount", "InstanceType", "MemorySize"}
    details = [json.loads(row["SkuPriceDetails"]) for row in rows if row["SkuPriceDetails"]]
    tags = [json.loads(row["Tags"]) for row in rows if row["Tags"]]
    assert [key for each in details for key in each if key not in defined and not key.startswith("x_")] == []
    assert [
        each for each in (*details, *tags) if any(isinstance(value, dict | list) for value in each.values())
    ] == []
    assert details
    assert tags


def test_a_price_belongs_to_one_sku_and_means_the_same_for_all(rows: list[Row]) -> None:
    for name in ("SkuId", "SkuPriceDetails", "ListUnitPrice", "SkuMeter"):
        meanings = {(row["SkuPriceId"], row["SkuId"], row[name]) for row in rows if row["ListUnitPrice"]}
        assert len({(price, sku) for price, sku, _ in meanings}) == len(meanings), name


def test_a_flavor_that_is_billed_as_several_of_another_is_told_by_what_one_of_those_holds(
    rows: list[Row],
) -> None:
    [row] = [row for row in rows if row["ResourceId"] == "DE-3"]
    assert json.loads(row["SkuPriceDetails"]) == {"CoreCount": 24, "InstanceType": "npu.1", "x_NpuCount": 1}
    assert (row["PricingQuantity"], row["ConsumedQuantity"], row["x_BillingRatio"]) == (8, 3600, 8)
    assert (row["x_Flavor"], row["x_CoreCount"]) == ("npu.8", 192)


def test_no_label_passes_for_a_tag_of_the_provider(rows: list[Row]) -> None:
    [row] = [row for row in rows if row["ResourceId"] == "DE-1" and row["x_UsageDate"] == date(2026, 10, 31)]
    assert json.loads(row["Tags"]) == {"team": "vision", 'a "b"': "{1}"}


def test_units_and_categories_are_of_those_that_focus_lists(rows: list[Row]) -> None:
    units = {(row["x_Charge"], row["PricingUnit"], row["ConsumedUnit"]) for row in rows}
    assert units == {("compute", "Hours", "Seconds"), ("storage", "GB-Hours", "GB-Hours")}
    kinds = {(row["ServiceName"], row["ServiceCategory"], row["ServiceSubcategory"]) for row in rows}
    assert kinds == {("ModelArts", "AI and Machine Learning", "AI Platforms")}


def test_what_is_waived_shows_its_worth_and_costs_nothing(rows: list[Row]) -> None:
    [row] = [row for row in rows if row["ResourceId"] == "DE-2"]
    assert (row["ListCost"], row["BilledCost"], row["ContractedUnitPrice"]) == (Decimal("2.5"), 0, 0)
    assert (row["ChargeDescription"], row["x_IsWaived"]) == (
        "Running time on cpu.2u, waived: a free flavor",
        True,
    )


def test_a_price_in_another_currency_is_told_in_both(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(
        "sku,region,kind,unit,currency,unit_price,valid_from,valid_to\ncpu.2u,,compute,hour,USD,1,,\n"
    )
    book = prices.read(path)
    prices.store(books.lake.root, book)
    books.keep([{**ABROAD, "price_id": book["price_id"][0].as_py()}], until=date(2026, 10, 5))
    [row] = books.export()
    assert (row["BillingCurrency"], row["ListUnitPrice"], row["ListCost"]) == (
        "CNY",
        Decimal("7.2"),
        Decimal("7.2"),
    )
    told = (row["PricingCurrency"], row["PricingCurrencyListUnitPrice"], row["PricingCurrencyEffectiveCost"])
    assert told == ("USD", 1, 1)
    assert row["x_PriceBookVersion"] == prices.version(book)


def test_issuer_account_and_region_come_from_the_settings(tmp_path: Path) -> None:
    named = {"provider": "Cloud of ours", "service": "Notebooks", "billing_account": "acc-7"}
    books = Books(
        tmp_path, **named, billing_account_name="Research", region="cn-north-4", region_name="Beijing 4"
    )
    books.keep([GPU], until=date(2026, 10, 5))
    [row] = books.export()
    columns = (
        "ProviderName",
        "ServiceName",
        "BillingAccountId",
        "BillingAccountName",
        "RegionId",
        "RegionName",
    )
    assert [row[name] for name in columns] == [*named.values(), "Research", "cn-north-4", "Beijing 4"]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "Europe/Berlin", "America/New_York"])
def test_periods_are_days_and_months_of_the_billing_zone(tmp_path: Path, zone: str) -> None:
    books = Books(tmp_path, tz=zone)
    every = [charge(date(2026, 10, 1) + timedelta(number)) for number in range(31)]
    books.keep(every, until=date(2026, 10, 31))
    rows = sorted(books.export(), key=lambda row: row["ChargePeriodStart"])
    local = ZoneInfo(zone)
    starts = [row["ChargePeriodStart"].astimezone(local) for row in rows]
    assert starts == [datetime(2026, 10, day, tzinfo=local) for day in range(1, 32)]
    ends = [row["ChargePeriodEnd"] for row in rows]
    assert ends == [*(row["ChargePeriodStart"] for row in rows[1:]), rows[0]["BillingPeriodEnd"]]
    assert {(row["BillingPeriodStart"], row["BillingPeriodEnd"]) for row in rows} == {(starts[0], ends[-1])}


def test_the_csv_says_what_the_parquet_file_says(books: Books, rows: list[Row]) -> None:
    with books.file("csv").open(encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file))
    assert [dict(row) for row in told] == [
        {name: as_csv(value) for name, value in row.items()} for row in rows
    ]


def as_csv(value: object) -> str:
    """A value as it stands in the CSV file: plain numbers, times in UTC with Z, nothing for null."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


@pytest.mark.parametrize("name", ["=1+1", 'a "b", c', "two\nlines", "环境 名", " spaced ", "NULL", "'"])
def test_a_name_reaches_the_csv_as_its_user_wrote_it(books: Books, name: str) -> None:
    books.see(seen("instances", "2026-09-30T10:00", instance_id="DE-1", name=name))
    books.keep([charge()], until=date(2026, 10, 5))
    books.export()
    with books.file("csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["ResourceName"] == name


def test_a_new_name_leaves_the_charges_before_it_alone(books: Books) -> None:
    books.see(*SEEN)
    books.keep([charge(date(2026, 10, day)) for day in (1, 2, 3)], until=date(2026, 10, 5))
    assert [row["ResourceName"] for row in books.export()] == ["before", "after", "after"]


def test_a_charge_from_before_the_first_sighting_has_the_first_name(books: Books) -> None:
    books.see(*SEEN)
    books.keep([charge(date(2026, 9, 29))], until=date(2026, 10, 5))
    [row] = books.export("2026-09")
    assert (row["ResourceName"], row["x_ImageName"], row["x_UserName"]) == ("before", "mul-kernel:3.1", "ann")


def test_usage_without_a_price_is_left_out_and_listed(books: Books) -> None:
    unknown = [
        charge(date(2026, 10, day), price=None, sku="npu.1", instance_id=name)
        for day, name in ((1, "a"), (1, "b"), (2, "a"))
    ]
    books.keep([*unknown, charge(), charge(date(2026, 11, 1), price=None)], until=date(2026, 11, 2))
    assert [row["SkuId"] for row in books.export()] == ["cpu.2u"]
    assert books.exported.content.unpriced == [focus.Unpriced("npu.1", "compute", 3, 2)]
    metadata = json.loads(books.file("metadata.json").read_text())
    assert metadata["x_Delivery"]["Unpriced"] == [
        {"Sku": "npu.1", "Charge": "compute", "ChargeCount": 3, "DayCount": 2}
    ]


@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_the_metadata_defines_every_column_of_the_files(books: Books, version: str) -> None:
    books.keep(ALL, until=date(2026, 10, 5))
    books.export(version=version)
    metadata = json.loads(books.file("metadata.json", version=version).read_text())
    found = metadata["Schema"] if version == "1.2" else metadata["Schema"][0]
    file = pq.read_schema(books.file("parquet", version=version))
    defined = {each["ColumnName"]: each for each in found["ColumnDefinition"]}
    assert list(defined) == file.names
    assert found["FocusVersion"] == version
    kinds = {
        "DECIMAL": lambda kind: pa.types.is_decimal(kind) or pa.types.is_integer(kind),
        "STRING": pa.types.is_string,
        "JSON": pa.types.is_string,
        "DATETIME": lambda kind: kind.tz == "UTC",
        "BOOLEAN": pa.types.is_boolean,
        "DATE": pa.types.is_date,
    }
    wrong = [name for name, each in defined.items() if not kinds[each["DataType"]](file.field(name).type)]
    assert wrong == []
    decimals = {
        name: (each["NumericPrecision"], each["NumberScale"])
        for name, each in defined.items()
        if each["DataType"] == "DECIMAL" and pa.types.is_decimal(file.field(name).type)
    }
    assert decimals == {
        name: (file.field(name).type.precision, file.field(name).type.scale) for name in decimals
    }
    assert defined["Tags"] == {
        "ColumnName": "Tags",
        "DataType": "JSON",
        "ProviderTagPrefixes": ["modelarts:"],
    }


def test_a_schema_keeps_its_id_and_its_date_until_it_changes(books: Books) -> None:
    books.keep(ALL, until=date(2026, 10, 5))
    schemas = []
    for version in ("1.2", "1.2", "1.4"):
        books.export(version=version)
        found = json.loads(books.file("metadata.json", version=version).read_text())["Schema"]
        schemas.append(found if version == "1.2" else found[0])
    assert schemas[0] == schemas[1]
    assert schemas[0]["SchemaId"] != schemas[2]["SchemaId"]


def test_an_empty_month_is_a_file_with_the_same_columns(books: Books) -> None:
    books.keep([charge()], until=date(2026, 10, 5))
    books.export("2026-10")
    assert books.export("2026-09") == []
    empty, full = (pq.read_schema(books.file("parquet", month)) for month in ("2026-09", "2026-10"))
    assert [(each.name, each.type) for each in empty] == [(each.name, each.type) for each in full]


def test_the_same_export_gives_the_same_bytes(books: Books) -> None:
    books.keep(ALL, until=date(2026, 10, 5))
    books.export()
    first = [path.read_bytes() for path in books.exported.paths]
    books.export()
    assert [path.read_bytes() for path in books.exported.paths] == first


def test_an_open_month_is_overwritten(books: Books) -> None:
    books.keep([charge()], until=date(2026, 10, 5))
    assert [row["BilledCost"] for row in books.export()] == [Decimal("2.5")]
    assert not books.exported.content.is_closed
    books.keep([charge(price="3")], until=date(2026, 10, 6))
    assert [(row["BilledCost"], row["ChargeClass"]) for row in books.export()] == [(3, None)]


def test_a_closed_month_stays_and_is_corrected_in_the_open_one(books: Books) -> None:
    september, october = charge(date(2026, 9, 30)), charge(date(2026, 10, 1))
    books.keep([september, october], until=date(2026, 10, 5))
    closed = books.export("2026-09")
    assert books.exported.content.is_closed
    books.keep([charge(date(2026, 9, 30), price="4", price_id="price-9"), october], until=date(2026, 10, 6))
    assert books.export("2026-09") == closed
    rows = books.export("2026-10")
    assert [row for row in rows if row["PricingQuantity"] * row["ListUnitPrice"] != row["ListCost"]] == []
    told = [
        (row["ChargeClass"], row["SkuPriceId"], row["BilledCost"], row["PricingQuantity"], row["x_UsageDate"])
        for row in rows
    ]
    assert told == [
        ("Correction", "price-1", Decimal("-2.5"), -1, date(2026, 9, 30)),
        ("Correction", "price-9", 4, 1, date(2026, 9, 30)),
        (None, "price-1", Decimal("2.5"), 1, date(2026, 10, 1)),
    ]
    assert {row["BillingPeriodStart"] for row in rows} == {datetime(2026, 9, 30, 16, tzinfo=UTC)}


def test_a_correction_tells_all_that_its_charge_told_but_the_difference(books: Books) -> None:
    books.see(*SEEN)
    september = {**GPU, "usage_date": date(2026, 9, 30), "price_currency": "USD"}
    books.keep([september], until=date(2026, 10, 5))
    [before] = books.export("2026-09")
    books.keep([{**september, "running_seconds_max": Decimal(1500)}], until=date(2026, 10, 5))
    [after] = books.export("2026-10")
    figures = dict.fromkeys((*MEASURES, *BOUNDS), Decimal(0)) | {"x_RunSecondsUpper": Decimal(100)}
    period = {name: after[name] for name in ("BillingPeriodStart", "BillingPeriodEnd")}
    assert period["BillingPeriodStart"] == before["BillingPeriodEnd"]
    assert after == before | figures | period | {"ChargeClass": "Correction"}


def test_a_correction_is_made_once(books: Books) -> None:
    books.keep([charge(date(2026, 9, 30))], until=date(2026, 10, 5))
    books.export("2026-09")
    known = [charge(date(2026, 9, 30), hours="3"), charge(date(2026, 10, 9)), charge(date(2026, 11, 1))]
    books.keep(known, until=date(2026, 11, 5))
    assert [row["ChargeClass"] for row in books.export("2026-11")] == [None]
    assert [row["BilledCost"] for row in books.export("2026-10")] == [5, Decimal("2.5")]
    assert [row["ChargeClass"] for row in books.export("2026-11")] == [None]


def test_what_changes_no_figure_is_no_correction(books: Books) -> None:
    books.see(*SEEN)
    books.keep([charge(date(2026, 9, 30)), disk(date(2026, 9, 30))], until=date(2026, 10, 5))
    books.export("2026-09")
    path = books.out / "prices.csv"
    path.write_text(
        "sku,region,kind,unit,currency,unit_price,valid_from,valid_to\nother,,compute,hour,CNY,1,,\n"
    )
    prices.store(books.lake.root, prices.read(path))
    assert books.export("2026-10") == []


def test_usage_that_gets_its_price_after_the_month_was_closed_is_a_correction(books: Books) -> None:
    books.keep([charge(date(2026, 9, 30), price=None)], until=date(2026, 10, 5))
    assert books.export("2026-09") == []
    books.keep([charge(date(2026, 9, 30))], until=date(2026, 10, 5))
    [row] = books.export("2026-10")
    assert (row["ChargeClass"], row["BilledCost"], row["ConsumedQuantity"]) == (
        "Correction",
        Decimal("2.5"),
        3600,
    )


def test_a_month_is_closed_only_when_every_project_is_covered_to_its_end() -> None:
    october = date(2026, 10, 1)
    covered = {
        (date(2026, 10, 31),): False,
        (date(2026, 11, 1),): True,
        (date(2026, 11, 1), date(2026, 10, 31)): False,
        (date(2026, 11, 8), date(2026, 10, 31)): True,
        (date(2026, 11, 1), date(2026, 9, 30)): True,
        (): False,
    }
    assert {last: focus.is_covered(last, october) for last in covered} == covered


@pytest.mark.parametrize(
    ("month", "version", "told"),
    [
        ("2026-13", "1.2", "not a month"),
        ("2026-1", "1.2", "not a month"),
        ("October", "1.2", "not a month"),
        ("2026-10", "1.0", "no FOCUS '1.0'"),
        ("2026-07", "1.2", "nothing is known of 2026-07"),
        ("2027-01", "1.2", "nothing is known of 2027-01"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(books: Books, month: str, version: str, told: str) -> None:
    books.keep([charge()], until=date(2026, 10, 5))
    with pytest.raises(UsageError, match=told):
        books.export(month, version)
    assert not books.out.exists()


def test_without_costs_there_is_no_export(books: Books) -> None:
    with pytest.raises(UsageError, match="demeter build"):
        books.export()


def test_a_directory_that_cannot_be_written_is_said_in_a_line(books: Books) -> None:
    books.keep([charge()], until=date(2026, 10, 5))
    books.out.write_text("a file")
    with pytest.raises(UsageError, match="name another directory"):
        books.export()


# A step: the prices known for three days (none: no price), how much further sweeps cover then, and
# the month that is exported before all the others are.
FIRST = date(2026, 8, 31)
DAYS = (FIRST, date(2026, 9, 15), date(2026, 10, 2))
STEP = st.tuples(
    st.lists(st.sampled_from([None, "1", "2.5", "0"]), min_size=3, max_size=3),
    st.sampled_from([0, 1, 15, 35]),
    st.integers(0, 3),
)


@budget(max_examples=4, phases=(Phase.explicit, Phase.generate))
@given(steps=st.lists(STEP, min_size=2, max_size=3))
def test_the_newest_files_of_all_months_add_up_to_what_is_known(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[list[str | None], int, int]]
) -> None:
    books, until = Books(tmp_path_factory.mktemp("books")), FIRST
    for known, later, hasty in steps:
        until += timedelta(later)
        charges = [
            charge(day, price=price, price_id=f"price-{price}")
            for day, price in zip(DAYS, known, strict=True)
            if day <= until
        ]
        books.keep(charges, until=until)
        months = [f"2026-{month:02}" for month in range(8, until.month + 1)]
        for month in (*months[hasty : hasty + 1], *months):
            books.export(month)
        assert totals(books) == {
            row["usage_date"]: (row["list_cost"], row["quantity"]) for row in charges if row["is_priced"]
        }


def totals(books: Books) -> dict[date, tuple[Decimal, Decimal]]:
    """What a consumer who keeps the newest file of each month finds for each day."""
    connection = duckdb.connect()
    found = connection.execute(
        """
        select x_UsageDate, sum(ListCost), sum(PricingQuantity) from read_parquet($1)
        group by all having sum(PricingQuantity) <> 0
        """,
        [str(books.out / "*.parquet")],
    ).fetchall()
    return {day: (cost, quantity) for day, cost, quantity in found}


def test_an_export_of_a_swept_fleet_has_every_charge_once(lake: Lake, tmp_path: Path) -> None:
    copy = Lake(shutil.copytree(lake.path, tmp_path / "lake"))
    build(Settings(prices=str(Path(demo.__file__).with_name("demo_prices.csv"))), copy)
    paths = focus.export(copy, Settings(), "2026-10", tmp_path / "out").paths
    with views.unlocked(copy) as connection:
        connection.execute(f"create view exported as from read_parquet('{paths[0]}')")
        [known, told] = connection.execute("""
            select count(*), sum(billed_cost), sum(list_cost), sum(quantity) from cost_daily where is_priced
            union all
            select count(*), sum(BilledCost), sum(ListCost), sum(PricingQuantity) from exported
        """).fetchall()
        [(ran,), (said,)] = connection.execute("""
            select sum(running_seconds) from usage_daily
            where sku in (select SkuId from exported where x_Charge = 'compute')
            union all select sum(x_RunSecondsPoint) from exported
        """).fetchall()
    assert told == known
    assert said == ran
    assert ran > 0


def test_the_command_prints_its_files_and_tells_what_to_know(books: Books) -> None:
    books.keep([charge(), charge(price=None, sku="npu.1", instance_id="DE-2")], until=date(2026, 10, 5))
    command = ["--lake", str(books.lake.path), "export", "focus", "--month", "2026-10", "-o", str(books.out)]
    result = CliRunner().invoke(main, [*command, "--focus-version", "1.4"])
    assert (result.exit_code, result.exception) == (0, None)
    assert result.stdout.split() == [
        str(books.file(ending, version="1.4")) for ending in ("parquet", "csv", "metadata.json")
    ]
    assert result.stderr.splitlines() == [
        "2026-10 is open, with 1 charges, 0 of them corrections of earlier months: "
        "the next export of it replaces these files",
        "left out for want of a price: 1 charges of npu.1 (compute) on 1 days",
    ]


PASSED = "Total: 578 | Pass: 284 | Fail: 1 | Skipped: 293\n❌ InvoiceId-C-005-C: FAIL (violations=6)\n"


@pytest.mark.parametrize(
    ("output", "is_wrong"),
    [
        (PASSED, False),
        (PASSED.replace("InvoiceId-C-005-C", "BilledCost-C-003-M"), True),
        (PASSED.replace("Fail: 1", "Fail: 2"), True),
        (PASSED.replace("Pass: 284", "Pass: 136"), True),
        ("FileNotFoundError: currency_codes.csv", True),
    ],
)
def test_the_validator_passes_only_where_nothing_but_the_invoice_fails(output: str, is_wrong: bool) -> None:
    assert bool(list(judge("file", output))) == is_wrong


def test_the_page_says_how_every_column_is_filled(rows: list[Row]) -> None:
    page = (Path(__file__).parents[1] / "docs/focus.md").read_text(encoding="utf-8")
    table = page.partition("### Columns")[2].partition("Names are those of the day")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(rows[0])
