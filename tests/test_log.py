"""Every line of the log in JSON says which command, project, sweep and build it is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lakes import MIDNIGHT, lives
from support import environment_for

from etl import stages
from etl.cli import main
from etl.emulator import Answer, Clock, Emulator
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.marts import published

SWEEP_ID = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{6}")
# What is noted of a run, beside the time, the level and the message.
NOTED = ("command", "project_id", "sweep_id", "build_id")


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as running:
        yield running


def ran(environment: dict[str, str], *arguments: str) -> tuple[Result, list[dict[str, Any]]]:
    """What came of a command, and the lines of its log."""
    result = CliRunner().invoke(main, ["--log-format", "json", *arguments], env=environment)
    return result, [json.loads(line) for line in result.stderr.splitlines()]


def noted(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in NOTED if name in line}


def test_lines_of_a_sweep_name_it_whichever_thread_they_come_from(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.client._wait_seconds", lambda state: 0.0)
    service.faults.fail_next = [Answer(503, b"{}")]
    environment = environment_for(service, tmp_path / "lake", DEMETER_ATTEMPTS="2")
    result, [retry] = ran(environment, "sweep", "--pool", "pool-1")
    assert result.exit_code == 0
    [sweep_id] = SWEEP_ID.findall(result.stdout)
    said = {"command": "sweep", "project_id": service.project_id, "sweep_id": sweep_id}
    filtered = "de_type=Notebook&show_self=false&pool_id=pool-1"
    assert {name: value for name, value in retry.items() if name != "time"} == {
        "level": "warning",
        "message": "the service answered 503; trying again in 0.0 s",
        "scope": filtered,
        "filter": filtered,
        **said,
    }


def test_the_line_that_tells_of_an_error_is_one_of_the_log_with_its_exit_status(
    service: Emulator, tmp_path: Path
) -> None:
    service.faults.total_count = 11
    result, lines = ran(environment_for(service, tmp_path / "lake"), "sweep")
    assert result.exit_code == 3
    [sweep_id] = SWEEP_ID.findall(result.stdout)
    assert {**lines[-1], "time": ""} == {
        "time": "",
        "level": "error",
        "message": lines[-1]["message"],
        "command": "sweep",
        "project_id": service.project_id,
        "sweep_id": sweep_id,
        "exit_status": 3,
    }
    assert lines[-1]["message"].startswith("the listing is incomplete: ")


def test_breaches_of_the_contract_name_the_sweep(service: Emulator, tmp_path: Path) -> None:
    service.documents = [{**each, "novelty": 1} for each in lives(0)]
    environment = environment_for(service, tmp_path / "lake", DEMETER_CONTRACT="warn")
    result, lines = ran(environment, "sweep")
    [sweep_id] = SWEEP_ID.findall(result.stdout)
    assert lines
    assert {line.get("sweep_id") for line in lines} == {sweep_id}


def test_lines_of_a_build_name_it_as_its_folder_is_named(service: Emulator, tmp_path: Path) -> None:
    environment = environment_for(service, tmp_path / "lake", DEMETER_TZ="UTC")
    for _ in range(2):
        result, lines = ran(environment, "-v", "run")
        service.clock.advance(hours=1)
    assert result.exit_code == 0
    built = published(Lake(tmp_path / "lake"))
    [sweep_id] = SWEEP_ID.findall(result.stdout)
    whole = {"command": "run", "project_id": service.project_id, "sweep_id": sweep_id}
    last = lines[-1]
    assert last["message"].startswith("demeter run took ")
    assert noted(last) == whole | {"build_id": built.memory if built else ""}
    assert [noted(line) for line in lines if line["message"].startswith("commit took")] == [whole]


def test_a_trace_of_where_an_error_came_from_stands_in_its_line(tmp_path: Path) -> None:
    result, [*_, line, last] = ran({"DEMETER_LAKE": str(tmp_path / "none")}, "-v", "build")
    assert result.exit_code == 2
    assert line["trace"].startswith("Traceback")
    assert (noted(last), last["exit_status"]) == ({"command": "build"}, 2)


def test_nothing_is_noted_of_a_run_that_is_over(service: Emulator, tmp_path: Path) -> None:
    ran(environment_for(service, tmp_path / "lake"), "sweep")
    assert (stages.present(), dict(stages.about())) == (None, {})
