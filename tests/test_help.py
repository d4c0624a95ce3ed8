"""The help of every command ends with examples, and they do what they show; a shell completes names."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from listeners import Webhook
from support import environment_for

from etl import reports, schema
from etl.cli import main
from etl.emulator import Clock, Emulator, Fleet, FleetSettings

pytestmark = pytest.mark.long

BILL = """resource_id,period_start,period_end,amount,Amount due (net),currency
DE-e1713090-b81d-11f1-804a-0255ac100007,2026-10-13,2026-10-14,29.49,29.49,CNY
"""


def examples(command: click.Command) -> list[str]:
    """The lines of the examples that the help of a command ends with."""
    last = inspect.cleandoc(command.help or "").split("\n\n")[-1]
    return last.removeprefix("\b\n").splitlines() if last.startswith("\b\n") else []


def run_by_bash(text: str) -> subprocess.CompletedProcess[str]:
    """What bash makes of a line."""
    words = [str(shutil.which("bash")), "-c", text]
    return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 -- the lines here


EVERY = [(name, line) for name, command in main.commands.items() for line in examples(command)]
# What goes on until it is told to end, and what is a matter of the shell.
SERVED = [line for name, line in EVERY if name == "emulate"]
OF_A_SHELL = [line for name, line in EVERY if name == "completion"]
OF_NOTEBOOKS = [line for name, line in EVERY if name == "explore"]  # `make test-notebooks` serves them
OF_SPARK = [line for _, line in EVERY if "--engine spark" in line]  # `make test-spark` has a cluster
ELSEWHERE = SERVED + OF_A_SHELL + OF_NOTEBOOKS + OF_SPARK
PLAIN = [line for _, line in EVERY if line not in ELSEWHERE]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the lake of a demo that swept seldom, a bill and a query."""
    directory = tmp_path_factory.mktemp("examples")
    arguments = ["--lake", str(directory / "demeter-demo"), "demo", "--every", "480"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    (directory / "october.csv").write_text(BILL)
    (directory / "weekly.sql").write_text("select count(*) from instances")
    (directory / ".config/fish/completions").mkdir(parents=True)
    return directory


@pytest.fixture
def here(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it to work in, with a service and a webhook that the environment names."""
    place = shutil.copytree(demo, tmp_path / "here")
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    later = FleetSettings(instances=30, start="2026-10-16T00:00:00Z", days=0.1)
    with Emulator(Fleet(later), Clock.at(later.start)) as service, Webhook() as webhook:
        others = {"DEMETER_BSS_ENDPOINT": service.endpoint, "DEMETER_REGION": "region-1"}
        others["DEMETER_WEBHOOK_URL"] = webhook.url
        given = environment_for(service, place / "demeter-demo", **others)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        yield place


@pytest.mark.parametrize("command", sorted(main.commands))
def test_the_help_of_a_command_ends_with_one_to_three_examples_of_it(command: str) -> None:
    found = examples(main.commands[command])
    assert 1 <= len(found) <= 3
    assert any(re.search(rf"\bdemeter (--\w+ \S+ )?{command}\b", line) for line in found)
    shown = CliRunner().invoke(main, [command, "--help"]).output.partition("Options:")[0]
    assert [line.strip() for line in shown.rstrip().splitlines()[-len(found) :]] == found


@pytest.mark.parametrize("line", PLAIN)
def test_an_example_does_what_it_shows(line: str, here: Path) -> None:
    words = shlex.split(line)
    settings = dict(word.split("=", 1) for word in words[: words.index("demeter")])
    result = CliRunner().invoke(main, words[words.index("demeter") + 1 :], env=settings)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("line", OF_A_SHELL)
def test_an_example_of_completion_is_taken_by_bash(line: str, here: Path) -> None:
    done = run_by_bash(line)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("line", OF_NOTEBOOKS)
def test_an_example_of_notebooks_says_what_to_install_for_them(line: str, here: Path) -> None:
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert result.exit_code == 2
    assert "pip install 'demeter-etl[notebook]'" in result.output


@pytest.mark.parametrize("line", OF_SPARK)
def test_an_example_of_spark_says_what_to_install_for_it(line: str, here: Path) -> None:
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert result.exit_code == 2
    assert "pip install 'demeter-etl[spark]'" in result.output


@pytest.mark.parametrize("line", SERVED)
def test_an_example_of_a_service_serves_until_it_is_told_to_end(line: str, here: Path) -> None:
    program = [sys.executable, "-c", "from etl.cli import main; main()", *shlex.split(line)[1:]]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- of this checkout
    assert process.stdout is not None
    assert process.stdout.readline().startswith("export DEMETER_ENDPOINT=http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 1, -signal.SIGINT)


# Completion.


def completed(*words: str) -> list[str]:
    """What a shell offers for the last of these words."""
    found = ShellComplete(main, {}, "demeter", "_DEMETER_COMPLETE")
    return [item.value for item in found.get_completions(list(words[:-1]), words[-1])]


def test_the_names_of_commands_reports_and_tables_are_completed() -> None:
    assert completed("rep") == ["replay", "report"]
    names = {report.name for report in reports.reports()}
    assert completed("report", "") == sorted({*names, "usage", "inventory", "failures", "quarantine"})
    assert completed("report", "forg") == ["forgotten"]
    assert completed("report", "inventory", "--by", "u") == ["user"]
    assert completed("schema", "queue") == [name for name in schema.names() if name.startswith("queue")]
    assert completed("report", "--format", "x") == ["xlsx"]
    assert completed("completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_how_it_is_installed(shell: str, here: Path) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_DEMETER_COMPLETE={shell}_complete" in result.stdout
    assert f"\n# To install it: demeter completion {shell} > FILE\n# where FILE is " in result.stdout
    # What zsh finds in a directory has to begin with it.
    assert result.stdout.startswith("#compdef demeter") == (shell == "zsh")


def test_bash_completes_by_the_script(here: Path) -> None:
    program = (
        'eval "$(demeter completion bash)"\nCOMP_WORDS=(demeter report forg) COMP_CWORD=2\n'
        '_demeter_completion demeter\necho "${COMPREPLY[@]}"'
    )
    assert run_by_bash(program).stdout == "forgotten\n"
