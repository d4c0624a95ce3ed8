"""The prompt answers statements and commands, completes names, and survives mistakes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from etl import prompt
from etl.errors import UsageError
from etl.lake import Lake

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    """What a user types on."""
    with create_pipe_input() as pipe:
        yield pipe


def typed(lake: Lake, keyboard: PipeInput, text: str, history: Path | None = None) -> None:
    """Type a text at the prompt until it ends."""
    keyboard.send_text(text)
    past = prompt.history(history) if history else InMemoryHistory()
    session = prompt.open_session(past, input=keyboard, output=DummyOutput())
    prompt.run(lake, session=session)


def completions(text: str, cursor: int | None = None) -> list[str]:
    document = Document(text, len(text) if cursor is None else cursor)
    return [each.text for each in prompt.Names().get_completions(document, CompleteEvent())]


def test_a_statement_runs_once_its_semicolon_is_there(
    small_lake: Lake, keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(small_lake, keyboard, "select count(*) as n\rfrom instances\r;\r" + CTRL_D)
    assert capsys.readouterr().out.split() == ["n", "---", "8", "(1", "row)"]


def test_statements_in_one_line_run_one_by_one(
    small_lake: Lake, keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(small_lake, keyboard, "select 41 as a; select 42 as b;\r" + CTRL_D)
    assert capsys.readouterr().out.split() == ["a", "---", "41", "(1", "row)", "b", "---", "42", "(1", "row)"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("selec 1;", "syntax error"),
        ("from nowhere_at_all;", "does not exist"),
        ("copy (select 1) to 'x';", "COPY is refused"),
        (".nope", "there is no command .nope: .help lists them"),
        (".report sweep_verdict", "did you mean 'sweep_verdicts'"),
        (".schema", "usage: .schema TABLE"),
        (".tables now", ".tables takes nothing after it"),
        (".format parquet", "there is no format 'parquet'"),
    ],
)
def test_a_mistake_is_told_and_does_not_end_it(
    wrong: str, message: str, small_lake: Lake, keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(small_lake, keyboard, f"{wrong}\rselect 42 as alive;\r" + CTRL_D)
    told = capsys.readouterr()
    assert message in told.err
    assert "42" in told.out


def test_ctrl_c_clears_what_was_typed_and_does_not_end_it(
    small_lake: Lake, keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(small_lake, keyboard, "select 'dropped'\r" + CTRL_C + "select 42 as alive;\r" + CTRL_D)
    told = capsys.readouterr().out
    assert "42" in told
    assert "dropped" not in told


def test_the_commands_answer(
    small_lake: Lake, keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(
        small_lake,
        keyboard,
        ".tables\r.schema queue\r.reports\r.format json\r.report unknown_fields\r.help\r.quit\r",
    )
    told = capsys.readouterr().out
    assert "instance_history" in told
    assert "queuing_info.rank" in told
    assert "Which fields does the service send" in told
    assert '"path":"mood"' in told
    assert all(command in told for command in prompt.COMMANDS)


def test_an_empty_line_does_nothing(
    small_lake: Lake, keyboard: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(small_lake, keyboard, "\r  \r;\r" + CTRL_D)
    assert capsys.readouterr().out == ""


def test_what_was_typed_is_kept_for_its_user_alone(
    small_lake: Lake, keyboard: PipeInput, tmp_path: Path
) -> None:
    directory = tmp_path / "state" / "demeter"
    typed(small_lake, keyboard, "select 42;\r.tables\r" + CTRL_D, directory)
    file = directory / "sql_history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert list(FileHistory(file).load_history_strings()) == [".tables", "select 42;"]


def test_a_history_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "sql_history"
    file.touch()
    os.chmod(file, 0o644)
    prompt.history(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_a_place_for_it_the_history_lasts_as_long_as_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(prompt.history(tmp_path / "file"), InMemoryHistory)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from inst", ["instances", "instance_history"]),
        ("select 1 from users JOIN pro", ["profiles", "profile_history", "provisions", "provision_history"]),
        ("describe work", ["workspaces", "workspace_history"]),
        (".sch", [".schema"]),
        (".rep", [".reports", ".report"]),
        (".report queue", ["queue_now", "queue_waits"]),
        (".schema pool", ["pools", "pool_history", "pool_cost_daily"]),
        (".format m", ["md"]),
        (".tables inst", []),
        ("qual", ["qualify"]),
        ("SEL", ["select"]),
        ("select pools.na", []),
        ("xyzzy", []),
    ],
)
def test_names_are_completed_where_they_belong(text: str, expected: list[str]) -> None:
    assert completions(text) == expected


def test_columns_are_those_of_the_tables_that_the_statement_names() -> None:
    text = "select user_ from users"
    assert completions(text, len("select user_")) == ["user_id", "user_name", "user_history"]
    assert completions("select pools.ow from users, pools", len("select pools.ow")) == ["owner_project_id"]


def test_a_lake_that_is_not_there_is_told_before_the_prompt(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no lake"):
        prompt.run(Lake(tmp_path))
