"""Many projects are swept side by side; they share memory, requests and credentials, and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import document

from etl import query, sweeping
from etl.cli import main
from etl.emulator import ERRORS, Answer, Clock, Emulator
from etl.emulator.faults import Faults
from etl.emulator.rows import Documents
from etl.lake import Lake

pytestmark = pytest.mark.long

COUNT = 12


@pytest.fixture
def service() -> Iterator[Emulator]:
    """A service with projects of one instance, two, and so on."""
    fleets = {
        f"{number:032x}": Documents([document(each) for each in range(1, number + 1)])
        for number in range(1, COUNT + 1)
    }
    with Emulator(clock=Clock.at("2026-10-12T00:00:00Z"), fleets=fleets) as running:
        yield running


def settings(service: Emulator, tmp_path: Path, **others: str) -> dict[str, str]:
    """The settings with which a user finds all projects of the service."""
    return {
        "DEMETER_LAKE": str(tmp_path / "lake"),
        "DEMETER_ENDPOINT": service.endpoint,
        "DEMETER_IAM_ENDPOINT": service.endpoint,
        "DEMETER_DOMAIN": service.domain,
        "DEMETER_USER": service.user,
        "DEMETER_PASSWORD": service.password,
        "DEMETER_DISCOVER": "true",
        "DEMETER_REQUESTS_PER_SECOND": "10000",
        "DEMETER_ATTEMPTS": "1",
        "DEMETER_WORKERS": "2",
        **others,
    }


def swept(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["sweep", "--all", *arguments], env=environment)


def rows(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def counts(tmp_path: Path) -> dict[int, int]:
    """How many instances the lake has of each project."""
    found = query.run(Lake(tmp_path / "lake"), "select project_id, count(*) as n from instances group by all")
    return {int(row["project_id"], 16): row["n"] for row in found.to_pylist()}


def test_a_project_that_fails_in_whichever_way_stops_no_other(service: Emulator, tmp_path: Path) -> None:
    faults = {
        1: Faults(answer=ERRORS["token_invalid"]),
        2: Faults(answer=ERRORS["no_permission"]),
        3: Faults(answer=ERRORS["empty"]),
        4: Faults(answer=Answer(200, b"<html>")),
        5: Faults(total_count=500),
    }
    service.faults_of.update({f"{number:032x}": each for number, each in faults.items()})
    result = swept(settings(service, tmp_path), "--format", "json")
    assert result.exit_code == 5
    told = {int(row["project_id"], 16): row for row in rows(result)}
    ended = {number: row["exit_status"] for number, row in told.items()}
    assert ended == {1: "5", 2: "5", 3: "6", 4: "6", 5: "3"} | dict.fromkeys(range(6, COUNT + 1), "0")
    assert {number for number, row in told.items() if row["verdict"] == "complete"} == set(
        range(6, COUNT + 1)
    )
    assert counts(tmp_path) == {number: number for number in range(5, COUNT + 1)}
    last = result.stderr.splitlines()[-1]
    assert last == (
        "demeter: 5 of 12 projects failed: region-1 (5), region-1_project-1 (5), region-1_project-2 (6), "
        "region-1_project-3 (6), region-1_project-4 (3); each is told of above"
    )


def test_credentials_that_are_refused_are_not_tried_for_every_project(
    service: Emulator, tmp_path: Path
) -> None:
    key = {"DEMETER_USER": "", "DEMETER_AK": service.access_key.ak, "DEMETER_SK": "a-wrong-secret-key"}
    tables = "\n".join(f"[projects.p{n}]\nproject_id = '{n:032x}'" for n in range(1, COUNT + 1))
    (tmp_path / "demeter.toml").write_text(tables + "\n")
    environment = settings(service, tmp_path, DEMETER_DISCOVER="", **key)
    arguments = ["--settings", str(tmp_path / "demeter.toml"), "sweep", "--all", "--format", "json"]
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 5
    assert len(service.requests) == sweeping.MOST_IN_A_ROW
    said = [row["error"] for row in rows(result)]
    assert (
        sum(each.startswith("not tried: its credentials were refused 3 times") for each in said) == COUNT - 3
    )


def test_a_server_that_is_down_costs_its_attempts_for_a_few_projects(
    service: Emulator, tmp_path: Path
) -> None:
    service.faults = Faults(answer=ERRORS["empty"])
    result = swept(settings(service, tmp_path), "--format", "json")
    assert result.exit_code == 6
    said = [row["error"] for row in rows(result)]
    assert (
        sum(each.startswith("not tried: its server gave out 3 times in a row") for each in said) == COUNT - 3
    )


def test_all_sweeps_keep_to_one_rate_and_to_the_memory_together(service: Emulator, tmp_path: Path) -> None:
    result = swept(settings(service, tmp_path, DEMETER_REQUESTS_PER_SECOND="8"))
    assert result.exit_code == 0
    # IAM is asked for the list by a client of its own, before any sweep begins.
    paced = [each.started for each in service.requests[2:]]
    assert len(paced) >= 2 * COUNT
    assert (paced[-1] - paced[0]) >= (len(paced) - 1) / 8 - 0.5
    assert sweeping.share("1GB", 4) == "0.250000GB"
    assert sweeping.share("1.5 GiB", 2) == "0.750000GiB"


def test_a_worker_that_is_killed_costs_its_project_alone(service: Emulator, tmp_path: Path) -> None:
    service.faults_of[f"{3:032x}"] = Faults(slow_seconds=30)
    process = started(service, tmp_path)
    until_listed(service, 3)
    os.kill(one_that_waits(process.pid), signal.SIGKILL)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 3, said
    assert re.search(r"its sweep was killed \(SIGKILL\): look at the log of the machine", said)
    assert counts(tmp_path).keys() >= set(range(1, COUNT + 1)) - {3}


def test_a_signal_ends_the_sweeps_in_good_order(service: Emulator, tmp_path: Path) -> None:
    service.faults = Faults(slow_seconds=1)
    process = started(service, tmp_path)
    until_listed(service, 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGINT
    assert out.count(" is ") < COUNT
    verdicts = query.run(Lake(tmp_path / "lake"), "select distinct verdict from sweeps").to_pylist()
    assert {row["verdict"] for row in verdicts} <= {"failed", "complete"}


def started(service: Emulator, tmp_path: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from etl.cli import main; main()", "sweep", "--all"],
        env={**os.environ, **settings(service, tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_listed(service: Emulator, number: int) -> None:
    """Wait until a project is being listed."""
    for _ in range(600):
        if any(f"/v1/{number:032x}/" in each.path for each in list(service.requests)):
            return
        time.sleep(0.05)
    pytest.fail("the project is not listed")


def workers(pid: int) -> list[int]:
    """The workers that a process began."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def one_that_waits(pid: int) -> int:
    """The first worker of a process that is seen to wait."""
    for _ in range(10):
        for worker in workers(pid):
            if is_waiting(worker):
                return worker
    pytest.fail("no worker waits")


def is_waiting(pid: int) -> bool:
    """Whether a process does nothing for a while."""

    def spent() -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]

    before = spent()
    time.sleep(1)
    return spent() == before


def test_all_projects_may_be_one(service: Emulator, tmp_path: Path) -> None:
    one = settings(service, tmp_path, DEMETER_DISCOVER="", DEMETER_PROJECT_ID=f"{2:032x}")
    [row] = rows(swept(one, "--format", "json"))
    assert (row["project"], row["exit_status"], row["instance_count"]) == (f"{2:032x}", "0", "2")
    refused = CliRunner().invoke(main, ["sweep", "--format", "json"], env=one)
    assert refused.exit_code == 2
    assert "give --all as well" in refused.stderr
