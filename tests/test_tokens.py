"""A token is renewed before it ends and when it is refused, and a command that prints one tells no secret."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import document, environment_for, one_line, run

from etl import client as client_module
from etl.cli import main
from etl.client import Client
from etl.emulator import ERRORS, Answer, Emulator
from etl.errors import Refused, UsageError
from etl.settings import Settings, load
from etl.tokens import TOKEN_HEADER, Issued, Tokens, lifetime_seconds, output_of


class Time:
    """A clock that only the test moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(client_module, "time", clock)
    return clock


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(1)], token_seconds=7200) as running:
        yield running


def client_of(service: Emulator, clock: Time, **credentials: str) -> Client:
    settings = {"endpoint": service.endpoint, "project_id": service.project_id, "total_seconds": 1e9}
    return Client(Settings(**settings | credentials), sleep=clock.sleep)


def user_client(service: Emulator, clock: Time) -> Client:
    user = {"user": service.user, "password": service.password, "domain": service.domain}
    return client_of(service, clock, **user, iam_endpoint=service.endpoint)


def ask(client: Client) -> Any:
    path = f"/v1/{client.settings.project_id}/demanager/instances"
    return client.get(path, {"de_type": "Notebook"}, lambda answer: answer.status)


def methods(service: Emulator) -> list[str]:
    return [each.method for each in service.requests]


def test_a_token_is_renewed_five_minutes_before_it_ends(service: Emulator, clock: Time) -> None:
    client = user_client(service, clock)
    for seconds in (0, 6890, 20):
        clock.now += seconds
        assert ask(client) == 200
    assert methods(service) == ["POST", "GET", "GET", "POST", "GET"]
    clock.now += 6000
    ask(client)
    assert methods(service)[5:] == ["GET"]


def test_a_token_of_a_few_minutes_is_not_renewed_for_every_request(clock: Time) -> None:
    with Emulator.of_documents([document(1)], token_seconds=200) as service:
        client = user_client(service, clock)
        for _ in range(3):
            ask(client)
            clock.now += 50
    assert methods(service) == ["POST", "GET", "GET", "GET"]


def test_a_token_that_cannot_be_renewed_early_is_used_until_it_ends(
    service: Emulator, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    client = user_client(service, clock)
    ask(client)
    clock.now += 6910
    service.faults.fail_next_token = [Answer(503, b"{}")] * 9
    assert [ask(client) for _ in range(4)] == [200] * 4
    assert methods(service)[2:] == ["POST", "GET", "GET", "GET", "GET"]
    assert caplog.messages == [
        "the token could not be renewed (the service answered 503): it is good for another 290 s"
    ]
    clock.now += 61
    service.faults.fail_next_token = []
    assert [ask(client) for _ in range(2)] == [200] * 2
    assert methods(service)[7:] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("after", [290, 7200])
def test_a_token_that_has_ended_and_cannot_be_renewed_fails(
    service: Emulator, clock: Time, after: float
) -> None:
    client = user_client(service, clock)
    ask(client)
    clock.now += 6910
    service.faults.fail_next_token = [Answer(403, b"{}")] * 2
    assert ask(client) == 200
    clock.now += after
    with pytest.raises(Refused, match="IAM gave no token"):
        ask(client)
    assert methods(service)[2:] == ["POST", "GET", "POST"]


def test_a_token_that_is_refused_and_cannot_be_renewed_fails(service: Emulator, clock: Time) -> None:
    client = user_client(service, clock)
    ask(client)
    clock.now += 6910
    service.faults.fail_next_token = [Answer(403, b"{}")] * 2
    service.expire_tokens()
    with pytest.raises(Refused, match="IAM gave no token"):
        ask(client)
    assert methods(service)[2:] == ["POST", "GET", "POST"]


def test_requests_do_not_wait_while_another_one_renews_a_token_that_is_still_good() -> None:
    asked, answered, now = threading.Event(), threading.Event(), [0.0]
    given = iter(["first", "second"])

    def ask_iam() -> Issued:
        if asked.is_set():
            assert answered.wait(10)
        return Issued(next(given), 3600)

    tokens = Tokens(Settings(user="u", password="p", iam_endpoint="https://iam"), ask_iam, lambda: now[0])
    assert tokens.headers("GET", "")[TOKEN_HEADER] == "first"
    now[0] = 3400
    asked.set()
    renewing = threading.Thread(target=tokens.headers, args=("GET", ""))
    renewing.start()
    try:
        while not tokens._lock.locked():
            time.sleep(0.001)
        assert tokens.headers("GET", "")[TOKEN_HEADER] == "first"
    finally:
        answered.set()
        renewing.join()
    assert tokens.headers("GET", "")[TOKEN_HEADER] == "second"


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"token": {"expires_at": "2019-02-13T06:52:13.855000Z"}}, 133.855),
        ({"token": {"expires_at": "2019-02-13T06:52:13"}}, 133),
        ({"token": {"expires_at": "2019-02-13T06:00:00Z"}}, 0),
        ({"token": {"expires_at": "tomorrow"}}, float("inf")),
        ({"token": {"expires_at": None}}, float("inf")),
        ({"token": {}}, float("inf")),
        ([], float("inf")),
    ],
)
def test_how_long_a_token_is_good_for_is_read_from_its_body(body: Any, seconds: float) -> None:
    date = datetime(2019, 2, 13, 6, 50, tzinfo=UTC)
    assert lifetime_seconds(json.dumps(body).encode(), date) == pytest.approx(seconds)
    assert lifetime_seconds(b"<html>", date) == float("inf")


def test_a_wrong_password_is_tried_once_however_many_slices_there_are(
    service: Emulator, tmp_path: Path
) -> None:
    wrong = {
        "DEMETER_TOKEN": "",
        "DEMETER_USER": service.user,
        "DEMETER_PASSWORD": "wrong",
        "DEMETER_DOMAIN": service.domain,
        "DEMETER_IAM_ENDPOINT": service.endpoint,
        "DEMETER_ATTEMPTS": "6",
        "DEMETER_CONCURRENCY": "4",
    }
    slices = [f"--pool=pool{number}" for number in range(8)]
    variables = environment_for(service, tmp_path / "lake", **wrong)
    result = CliRunner().invoke(main, ["sweep", *slices], env=variables)
    assert result.exit_code == 5
    assert one_line(result).startswith(
        "IAM gave no token (401) 401 The username or password is wrong.: check"
    )
    assert methods(service) == ["POST"]


def test_a_wrong_request_for_a_token_is_no_reason_to_list_in_smaller_pages(
    service: Emulator, clock: Time
) -> None:
    service.faults.fail_next_token = [ERRORS["iam"], Answer(400, b"{}")]
    with pytest.raises(Refused):
        ask(user_client(service, clock))
    with pytest.raises(Refused, match=r"IAM gave no token \(400\)"):
        ask(user_client(service, clock))


# A command that prints a token.


def program(tmp_path: Path, text: str) -> str:
    """The command line of a Python program."""
    file = tmp_path / "program with space.py"
    file.write_text(text)
    return f"'{sys.executable}' '{file}' --password hunter2-and-more"


def test_the_token_of_a_command_lists_and_is_asked_for_once(service: Emulator, tmp_path: Path) -> None:
    counted = tmp_path / "count"
    command = program(tmp_path, f"open({str(counted)!r}, 'a').write('.'); print({service.token!r})")
    variables = environment_for(service, tmp_path / "lake", DEMETER_TOKEN="", DEMETER_TOKEN_COMMAND=command)
    assert run(variables).exit_code == 0
    assert counted.read_text() == "."


def test_a_command_is_run_again_once_when_its_token_is_refused(
    service: Emulator, clock: Time, tmp_path: Path
) -> None:
    counted = tmp_path / "count"
    command = program(tmp_path, f"open({str(counted)!r}, 'a').write('.'); print('not-a-good-token')")
    client = client_of(service, clock, token_command=command)
    for _ in range(3):
        with pytest.raises(Refused):
            ask(client)
    assert counted.read_text() == ".."
    assert methods(service) == ["GET", "GET"]


def test_a_refused_ready_token_is_replaced_by_that_of_the_command(
    service: Emulator, clock: Time, tmp_path: Path
) -> None:
    command = program(tmp_path, f"print({service.token!r})")
    assert ask(client_of(service, clock, token="stale-token", token_command=command)) == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print('secret-output'); exit(3)", "token_command ended with status 3: run it by hand to see why"),
        ("import os; os.kill(os.getpid(), 9)", "token_command ended with status -9"),
        ("import sys; print('secret-output', file=sys.stderr)", "token_command printed no token"),
        ("print('x' * 1_000_000)", "token_command printed no token"),
        ("while True: print('x' * 1_000_000)", "token_command printed no token"),
        ("print('secret-output\\nline')", "the token has characters in it that no token has"),
        ("print('naïve')", "the token has characters in it that no token has"),
    ],
)
def test_a_command_that_fails_is_told_in_a_line_that_quotes_nothing(
    text: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError) as raised:
        output_of(program(tmp_path, text), 20)
    message = str(raised.value)
    assert message.startswith(said)
    assert not {"secret-output", "hunter2-and-more", "\n"} & {*message.split(), *message}
    assert "secret-output" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program --password x", "token_command cannot be run: No such file or directory"),
        ("'unfinished", "token_command cannot be read: No closing quotation"),
        (" ", "token_command is empty"),
        ("a\0b", "token_command cannot be run: it has characters that no command has"),
    ],
)
def test_a_command_that_is_none_is_told(command: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        output_of(command, 5)
    assert str(raised.value).startswith(said)


def test_a_command_is_given_no_shell(tmp_path: Path) -> None:
    assert output_of("echo $HOME;ls * `id`", 5) == "$HOME;ls * `id`"


def test_a_command_that_does_not_end_is_ended_with_all_that_it_began(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"did not end within 0\.3 s"):
        output_of("sh -c 'sleep 60 & sleep 60'", 0.3)
    assert time.monotonic() - began < 5


def test_a_command_in_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "demeter.toml"
    file.write_text("token_command = 'print-token'")
    file.chmod(0o600)
    assert load({}, {}, file).token_command == "print-token"
    file.chmod(0o666)
    with pytest.raises(UsageError, match="others may write it"):
        load({}, {}, file)
