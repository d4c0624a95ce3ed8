"""What the analyst's page says is so: its queries run, and its tables are the dictionary's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from etl import prompt, query, reports, schema
from etl.explore import NOTEBOOKS
from etl.lake import Lake

PAGE = (Path(__file__).parents[1] / "docs" / "analyst.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = PAGE) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(heading: str) -> str:
    """What stands under a heading of the page."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def cells(heading: str) -> list[tuple[str, ...]]:
    """The rows of the table under a heading of the page, without their backquotes."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [tuple(cell.strip().replace("`", "", 2) for cell in line.strip("|").split("|")) for line in lines]


@pytest.mark.parametrize("text", blocks("sql"))
def test_a_worked_query_has_an_answer(text: str, lake: Lake) -> None:
    assert query.run(lake, text).num_rows > 0


def test_there_are_ten_worked_queries() -> None:
    assert len(blocks("sql")) == 10


def test_running_instances_at_a_sweep_are_those_that_the_table_shows(lake: Lake) -> None:
    (text,) = [each for each in blocks("sql") if "running_count" in each]
    last = query.run(lake, text).to_pylist()[-1]
    now = query.run(
        lake,
        "select count(*) as instance_count, count(*) filter (where status = 'RUNNING') as running_count "
        "from instances",
    ).to_pylist()[0]
    assert {name: last[name] for name in now} == now
    assert now["running_count"] > 0


def test_the_tables_are_the_dictionarys() -> None:
    assert cells("Tables") == [tuple(row.values()) for row in schema.tables()]


def test_the_prompt_has_the_commands_that_are_told() -> None:
    told = set(re.findall(r"`(\.[a-z]+)", PAGE))
    assert told == set(prompt.COMMANDS)


def ran(under: str) -> dict[str, Any]:
    """What the blocks of Python under a heading leave, run beside a lake one after the other."""
    found: dict[str, Any] = {}
    for text in blocks("python", section(under)):
        exec(text, found)  # noqa: S102
    return found


def test_python_has_the_figures_of_the_reports(
    built_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lake").symlink_to(built_lake.path)
    monkeypatch.chdir(tmp_path)
    found = ran("From Python")
    asked = reports.Asked(since="2026-10", until="2026-11")
    expected = reports.run(built_lake, "usage_by_user", asked)["billed_cost"].to_pylist()
    assert found["costs"]["billed_cost"].tolist() == expected
    assert found["total"] == found["by_day"] > 0
    assert set(found["frame"]["status"]) == {"RUNNING"}
    assert found["spenders"].period == "2026-10-12 to 2026-10-12, both included"


def test_a_notebook_of_ones_own_shows_charts(
    built_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lake").symlink_to(built_lake.path)
    monkeypatch.chdir(tmp_path)
    found = ran("Notebooks")
    assert "Billed cost by day" in found["drawn"].html
    assert len(found["disks"]) == 2


def test_the_page_names_the_notebooks_that_are_served() -> None:
    told = re.findall(r"`(\w+)`", section("Notebooks").partition("\n\n")[0])
    assert told == list(NOTEBOOKS)


def test_other_programs_read_the_same_instances(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lake.path.parent)
    found = ran("Other programs")
    expected = set(query.run(lake, "select instance_id from instances")["instance_id"].to_pylist())
    assert set(found["instances"]["instance_id"]) == set(found["live"]["instance_id"]) == expected
    assert expected <= set(found["frame"]["instance_id"])
