"""Many projects from one settings file: each is swept with its own settings, whatever becomes of others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import document, one_line

from etl import projects, query
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.errors import CheckFailed, IncompleteListing, LakeBusy, UsageError
from etl.lake import Lake
from etl.projects import projects_of
from etl.settings import Settings

IDS = {"vision": "a" * 32, "speech": "b" * 32, "robots": "c" * 32}


@pytest.fixture
def service() -> Iterator[Emulator]:
    """A service with three projects of one, two and three instances."""
    fleets = {
        project: Documents([document(each) for each in range(1, number + 1)])
        for number, project in enumerate(IDS.values(), start=1)
    }
    with Emulator(clock=Clock.at("2026-10-12T00:00:00Z"), fleets=fleets) as running:
        yield running


@pytest.fixture
def file(service: Emulator, tmp_path: Path) -> Path:
    """A settings file with a table for each, which signs in with a token of its own."""
    lines = [
        f'lake = "{tmp_path / "lake"}"',
        f'endpoint = "{service.endpoint}"',
        "attempts = 1\nrequests_per_second = 10000\ntz = 'UTC'",
    ]
    for name, project in IDS.items():
        (tmp_path / f"{name}-token").write_text(service.token_of(project))
        lines += [f'[projects.{name}]\nproject_id = "{project}"\ntoken_file = "{tmp_path / f"{name}-token"}"']
    path = tmp_path / "demeter.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def demeter(file: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["--settings", str(file), *arguments], env=environment)


def counts(tmp_path: Path) -> dict[str, int]:
    """How many instances the lake has of each project."""
    rows = query.run(Lake(tmp_path / "lake"), "select project_id, count(*) as n from instances group by all")
    return {row["project_id"]: row["n"] for row in rows.to_pylist()}


def settings_from(path: Path, **environment: str) -> dict[str, Settings]:
    return {each.name: each.settings() for each in projects_of(path, {}, environment)}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "demeter.toml"
    path.write_text(text)
    return path


def test_a_run_sweeps_every_project_and_builds_once(file: Path, tmp_path: Path) -> None:
    result = demeter(file, "run")
    assert result.exit_code == 0, result.output
    told = re.sub(r"sweep \S+", "sweep ID", result.stdout).splitlines()
    assert sorted(told[:3]) == [
        f"{name}: sweep ID is complete: {count} instance, {count} new, 0 changed, 0 gone, 0 quarantined"
        for name, count in (("robots", 3), ("speech", 2), ("vision", 1))
    ]
    assert sum(line.startswith("built ") for line in told) == 1
    assert counts(tmp_path) == dict(zip(IDS.values(), (1, 2, 3), strict=True))


def test_a_project_that_fails_stops_no_other_and_the_worst_status_is_that_of_the_run(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "vision-token").write_text("not-a-token")
    (tmp_path / "speech-token").unlink()
    result = demeter(file, "run")
    second, first, last = result.stderr.splitlines()
    assert first.startswith("demeter: vision: the service refused the credentials (401)")
    assert second.startswith(
        f"demeter: speech: {file}, [projects.speech], token_file: the file cannot be read"
    )
    assert last == "demeter: 2 of 3 projects failed: vision (5), speech (2); each is told of above"
    assert result.exit_code == 2
    assert counts(tmp_path) == {IDS["robots"]: 3}
    assert "built " in result.stdout


def test_where_no_project_can_be_swept_nothing_is_built(file: Path, tmp_path: Path) -> None:
    for name in IDS:
        (tmp_path / f"{name}-token").unlink()
    result = demeter(file, "run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert not (tmp_path / "lake").exists()


def test_what_mends_itself_is_not_as_bad_as_what_does_not() -> None:
    errors = [LakeBusy("7"), CheckFailed("4"), None, IncompleteListing("3"), UsageError("2")]
    assert str(projects.worst_of(errors)) == "2"
    assert str(projects.worst_of(errors[:4])) == "3"
    assert projects.worst_of([None]) is None
    assert [projects.worst(each) for each in ([], [0, 0], [0, 7], [7, 4, 6], [5, 1, 2])] == [0, 0, 7, 6, 1]


def test_a_check_is_of_every_project(file: Path, tmp_path: Path) -> None:
    assert demeter(file, "run").exit_code == 0
    (tmp_path / "speech-token").write_text("not-a-token")
    result = demeter(file, "check")
    found = re.findall(r"^(\w*) +(settings|source|lake) +(\w+) ", result.stdout, re.MULTILINE)
    assert [each for each in found if each[1] == "source"] == [
        ("vision", "source", "ok"),
        ("speech", "source", "fail"),
        ("robots", "source", "ok"),
    ]
    assert ("", "lake", "ok") in found
    assert result.exit_code == 4
    assert one_line(result) == "failed: source of speech; look at the detail of each"


def test_a_sweep_is_of_one_project_by_its_name_or_its_id(file: Path, tmp_path: Path) -> None:
    refused = demeter(file, "sweep")
    assert refused.exit_code == 2
    assert "name one with --project-id (vision, speech, robots)" in one_line(refused)
    for asked in ("robots", IDS["speech"]):
        assert demeter(file, "sweep", "--project-id", asked).exit_code == 0
    assert demeter(file, "sweep", DEMETER_PROJECT_ID=IDS["vision"]).exit_code == 0
    assert counts(tmp_path) == dict(zip(IDS.values(), (1, 2, 3), strict=True))


def test_a_name_that_is_no_projects_is_not_swept(file: Path, tmp_path: Path) -> None:
    result = demeter(file, "sweep", "--project-id", "visoin")
    assert (result.exit_code, one_line(result)) == (
        2,
        "the settings name no project 'visoin' (they name vision, speech, robots), nor is it an id",
    )
    assert not (tmp_path / "lake").exists()


def test_what_is_said_of_a_project_wins_and_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "limit = 10\nconcurrency = 1\n[projects.a]\nproject_id = 'A'\nlimit = 20\n"
        "[projects.b-2]\nproject_id = 'B'\nlimit = 20\n",
    )
    found = settings_from(path, DEMETER_LIMIT="30", DEMETER_CONCURRENCY="2", DEMETER_B_2__LIMIT="40")
    assert {name: (each.project_id, each.limit, each.concurrency) for name, each in found.items()} == {
        "a": ("A", 20, 2),
        "b-2": ("B", 40, 2),
    }


def test_a_project_with_a_way_to_sign_in_takes_no_other_from_what_is_said_of_all(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "user = 'li'\ndomain = 'us'\niam_endpoint = 'https://iam.example.com'\n"
        "[projects.a]\nproject_id = 'A'\n[projects.b]\nproject_id = 'B'\nak = 'KEY'\n",
    )
    found = settings_from(path, DEMETER_PASSWORD="x", DEMETER_B__SK="y")
    assert [(each.user, each.password, each.ak, each.sk) for each in found.values()] == [
        ("li", "x", "", ""),
        ("", "x", "KEY", "y"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[projects.a]\nlake = 'x'", "sets lake for the project a, but all projects share it"),
        ("[projects.a]\ntoken = 'x'", "holds the secret 'token'"),
        ("[projects]\nproject_id = 'x'", "has a project without a name: write [projects.NAME]"),
        ("[projects.'a b']\nlimit = 1", "names a project 'a b': take letters"),
        ("[projects.a-b]\n[projects.A_b]\n", "has the projects a-b and A_b: give one of them another name"),
        ("project_id = 'x'\n[projects.a]\n", "sets project_id beside tables of projects"),
        ("[projects.a]\nproject_id = 'x'\n[projects.b]\nproject_id = 'x'\n", "has the project x twice"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_before_anything_is_done(
    text: str, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    result = demeter(path, "run", DEMETER_LAKE=str(tmp_path / "lake"))
    assert (result.exit_code, one_line(result)[: len(f"{path} {said}")]) == (2, f"{path} {said}")
    assert not (tmp_path / "lake").exists()


def test_an_unknown_setting_of_a_project_fails_that_project(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text() + "colour = 'red'\n")
    result = demeter(file, "run")
    assert f"robots: {file}, [projects.robots] has an unknown setting 'colour'" in result.stderr
    assert (result.exit_code, set(counts(tmp_path))) == (2, {IDS["vision"], IDS["speech"]})


def test_a_signal_ends_the_wait_before_a_run_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from etl.cli import main; main()", "-v", "run"],
        env={**os.environ, "DEMETER_JITTER_SECONDS": "1e9", "DEMETER_LAKE": str(tmp_path / "lake")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "the run begins in " in process.stderr.readline()
    began = time.monotonic()
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    assert time.monotonic() - began < 30
    assert not (tmp_path / "lake").exists()
