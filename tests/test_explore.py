"""`demeter explore` serves the lake to who may read it, and notebooks find the lake that they are about."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import etl.demo
from etl import explore, serving
from etl.cli import main
from etl.demo import Demo
from etl.errors import UsageError
from etl.lake import Lake


@pytest.fixture(autouse=True)
def marimo(monkeypatch: pytest.MonkeyPatch) -> None:
    """marimo is there, as far as the command looks; none of these tests comes to run it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the process would have become: its arguments, its environment and its standard input."""
    found: dict[str, Any] = {}

    def become(program: str, words: list[str], environment: dict[str, str]) -> None:
        found.update(program=program, words=words, environment=environment)

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.setattr(serving, "say_to_stdin", lambda text: found.update(typed=text))
    return found


def demeter(*words: str, lake: Lake, **environment: str) -> Result:
    return CliRunner().invoke(main, ["--lake", str(lake.path), "explore", *words], env=environment)


def test_no_other_program_sees_the_token_and_no_notebook_a_credential(
    small_lake: Lake, became: dict[str, Any]
) -> None:
    result = demeter("--no-browser", lake=small_lake, DEMETER_TOKEN="secret", DEMETER_SK="secret")
    assert (result.exit_code, result.stdout) == (0, "")
    assert len(became["typed"]) >= 32
    assert not any(became["typed"] in word for word in became["words"])
    assert {name: value for name, value in became["environment"].items() if name.startswith("DEMETER")} == {
        "DEMETER_LAKE": str(small_lake.path)
    }


def test_the_notebooks_are_run_and_not_edited(small_lake: Lake, became: dict[str, Any]) -> None:
    demeter(lake=small_lake)
    assert "run" in became["words"]
    assert "edit" not in became["words"]
    served = [Path(word) for word in became["words"] if word.endswith(".py")]
    assert [path.stem for path in served] == list(explore.NOTEBOOKS)
    assert all(path.is_file() for path in served)


def test_each_command_has_a_token_of_its_own(small_lake: Lake, became: dict[str, Any]) -> None:
    tokens = set()
    for _ in range(3):
        demeter(lake=small_lake)
        tokens.add(became["typed"])
    assert len(tokens) == 3


def test_without_a_token_it_is_for_this_machine_alone(small_lake: Lake, became: dict[str, Any]) -> None:
    result = demeter("--no-token", "--no-browser", lake=small_lake)
    assert (result.exit_code, became["typed"]) == (0, "")
    assert "--no-token" in became["words"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 may be reached by other machines, unencrypted: give --expose"),  # noqa: S104
        (["--host", "demeter.example.com"], "demeter.example.com may be reached by other machines"),
        (["--host", "0.0.0.0", "--expose", "--no-token"], "--no-token is for this machine alone"),  # noqa: S104
        (["--port", "70000"], "127.0.0.1:70000 cannot be listened on"),
    ],
)
def test_what_would_let_others_in_is_refused(
    words: list[str], said: str, small_lake: Lake, became: dict[str, Any]
) -> None:
    result = demeter(*words, lake=small_lake)
    assert (result.exit_code, result.stdout, became) == (2, "", {})
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_other_machines_may_be_let_in_with_the_token(small_lake: Lake, became: dict[str, Any]) -> None:
    result = demeter("--host", "0.0.0.0", "--expose", lake=small_lake)  # noqa: S104
    assert result.exit_code == 0
    assert "--token" in became["words"]


def test_a_port_that_is_taken_is_told(small_lake: Lake, became: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = demeter("--port", str(taken.getsockname()[1]), lake=small_lake)
    assert (result.exit_code, became) == (2, {})
    assert "cannot be listened on: Address already in use; give another --port" in result.stderr


def test_without_marimo_it_says_what_to_install(small_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = demeter(lake=small_lake)
    assert result.exit_code == 2
    assert "run pip install 'demeter-etl[notebook]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_lake_it_says_so(tmp_path: Path, became: dict[str, Any]) -> None:
    result = demeter(lake=Lake(tmp_path / "none"))
    assert (result.exit_code, result.stdout, became) == (2, "", {})
    assert "there is no lake at" in result.stderr


@pytest.mark.parametrize("form", ["--lake={}", "--lake {}"])
def test_a_notebook_is_about_the_lake_among_its_words(
    form: str, small_lake: Lake, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMETER_LAKE", str(lake.path))
    assert explore.opened(["-f", "x", *form.format(small_lake.path).split()]).path == small_lake.path
    monkeypatch.setattr(sys, "argv", ["tour.py", *form.format(small_lake.path).split()])
    assert explore.opened().path == small_lake.path
    monkeypatch.setattr(sys, "argv", ["tour.py"])
    assert explore.opened().path == lake.path


def test_a_lake_that_is_named_and_not_there_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no lake at"):
        explore.opened(["--lake", "none"])
    with pytest.raises(UsageError, match="--lake wants a directory"):
        explore.opened(["--lake"])
    monkeypatch.setenv("DEMETER_LAKE", "none")
    with pytest.raises(UsageError, match="there is no lake at"):
        explore.opened([])
    assert list(tmp_path.iterdir()) == []


def test_without_any_a_notebook_is_about_the_demo_which_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(etl.demo, "Demo", lambda: Demo(days=1, every_minutes=480, instances=5))
    first = explore.opened([])
    assert first.path == tmp_path / "demeter-demo"
    swept = first.sql("select count(*) as sweep_count from sweeps").rows()
    assert swept == [{"sweep_count": 3}]
    assert explore.opened([]).sql("select count(*) as sweep_count from sweeps").rows() == swept
