"""What the pages tell a new user to type works as it stands there, from the first line to the last."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl.cli import main
from etl.emulator import Clock, Emulator, Fleet, FleetSettings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SECTION = "## From settings to a schedule"


def blocks(page: str, section: str = "") -> list[tuple[str, str]]:
    """The blocks of code of a page, or of a section of it, each with its language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if section:
        text = text.partition(f"{section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


def typed(page: str, section: str = "") -> str:
    """What one types, from the first block to the last; what a crontab has is run as cron runs it."""
    lines = []
    for language, text in blocks(page, section):
        if language == "sh":
            lines.append(text)
        if language == "crontab":
            command = text.strip().split(maxsplit=5)[5]
            lines.append(f"sleep 1; env -i HOME=\"$HOME\" PATH=/usr/bin:/bin sh -c '{command}'\n")
    return "\n".join(lines)


def run(script: str, home: Path) -> str:
    """What a shell prints that is told all of it, in ~/demeter, until a line fails."""
    place = home / "demeter"
    place.mkdir(exist_ok=True)
    if not (place / ".venv").exists():
        (place / ".venv").symlink_to(BIN.parent)
    environment = {"HOME": str(home), "PATH": f"{BIN}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    output = home / "output"
    with output.open("w") as file:
        shell = subprocess.Popen(  # noqa: S603 -- what stands on the pages of this checkout
            ["bash", "-euc", script],  # noqa: S607
            cwd=place,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        # The service stays in the background, so it is the end of the shell that is waited for.
        shell.wait(120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    said = output.read_text(encoding="utf-8")
    assert shell.returncode == 0, said
    return said


def test_a_new_user_comes_from_settings_to_a_schedule_by_the_readme_alone(tmp_path: Path) -> None:
    said = run(typed("README.md", SECTION), tmp_path)
    place = tmp_path / "demeter"
    assert len(re.findall(r"^sweep \S+ is complete", said, re.MULTILINE)) == 1
    assert re.search(r"^sweep \S+ is complete", (place / "demeter.log").read_text(), re.MULTILINE)
    assert re.search(r"^running_hours +[\d.]+ +[\d.]+ +[\d.]+$", said, re.MULTILINE)
    assert (place / "users.csv").read_text().count("\n") > 5
    assert (place / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (place / "demeter.toml").stat().st_mode & 0o777 == 0o600
    assert (place / "token").read_text() not in said


def test_an_operator_comes_step_by_step_to_a_run(tmp_path: Path) -> None:
    said = run(typed("docs/tutorial-operator.md"), tmp_path)
    assert len(re.findall(r"^sweep \S+ is complete", said, re.MULTILINE)) == 2
    assert "summary.csv" in said
    assert "usage_by_user.csv" in said


def test_the_settings_for_the_real_service_are_settings(tmp_path: Path) -> None:
    [text] = [text for language, text in blocks("docs/tutorial-operator.md") if language == "toml"]
    (tmp_path / "demeter").mkdir()
    (tmp_path / "demeter" / "demeter.toml").write_text(text)
    assert run("demeter report || test $? -eq 2\ndemeter schema > /dev/null", tmp_path)


def test_a_client_is_tested_against_the_emulated_service_as_its_page_says() -> None:
    [text] = [text for language, text in blocks("docs/emulator.md") if language == "python"]
    found: dict[str, Any] = {}
    exec(text, found)  # noqa: S102
    assert len(found["page"]["instances"]) == 50 < found["page"]["total_count"]


@pytest.mark.parametrize("page", ["docs/tutorial-finance.md", "docs/tutorial-analyst.md"])
def test_what_a_tutorial_writes_is_written(page: str, tmp_path: Path, demo_lake: Path) -> None:
    (tmp_path / "demeter").mkdir()
    shutil.copytree(demo_lake, tmp_path / "demeter" / "demeter-demo")
    script = typed(page)
    run(script or ":", tmp_path)
    for name in re.findall(r"-o (\S+)", script):
        assert (tmp_path / "demeter" / name).stat().st_size > 100


PAGES = ("analyst", "focus", "operator", "prices", "reports")
# What wants another place, another terminal, or something that only a reader has; tests/test_help.py and
# tests/notebooks have examples of those.
ELSEWHERE = re.compile(
    r"REGION|/etc/|/opt/|emulate|explore|notify|init|completion|reconcile|explain|forget|--pool|sql +#|sql$"
)


def lines() -> list[str]:
    """The commands of the pages, one a line, that can be run over any lake, with any service."""
    found = [
        line.partition("  #")[0].strip()
        for page in PAGES
        for language, text in blocks(f"docs/{page}.md")
        if language == "sh"
        for line in text.splitlines()
    ]
    return sorted({line for line in found if line.startswith("demeter ") and not ELSEWHERE.search(line)})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_lake: Path) -> Path:
    """A directory with the lake of the demo, and a query."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(demo_lake, folder / "lake")
    (folder / "weekly.sql").write_text("select count(*) from instances")
    return folder


def test_the_pages_have_commands_that_can_be_run() -> None:
    assert len(lines()) > 25


@pytest.mark.parametrize("line", lines())
def test_a_command_of_a_page_does_what_it_says(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    later = FleetSettings(instances=30, start="2026-10-16T00:00:00Z", days=0.1)
    with Emulator(Fleet(later), Clock.at(later.start)) as service:
        monkeypatch.setenv("DEMETER_LAKE", "lake")
        monkeypatch.setenv("DEMETER_ENDPOINT", service.endpoint)
        monkeypatch.setenv("DEMETER_PROJECT_ID", service.project_id)
        monkeypatch.setenv("DEMETER_TOKEN", service.token)
        monkeypatch.setenv("DEMETER_BSS_ENDPOINT", service.endpoint)
        monkeypatch.setenv("DEMETER_REGION", "region-1")
        result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
