"""`demeter init` writes a settings file that the product reads, and says whether it works."""

from __future__ import annotations

import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import document, one_line

from etl.cli import main
from etl.emulator import Emulator
from etl.settings import Settings, load
from etl.settingsfile import text
from etl.sources import SECRETS, catalogue

PROJECT = "0123456789abcdef"
PLACE = ("--endpoint", "https://modelarts.example.com", "--project-id", PROJECT)


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(1)]) as running:
        yield running


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments], env=environment)


def place_of(service: Emulator) -> tuple[str, ...]:
    return ("--endpoint", service.endpoint, "--project-id", service.project_id)


def test_every_setting_has_its_meaning_once() -> None:
    assert sorted(catalogue()) == sorted(field.name for field in fields(Settings))
    assert all(each.meaning and each.section for each in catalogue().values())


def test_the_file_shows_every_setting_and_those_that_are_not_set_show_their_default(tmp_path: Path) -> None:
    written = text({"project_id": PROJECT})
    shown = re.findall(r"^(?:# )?([a-z_]+) = .*$", written, re.MULTILINE)
    names = [f"{name}_file" if name in SECRETS else name for name in catalogue()]
    assert shown == names
    file = tmp_path / "demeter.toml"
    file.write_text(written)
    assert load({}, {}, file) == Settings(project_id=PROJECT)
    file.write_text(re.sub(r"^# (?=[a-z_]+ = )", "", written, flags=re.MULTILINE))
    assert load({}, {}, file) == Settings(project_id=PROJECT)


@pytest.mark.parametrize("value", ['a "b" \\c', "tab\tand\x7fdelete", "陈 😀", "#'''"])
def test_any_value_comes_back_as_it_was_given(value: str, tmp_path: Path) -> None:
    file = tmp_path / "demeter.toml"
    file.write_text(text({"user": value}), encoding="utf-8")
    assert load({}, {}, file).user == value


def test_options_alone_write_a_file_for_its_owner_that_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret-password\n")
    way = ("--user", "li", "--domain", "us", "--iam-endpoint", "https://iam.example.com")
    result = init(*PLACE, *way, "--password-file", "password", "--lake", "kept", "--no-test")
    assert (result.exit_code, result.stderr) == (0, "next: demeter check\n")
    file = tmp_path / "demeter.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "s3cret-password" not in file.read_text()
    assert load({}, {}, file) == Settings(
        lake="kept",
        endpoint="https://modelarts.example.com",
        project_id=PROJECT,
        user="li",
        domain="us",
        iam_endpoint="https://iam.example.com",
        password="s3cret-password",
    )


def test_a_file_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    file = tmp_path / "demeter.toml"
    file.write_text("limit = 7\n")
    file.chmod(0o644)
    refused = init(*PLACE, "--no-test")
    assert refused.exit_code == 2
    assert one_line(refused).startswith("demeter.toml is there already: run `demeter check`")
    assert file.read_text() == "limit = 7\n"
    assert init(*PLACE, "--no-test", "--force").exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load({}, {}, file).project_id == PROJECT
    assert [each.name for each in tmp_path.iterdir()] == ["demeter.toml"]


def test_a_link_leads_to_the_file_that_is_replaced_and_a_device_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.toml").write_text("limit = 7\n")
    (tmp_path / "demeter.toml").symlink_to("kept.toml")
    assert init(*PLACE, "--no-test", "--force").exit_code == 0
    assert (tmp_path / "demeter.toml").is_symlink()
    assert load({}, {}, tmp_path / "kept.toml").project_id == PROJECT
    (tmp_path / "demeter.toml").unlink()
    os.mkfifo(tmp_path / "demeter.toml")
    refused = init(*PLACE, "--no-test", "--force")
    assert (refused.exit_code, one_line(refused)) == (
        2,
        "demeter.toml cannot be written: it is no file; name another file with --settings",
    )
    assert (tmp_path / "demeter.toml").is_fifo()


def test_what_the_environment_says_before_the_file_is_told(tmp_path: Path) -> None:
    found = init(*PLACE, "--no-test", DEMETER_ENDPOINT="http://127.0.0.1:1", DEMETER_PROJECT_ID=PROJECT)
    assert "DEMETER_ENDPOINT is set in the environment and goes before endpoint in this file" in found.stderr
    assert "DEMETER_PROJECT_ID" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--project-id", PROJECT), "endpoint is needed: give --endpoint"),
        (PLACE[:2], "project_id is needed: give --project-id"),
        ((*PLACE[:2], "--project-id", "a b"), "project_id 'a b' is not an id"),
        (("--endpoint", "http://example.com", *PLACE[2:]), "endpoint 'http://example.com' would send"),
        ((*PLACE, "--user", "li"), "domain is needed: give --domain"),
        ((*PLACE, "--sk-file", "demeter.sk"), "ak is needed: give --ak"),
        ((*PLACE, "--token-file", "nowhere"), "--token-file nowhere is no file: write the secret into it"),
        ((*PLACE, "--user", "li", "--ak", "A"), "user and key are ways to sign in: give the options of one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_refused_later_is_refused_before_a_file_is_written(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = init(*arguments, "--no-test")
    assert (result.exit_code, one_line(result)[: len(said)]) == (2, said)
    assert list(tmp_path.iterdir()) == []


def test_what_works_is_said_with_the_next_step(service: Emulator, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(service.token)
    result = init(*place_of(service), "--token-file", "token")
    assert (result.exit_code, result.stderr) == (0, "it works. next: demeter sweep\n")
    assert re.findall(r"^(\w+) +(ok|warn|fail) ", result.stdout, re.MULTILINE)[:2] == [
        ("settings", "ok"),
        ("source", "ok"),
    ]
    assert CliRunner().invoke(main, ["sweep"]).exit_code == 0


def test_what_does_not_work_is_said_with_the_next_step_and_the_file_stays(
    service: Emulator, tmp_path: Path
) -> None:
    bare = init(*place_of(service))
    assert bare.exit_code == 4
    assert "it does not work yet: no credentials: set DEMETER_TOKEN" in one_line(bare)
    (tmp_path / "token").write_text("not-a-token")
    refused = init(*place_of(service), "--token-file", "token", "--force")
    assert refused.exit_code == 4
    assert "refused the credentials (401)" in one_line(refused)
    assert one_line(refused).endswith("; then run `demeter check`")
    assert load({}, {}, tmp_path / "demeter.toml").token == "not-a-token"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--settings", "no/demeter.toml", "init", *PLACE, "--no-test"])
    assert result.exit_code == 2
    assert "no/demeter.toml cannot be written: No such file or directory" in one_line(result)


def test_on_a_terminal_it_asks_for_what_is_missing_and_again_after_a_wrong_answer(
    service: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(service.token)
    answers = ["not a url", service.endpoint, service.project_id, "", "token", "nowhere", "token"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from etl.cli import main; main()", "init"],
        **{"stdin": theirs, "stderr": theirs, "stdout": subprocess.PIPE},
        text=True,
        cwd=tmp_path,
    )
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    assert process.stdout is not None
    out = process.stdout.read()
    assert process.wait(60) == 0
    os.close(ours)
    # An older click ends what it asked with a space that goes to where answers go.
    assert out.lstrip().startswith("wrote demeter.toml: every setting is in it, with its meaning\n")
    assert load({}, {}, tmp_path / "demeter.toml") == Settings(
        endpoint=service.endpoint, project_id=service.project_id, token=service.token
    )
