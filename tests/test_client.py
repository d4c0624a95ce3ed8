"""The client asks until it has an answer, as long and as fast as it may, and tells no secret."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from etl import client as client_module
from etl.client import Answer, BadRequest, Client, TooLarge
from etl.emulator import ERRORS, Emulator, Faults
from etl.emulator import Answer as Given
from etl.errors import DemeterError, Refused, ServiceUnavailable, UsageError
from etl.page import BadPage
from etl.settings import Settings

SAMPLE = "/v1/{}/demanager/instances"
ASKED: dict[str, str | int] = {"de_type": "Notebook", "show_self": "false", "limit": 1}
TOKEN = "MIIx" + "q7Zk" * 300
PASSWORD = "hunter2-and-more"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(client_module, "time", clock)
    return clock


@pytest.fixture
def service() -> Iterator[Emulator]:
    documents = [{"id": f"DE-{number}", "creation_timestamp": str(number)} for number in range(3)]
    with Emulator.of_documents(documents) as emulator:
        yield emulator


def client_of(service: Emulator, clock: Time, **others: Any) -> Client:
    given: dict[str, Any] = {
        "endpoint": service.endpoint,
        "project_id": service.project_id,
        "requests_per_second": 1e12,
    }
    signed_in = {} if "user" in others else {"token": service.token}
    return Client(Settings(**given | signed_in | others), sleep=clock.sleep)


def user_of(service: Emulator) -> dict[str, str]:
    return {
        "user": service.user,
        "password": service.password,
        "domain": service.domain,
        "iam_endpoint": service.endpoint,
    }


def as_json(answer: Answer) -> Any:
    return json.loads(answer.body)


def ask(client: Client, read: Callable[[Answer], Any] = as_json) -> Any:
    return client.get(SAMPLE.format(client.settings.project_id), ASKED, read)


# Which answers are asked for again.


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_is_asked_again_or_told_by_its_status_alone(
    service: Emulator, clock: Time, name: str
) -> None:
    answer = ERRORS[name]
    service.faults.fail_next = [answer]
    client = client_of(service, clock)
    if answer.status in (408, 429) or answer.status >= 500:
        assert ask(client)["total_count"] == 3
        assert (client.request_count, client.retry_count) == (2, 1)
    elif name == "ok_with_error_code":
        assert ask(client, lambda found: found.status) == 200
    else:
        kinds = {200: Refused, 400: BadRequest, 401: Refused, 403: Refused}
        with pytest.raises(kinds.get(answer.status, UsageError)) as raised:
            ask(client)
        assert (client.request_count, client.retry_count, clock.slept) == (1, 0, [])
        assert str(answer.status) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("modelarts", "500 ModelArts.0010 Internal error."),
        ("demanager", "(400) ModelArts.6309 The instance does not exist."),
        ("gateway", "503 APIGW.0613 The IAM service is unavailable."),
        ("iam", "(401) 401 The username or password is wrong."),
        ("camel", "500 ModelArts.6102 Internal error."),
        ("plain", "500 ModelArts.6200 Internal error."),
        ("html", "502;"),
    ],
)
def test_every_shape_of_error_is_told_in_the_words_of_the_service(
    service: Emulator, clock: Time, name: str, said: str
) -> None:
    service.faults.fail_next = [ERRORS[name]]
    with pytest.raises(DemeterError) as raised:
        ask(client_of(service, clock, attempts=1))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "body", [b"[" * 5_000, b'{"error":[]}', b'{"error":{"code":{}}}', b"\xff", b"7", b""]
)
def test_an_error_body_that_is_no_error_body_is_no_trouble(
    service: Emulator, clock: Time, body: bytes
) -> None:
    service.faults.fail_next = [Given(500, body)] * 2
    assert ask(client_of(service, clock))["total_count"] == 3


def test_a_page_that_cannot_be_read_is_asked_for_again(service: Emulator, clock: Time) -> None:
    tries = iter([True, True, False])

    def read(answer: Answer) -> str:
        if next(tries):
            raise BadPage("half of a page")
        return "whole"

    client = client_of(service, clock)
    assert ask(client, read) == "whole"
    assert (client.request_count, client.retry_count) == (3, 2)


@pytest.mark.parametrize("fault", ["truncate_next", "reset_next"])
def test_a_body_that_breaks_off_is_asked_for_again(service: Emulator, clock: Time, fault: str) -> None:
    setattr(service.faults, fault, 2)
    client = client_of(service, clock)
    assert ask(client)["total_count"] == 3
    assert client.retry_count == 2


def test_a_slow_answer_is_given_up_and_asked_for_again(service: Emulator, clock: Time) -> None:
    service.faults.fail_next = [Given(200, b"{}", wait_seconds=30)]
    assert ask(client_of(service, clock, timeout_seconds=0.3))["total_count"] == 3


# How long it waits.


def test_waits_double_with_jitter_until_the_attempts_are_used_up(service: Emulator, clock: Time) -> None:
    service.answer_with(b"{}", 503)
    client = client_of(service, clock, attempts=9)
    with pytest.raises(ServiceUnavailable, match="the service gave out: the service answered 503") as raised:
        ask(client)
    assert raised.value.exit_status == 6
    assert (client.request_count, client.retry_count, len(clock.slept)) == (9, 8, 8)
    most = [1, 2, 4, 8, 16, 30, 30, 30]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(clock.slept, most, strict=True))


def test_clients_do_not_wait_in_step(service: Emulator, clock: Time) -> None:
    service.answer_with(b"{}", 503)
    for _ in range(5):
        with pytest.raises(ServiceUnavailable):
            ask(client_of(service, clock, attempts=2))
    assert len(set(clock.slept)) == 5


@pytest.mark.parametrize("header", ["seconds", "date"])
def test_it_waits_as_long_as_the_service_asks_by_the_service_s_clock(
    service: Emulator, clock: Time, header: Any
) -> None:
    service.faults = Faults(throttle_after=0, throttle_header=header, throttle_seconds=37)
    with pytest.raises(ServiceUnavailable):
        ask(client_of(service, clock, attempts=3))
    assert len(clock.slept) == 2
    assert all(37.5 <= wait <= 39 for wait in clock.slept)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "0"}, 0.5, 1),
        ({"Retry-After": "Mon, 01 Jan 1990 00:00:00 GMT"}, 0.5, 1),
        ({"Retry-After": "soon"}, 0.5, 1),
        ({"Retry-After": "-5"}, 0.5, 1),
        ({"Retry-After": "²"}, 0.5, 1),
        ({"Retry-After": "1.5"}, 0.5, 1),
        ({"Retry-After": "Mon Oct 12 00:00:20 2026", "Date": "Mon, 12 Oct 2026 00:00:00 GMT"}, 20.5, 21),
    ],
    ids=lambda value: str(value),
)
def test_a_strange_retry_after_is_no_trouble(
    service: Emulator, clock: Time, headers: Mapping[str, str], least: float, most: float
) -> None:
    service.faults.fail_next = [Given(503, b"{}", headers)]
    assert ask(client_of(service, clock))["total_count"] == 3
    (wait,) = clock.slept
    assert least <= wait <= most


@pytest.mark.parametrize(("window", "seconds"), [("1 second", 3), ("1 minute", 20), ("1 hour", 60)])
def test_a_throttle_that_only_tells_its_window_is_given_time(
    service: Emulator, clock: Time, window: str, seconds: int
) -> None:
    body = {"error_code": "APIG.0308", "error_msg": f"policy user over ratelimit,limit:5,time:{window}"}
    service.faults.fail_next = [Given(429, json.dumps(body).encode())]
    ask(client_of(service, clock))
    (wait,) = clock.slept
    assert seconds < wait <= seconds + 1


def test_all_waiting_together_stays_within_the_time_of_the_run(service: Emulator, clock: Time) -> None:
    service.answer_with(b"{}", 503)
    client = client_of(service, clock, attempts=1000, total_seconds=100.0)
    with pytest.raises(ServiceUnavailable):
        ask(client)
    assert 50 < sum(clock.slept) <= 100
    before = len(clock.slept)
    clock.now = 1200.0
    with pytest.raises(ServiceUnavailable):
        ask(client)
    assert len(clock.slept) == before


def test_a_wait_beyond_the_time_of_the_run_is_not_begun(service: Emulator, clock: Time) -> None:
    service.faults.fail_next = [Given(429, b"{}", {"Retry-After": "86400"})]
    with pytest.raises(ServiceUnavailable, match="429"):
        ask(client_of(service, clock))
    assert clock.slept == []


def test_an_answer_that_drips_ends_with_the_time_of_the_run(clock: Time) -> None:
    with Dripping(clock) as dripping:
        client = Client(
            Settings(endpoint=dripping.endpoint, project_id="p", token="t", total_seconds=50.0),
            sleep=clock.sleep,
        )
        with pytest.raises(ServiceUnavailable, match=r"the run's 50 s \(total_seconds\) are over"):
            ask(client)
    assert client.request_count == 1


class Dripping:
    """A server whose one answer never ends; each piece of it takes ten seconds of the clock."""

    def __init__(self, clock: Time) -> None:
        self.clock = clock
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> Dripping:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.listener.close()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            try:
                while True:
                    self.clock.now += 10
                    connection.sendall(b" " * (1 << 18))
            except OSError:
                return


# How much and how fast.


@pytest.mark.parametrize("compressed", [False, True])
def test_an_answer_over_the_size_is_refused_before_it_is_all_there(
    service: Emulator, clock: Time, compressed: bool
) -> None:
    body = b" " * 20_000_000
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    service.answer_with(gzip.compress(body, 1) if compressed else body, headers=headers)
    client = client_of(service, clock, response_bytes=1_000_000)
    with pytest.raises(TooLarge, match="--limit"):
        ask(client)
    assert (client.request_count, client.received_bytes) == (1, 0)


def test_requests_of_all_threads_are_spaced_out(service: Emulator, clock: Time) -> None:
    client = client_of(service, clock, requests_per_second=4.0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(client), range(12)))
    # The last of twelve may leave 11 / 4 s after the first, however the threads take turns.
    assert clock.now >= 1000 + 11 / 4


# Tokens.


def test_one_token_is_issued_for_many_threads(service: Emulator, clock: Time) -> None:
    client = client_of(service, clock, **user_of(service))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(client), range(16)))
    service.expire_tokens()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(client), range(16)))
    assert [each.status for each in service.requests if each.method == "POST"] == [201, 201]


def test_a_ready_token_is_renewed_where_a_user_is_known(service: Emulator, clock: Time) -> None:
    client = client_of(service, clock, token="stale", **user_of(service))
    assert ask(client)["total_count"] == 3
    assert [each.status for each in service.requests] == [401, 201, 200]


@pytest.mark.parametrize("name", ["token_expired", "token_invalid", "token_to_update", "token_in_body"])
def test_every_way_to_refuse_a_token_leads_to_one_new_one(service: Emulator, clock: Time, name: str) -> None:
    client = client_of(service, clock, **user_of(service))
    ask(client)
    service.requests.clear()
    service.faults.fail_next = [ERRORS[name]]
    assert ask(client)["total_count"] == 3
    assert [each.method for each in service.requests] == ["GET", "POST", "GET"]
    assert client.retry_count == 0


@pytest.mark.parametrize("name", ["token_expired", "token_invalid", "token_to_update", "token_in_body"])
def test_a_token_that_stays_refused_is_not_asked_with_again(
    service: Emulator, clock: Time, name: str
) -> None:
    service.faults.fail_next = [ERRORS[name]] * 9
    client = client_of(service, clock, **user_of(service))
    with pytest.raises(Refused) as raised:
        ask(client)
    assert raised.value.exit_status == 5
    assert [each.method for each in service.requests] == ["POST", "GET", "POST", "GET"]


def test_a_wrong_password_is_tried_once(service: Emulator, clock: Time) -> None:
    client = client_of(service, clock, **user_of(service) | {"password": PASSWORD})
    with pytest.raises(Refused, match="401"):
        ask(client)
    assert client.request_count == 1


def test_a_busy_iam_is_asked_again(service: Emulator, clock: Time) -> None:
    service.faults.fail_next_token = [ERRORS["gateway"], ERRORS["busy"]]
    client = client_of(service, clock, **user_of(service))
    assert ask(client)["total_count"] == 3
    assert client.retry_count == 2


@pytest.mark.parametrize("answer", [Given(201, b"{}"), Given(200, b"{}", {"X-Subject-Token": "t"})])
def test_an_iam_that_gives_no_token_is_a_refusal(service: Emulator, clock: Time, answer: Given) -> None:
    service.faults.fail_next_token = [answer]
    with pytest.raises(Refused, match="IAM gave no token"):
        ask(client_of(service, clock, **user_of(service)))


# What it tells.


def echo(status: int) -> Given:
    """An error that tells what it was asked with, as gateways do."""
    said = {"error_code": "APIGW.0301", "error_msg": f"token {TOKEN} or password {PASSWORD} is no good"}
    return Given(status, json.dumps(said).encode())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 494, 500])
def test_no_credential_is_in_an_error_or_a_log_line(
    service: Emulator, clock: Time, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.faults.fail_next = [echo(status)] * 9
    client = client_of(service, clock, token=TOKEN, password=PASSWORD)
    with pytest.raises(DemeterError) as raised:
        ask(client)
    told = str(raised.value) + repr(raised.value) + caplog.text + repr(client.settings)
    assert TOKEN not in told
    assert TOKEN[:40] not in told
    assert PASSWORD not in told


@pytest.mark.parametrize("encode", [str, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
def test_no_credential_is_in_a_body_in_whatever_form(
    service: Emulator, clock: Time, encode: Callable[[str], str]
) -> None:
    password = 'pässwörd "with" all'
    service.faults.fail_next = [Given(200, f"<p>{encode(password)} {encode(TOKEN)}</p>".encode())]
    client = client_of(service, clock, token=TOKEN, password=password)
    body = ask(client, lambda answer: answer.body.decode())
    assert body.replace('"', "") == "<p>[redacted] [redacted]</p>"


def test_no_credential_is_in_the_log_of_a_page_that_echoes_it(
    service: Emulator, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.faults.fail_next = [echo(200)] * 9

    def read(answer: Answer) -> None:
        raise BadPage("the answer is an error: " + json.loads(answer.body)["error_msg"])

    with pytest.raises(DemeterError) as raised:
        ask(client_of(service, clock, token=TOKEN, password=PASSWORD), read)
    told = str(raised.value) + caplog.text
    assert TOKEN[:40] not in told
    assert PASSWORD not in told


def test_no_credential_is_in_what_a_network_error_says(clock: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(endpoint=closed(), project_id="p", token=TOKEN, password=PASSWORD)
    with pytest.raises(ServiceUnavailable) as raised:
        ask(Client(settings, sleep=clock.sleep))
    assert raised.value.exit_status == 6
    assert str(raised.value) == (
        "the service gave out: 127.0.0.1 did not answer: the connection was refused; "
        "run again later, or look at its status"
    )
    assert TOKEN[:40] not in caplog.text


def closed() -> str:
    """An endpoint at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_tls_error_is_a_usage_error_of_one_line(service: Emulator, clock: Time) -> None:
    endpoint = service.endpoint.replace("http:", "https:")
    client = client_of(service, clock, endpoint=endpoint)
    with pytest.raises(UsageError, match="cannot be used") as raised:
        ask(client)
    assert (raised.value.exit_status, client.request_count, clock.slept) == (2, 1, [])
    assert "\n" not in str(raised.value)
    assert service.token not in str(raised.value)


def test_a_tls_connection_that_breaks_off_is_tried_again(clock: Time) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(3):
                listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings(endpoint=endpoint, project_id="p", token="t", attempts=3)
        client = Client(settings, sleep=clock.sleep)
        with pytest.raises(ServiceUnavailable):
            ask(client)
    assert client.request_count == 3


@pytest.mark.parametrize("token", ["line\nbreak", "naïve-漢字", "\x00", " "])
def test_a_token_that_no_header_can_hold_is_told_and_not_tried_again(
    service: Emulator, clock: Time, token: str
) -> None:
    client = client_of(service, clock, token=token)
    with pytest.raises((UsageError, Refused)) as raised:
        ask(client)
    assert (client.request_count, clock.slept) == (1, [])
    assert token.strip() == "" or token not in str(raised.value)


# When it was.


@pytest.mark.parametrize(
    "header", ["Mon, 12 Oct 2026 06:30:00 GMT", "Mon Oct 12 06:30:00 2026", "Mon, 12 Oct 2026 06:30:00 -0000"]
)
def test_an_answer_is_dated_by_the_service(service: Emulator, clock: Time, header: str) -> None:
    service.answer_with(b"{}", headers={"Date": header})
    date = ask(client_of(service, clock), lambda answer: answer.date)
    assert (date, date.tzinfo) == (datetime(2026, 10, 12, 6, 30, tzinfo=UTC), UTC)


@pytest.mark.parametrize("header", ["", "yesterday", "Mon, 99 Oct 2026 06:30:00 GMT"])
def test_an_answer_without_a_date_is_dated_here(service: Emulator, clock: Time, header: str) -> None:
    service.answer_with(b"{}", headers={"Date": header})
    before = datetime.now(UTC)
    date = ask(client_of(service, clock), lambda answer: answer.date)
    assert before <= date <= datetime.now(UTC)


def test_what_is_sent_names_the_program_and_asks_for_what_was_asked(service: Emulator, clock: Time) -> None:
    ask(client_of(service, clock))
    (received,) = service.requests
    assert received.headers["user-agent"].startswith("demeter/")
    assert received.headers["x-auth-token"] == service.token
    assert received.params == {name: str(value) for name, value in ASKED.items()}
