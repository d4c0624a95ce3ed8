"""The notebooks run as scripts, in marimo and in Jupyter, and have the figures of the reports."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import marimo
import pytest
from conftest import FOLDER, environment

import etl
from etl.lake import Lake

MEASURES = ("running_hours_min", "running_hours", "running_hours_max", "list_cost")
MEASURES += ("billed_cost_min", "billed_cost", "billed_cost_max", "unpriced_hours")


def run(name: str, lake: Lake, **chosen: Any) -> Any:
    """What the cells of a notebook leave, run over a lake with what is chosen in its selectors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"{name}.py", "--lake", str(lake.path)])
        app: marimo.App = runpy.run_path(str(FOLDER / f"{name}.py"))["app"]
        _, left = app.run(defs=chosen or None)
    return SimpleNamespace(**left)


@pytest.fixture(scope="module")
def costs(demo: Lake) -> Any:
    """What the notebook on costs leaves where nothing is chosen."""
    return run("costs", demo)


def script(
    path: Path, *words: str, cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, str(path), *words],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


def sums(rows: Any, measures: tuple[str, ...] = MEASURES) -> list[Decimal]:
    """The sum of each measure, over what is known."""
    found = list(rows)
    return [sum((row[name] for row in found if row[name] is not None), Decimal(0)) for name in measures]


def test_a_notebook_is_a_script(notebook: Path, demo: Lake, tmp_path: Path) -> None:
    done = script(notebook, "--lake", str(demo.path), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_takes_its_lake_from_the_environment(notebook: Path, tmp_path: Path) -> None:
    done = script(notebook, cwd=tmp_path, DEMETER_LAKE=str(tmp_path / "none"))
    assert done.returncode == 1
    assert f"UsageError: there is no lake at {tmp_path / 'none'}" in done.stderr


def test_marimo_finds_nothing_to_mend(notebook: Path) -> None:
    command = [sys.executable, "-m", "marimo", "check", "--strict", str(notebook)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_tour_has_the_figures_of_the_reports(demo: Lake) -> None:
    tour = run("tour", demo)
    lake = etl.open_lake(demo.path)
    statuses = {row["status"]: row["instance_count"] for row in tour.statuses}
    inventory = {row["status"]: row["instance_count"] for row in lake.report("inventory_by_status")}
    assert statuses == inventory
    whole = lake.report("usage", by="day", from_="2026-10").rows()
    costs = {row["usage_date"]: row["billed_cost"] for row in tour.costs}
    assert costs == {row["usage_date"]: row["billed_cost"] for row in whole}
    hours = [row["running_hours"] for row in tour.hours]
    assert hours == [round(row["running_hours"], 2) for row in whole]
    assert tour.frame["billed_cost"].sum() == lake.report("summary").rows()[0]["billed_cost"] > 0


def test_every_part_of_the_costs_sums_to_the_summary(costs: Any, demo: Lake) -> None:
    summary = etl.open_lake(demo.path).report("summary", from_="2026-10")
    for part in (costs.totals, costs.by_day, costs.breakdown, costs.dearest):
        assert sums(part) == sums(summary)
    assert sums(summary)[MEASURES.index("billed_cost")] > 0
    assert {row["currency"] for row in costs.totals} <= {"CNY", None}


def test_what_is_chosen_is_what_is_counted(costs: Any, demo: Lake) -> None:
    lake = etl.open_lake(demo.path)
    period = {"from_": "2026-10-13", "to": "2026-10-14"}
    spender = lake.report("usage", by="user", **period).rows()[0]
    flavor = lake.report("usage", by="flavor", **period).rows()[0]
    for chosen, expected in (
        ({"user": [spender["user_id"]]}, spender),
        ({"flavor": [flavor["flavor"]]}, flavor),
    ):
        selectors = {name: SimpleNamespace(value=chosen.get(name, [])) for name in ("user", "pool", "flavor")}
        day = period["from_"]
        found = run(
            "costs",
            demo,
            **selectors,
            days=SimpleNamespace(value=(costs.datetime.date.fromisoformat(day),) * 2),
            by=SimpleNamespace(value=["flavor"], selected_key="flavor"),
        )
        assert sums(found.totals) == sums(found.breakdown) == sums([expected])
        assert {str(row["usage_date"]) for row in found.by_day} == {day}


def test_nobody_is_left_out_of_the_selectors(costs: Any, demo: Lake) -> None:
    lake = etl.open_lake(demo.path)
    for column, choices in (("user_id", costs.users), ("pool_id", costs.pools), ("flavor", costs.flavors)):
        charged = {row[column] or "" for row in lake.sql(f"select distinct {column} from cost_daily")}
        assert set(choices.values()) == charged


def test_the_fleet_has_the_figures_of_the_reports(demo: Lake) -> None:
    fleet = run("fleet", demo)
    lake = etl.open_lake(demo.path)
    quality = lake.report("data_quality").rows()
    assert fleet.facts["Forgotten"] == str(len(lake.report("forgotten", hours=24)))
    assert fleet.facts["Nothing will stop"] == str(len(lake.report("running_without_auto_stop")))
    assert fleet.facts["Failed"] == str(len(lake.report("failed_instances")))
    widest = max(row["bounds_percent"] for row in quality)
    assert fleet.facts["Width of the bounds, worst day, %"] == f"{widest:.1f}"
    assert fleet.facts["Last complete sweep (UTC)"] == "2026-10-13 21:00"
    assert fleet.quality.rows() == quality


@pytest.mark.parametrize("name", ["costs", "fleet"])
def test_of_a_lake_that_is_not_built_they_say_so(name: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.create()
    done = script(FOLDER / f"{name}.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_jupyter_notebook_is_the_tour_without_outputs(tmp_path: Path) -> None:
    kept = json.loads((FOLDER / "tour.ipynb").read_text(encoding="utf-8"))
    command = [
        "export",
        "ipynb",
        "--sort",
        "top-down",
        str(FOLDER / "tour.py"),
        "-o",
        str(tmp_path / "tour.ipynb"),
    ]
    subprocess.run([sys.executable, "-m", "marimo", "--quiet", *command], check=True)  # noqa: S603
    written = json.loads((tmp_path / "tour.ipynb").read_text(encoding="utf-8"))
    assert kept == written, "run `make notebooks`"
    code = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
    assert re.search(r"^# Tour of the tables", "".join(kept["cells"][0]["source"]))


def test_jupyter_runs_it_from_top_to_bottom(demo: Lake, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbmake",
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run(  # noqa: S603
        [*command, "-c", "/dev/null", str(FOLDER / "tour.ipynb")],
        env=environment(DEMETER_LAKE=str(demo.path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
