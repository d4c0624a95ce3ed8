"""A figure is explained back to its sightings, its evidence and its price."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lakes import PROJECTS
from support import document, one_line, swept

from etl import explain, query
from etl.build import build
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.errors import UsageError
from etl.lake import Lake
from etl.settings import Settings

DAY = date(2026, 10, 12)
FIRST, SECOND = PROJECTS


def explained(lake: Lake, number: int, project_id: str = FIRST) -> dict[str, Any]:
    return explain.explain(lake, f"DE-{number}", DAY, project_id)


def told(lake: Lake, number: int) -> str:
    """The explanation for people, without the ids that are made by chance."""
    said = "\n".join(explain.lines(explained(lake, number)))
    return re.sub(r"\d{8}T\d+Z-\w{6}", "SWEEP", re.sub(r"price \w{12}", "price PRICE", said))


def run(lake: Lake, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--lake", str(lake.path), "explain", *arguments])


def test_a_day_of_a_stop_is_told_from_its_sightings_to_its_price(built_lake: Lake) -> None:
    assert told(built_lake, 1) == (
        "notebook-1 on 2026-10-12 (UTC)\n"
        "ran 6:00:00: at least 1:00:00, at most 12:00:00\n"
        "\n"
        "2026-10-12 00:00:00Z to 2026-10-12 01:00:00Z: 1:00:00\n"
        "    it was seen running, and no complete sweep until then saw it otherwise\n"
        "    before: RUNNING at 2026-10-12 00:00:00Z (updated_at 2026-10-11 23:00:00Z), sweep SWEEP\n"
        "\n"
        "2026-10-12 01:00:00Z to 2026-10-12 12:00:00Z: 5:00:00 (from 0:00:00 to 11:00:00)\n"
        "    it was modified in between: taken as the stop\n"
        "    before: RUNNING at 2026-10-12 00:00:00Z (updated_at 2026-10-11 23:00:00Z), sweep SWEEP\n"
        "    after: STOPPED at 2026-10-12 12:00:00Z (updated_at 2026-10-12 06:00:00Z), sweep SWEEP\n"
        "\n"
        "compute ascend.2: 6 hours x 10 CNY = 60 CNY list\n"
        "    billed 0 as its dedicated pool is billed as a whole\n"
        "    price PRICE: ascend.2 in any region, 10 CNY per hour from the beginning on"
    )


def test_the_arithmetic_is_told_of_every_kind_of_charge(built_lake: Lake) -> None:
    assert told(built_lake, 8).partition("compute")[2] == (
        " gpu: 48 hours (gpu.2 counts as 2) x 4 CNY = 192 CNY list\n"
        "    billed 192: at least 192, at most 192\n"
        "    price PRICE: gpu in any region, 4 CNY per hour from the beginning on\n"
        "\n"
        "storage modelarts.storage.volume: 120 GB-hours x 0.0014 CNY = 0.168 CNY list\n"
        "    billed 0.168: at least 0.168, at most 0.168\n"
        "    price PRICE: modelarts.storage.volume in any region, 0.0014 CNY per gb_hour "
        "from the beginning on"
    )
    assert "billed 0 as its flavor is free" in told(built_lake, 6)
    assert "compute odd.1: 24 hours, no price: the cost is not known" in told(built_lake, 9)
    assert "compute of an unknown flavor: 24 hours, no price" in told(built_lake, 2)


def test_a_price_in_another_currency_is_told_with_its_rate() -> None:
    price = {"price_id": "a1", "sku": "gpu", "region": "cn-north-4", "unit": "hour", "currency": "USD"}
    dates = {"valid_from": date(2026, 10, 1), "valid_to": date(2026, 11, 1), "unit_price": Decimal("2.50")}
    row = {
        "price": price | dates,
        "price_currency": "USD",
        "currency": "CNY",
        "exchange_rate": Decimal("7.10"),
    }
    assert explain._priced_by(row) == (
        "    price a1: gpu in cn-north-4, 2.5 USD per hour from 2026-10-01 until before 2026-11-01, "
        "7.1 CNY per USD"
    )


@pytest.mark.parametrize("number", range(1, 10))
@pytest.mark.parametrize("project", PROJECTS)
def test_the_pieces_add_up_to_the_figures_of_the_marts(number: int, project: str, built_lake: Lake) -> None:
    found = explained(built_lake, number, project)
    [used] = query.run(
        built_lake,
        "select coalesce(sum(running_seconds_min), 0) as low, coalesce(sum(running_seconds), 0) as middle, "
        "coalesce(sum(running_seconds_max), 0) as high from usage_daily "
        "where project_id = $project and instance_id = $instance and usage_date = $day",
        {"project": project, "instance": f"DE-{number}", "day": DAY},
    ).to_pylist()
    bounds = (found["running_seconds_min"], found["running_seconds"], found["running_seconds_max"])
    assert bounds == (used["low"], used["middle"], used["high"])
    for row in found["cost"]:
        price = row["price"]
        assert (price and price["price_id"]) == row["price_id"]
        if price:
            assert row["unit_price"] == price["unit_price"]
            assert row["list_cost"] == row["quantity"] * row["unit_price"]


def test_json_holds_the_whole_explanation(built_lake: Lake) -> None:
    result = run(built_lake, "DE-8", "--day", "2026-10-12", "--project-id", FIRST, "--format", "json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [piece["kind"] for piece in found["stretches"]] == ["seen", "unbroken"]
    assert found["stretches"][1]["before"]["status"] == found["stretches"][1]["after"]["status"] == "RUNNING"
    assert [row["charge"] for row in found["cost"]] == ["compute", "storage"]
    assert Decimal(found["cost"][0]["price"]["unit_price"]) == 4


def test_an_id_in_several_projects_has_to_be_told_apart(built_lake: Lake) -> None:
    result = run(built_lake, "DE-8", "--day", "2026-10-12")
    assert result.exit_code == 2
    assert one_line(result).endswith(f"give --project-id with one of {FIRST}, {SECOND}")


@pytest.mark.parametrize(("instance", "project"), [("DE-99", None), ("DE-8", "c" * 32)])
def test_what_was_never_seen_is_said_so(instance: str, project: str | None, built_lake: Lake) -> None:
    with pytest.raises(UsageError, match=f"no instance {instance} was ever seen"):
        explain.explain(built_lake, instance, DAY, project)


def test_a_lake_without_marts_says_what_to_run(lake: Lake) -> None:
    with pytest.raises(UsageError, match="run `demeter build` first"):
        explain.explain(lake, "DE-1", DAY)


def test_a_day_of_which_nothing_was_metered_has_no_figure(built_lake: Lake) -> None:
    result = run(built_lake, "DE-1", "--day", "2026-12-14", "--project-id", FIRST)
    assert (result.exit_code, result.stdout) == (2, "")
    assert one_line(result) == (
        "nothing was metered on 2026-12-14, so nothing is known of it: "
        "name a day from 2026-10-12 to 2026-10-13"
    )


def test_a_day_that_was_metered_in_part_says_so(lake_of_six_hours: Lake) -> None:
    found = explain.explain(lake_of_six_hours, str(document(1)["id"]), DAY)
    assert (found["day_seconds"], found["metered_seconds"]) == (86400, 6 * 3600)
    assert "only 6:00:00 of this day were metered" in explain.lines(found)


@pytest.fixture
def lake_of_six_hours(tmp_path: Path) -> Lake:
    """A lake of two sweeps six hours apart."""
    with Emulator.of_documents([document(1)], clock=Clock.at("2026-10-12T06:00:00Z")) as service:
        lake = Lake(tmp_path / "lake")
        swept(service, lake)
        service.clock.advance(hours=6)
        swept(service, lake)
    build(Settings(lake=str(lake.path), tz="UTC"), lake)
    return lake
