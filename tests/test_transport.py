"""What is sent goes to the right server only, and what comes back is bounded, whoever sends it."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner
from support import document, environment_for, impatient, one_line, run, settings_for

from etl import views
from etl.cli import main
from etl.client import Client, TooLarge
from etl.emulator import Answer, Clock, Emulator
from etl.errors import DemeterError, ServiceUnavailable, UsageError
from etl.lake import Lake
from etl.settings import Settings
from etl.transport import Transport

PATH = "/v1/{}/demanager/instances"
PASSWORD = "Zq7-proxy-password"


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(number) for number in range(30)]) as running:
        yield running


def client_of(service: Emulator, **others: Any) -> Client:
    return impatient(settings_for(service, Path("unused"), **others))


def ask(client: Client, **params: str | int) -> bytes:
    path = PATH.format(client.settings.project_id)
    return client.get(path, {"de_type": "Notebook", **params}, lambda answer: answer.body)


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of the authority's certificate."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture
def tls(service: Emulator, authority: trustme.CA) -> Any:
    """Put the service behind TLS with a certificate, and tell its endpoint."""

    def serve(**of_certificate: Any) -> str:
        names = of_certificate.pop("names", ("127.0.0.1",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, **of_certificate).configure_cert(context)
        assert service._server is not None
        service._server.socket = context.wrap_socket(service._server.socket, server_side=True)
        return service.endpoint.replace("http:", "https:")

    return serve


def test_a_certificate_of_one_s_own_authority_is_trusted(service: Emulator, tls: Any, bundle: str) -> None:
    assert b"DE-0" in ask(client_of(service, endpoint=tls(), ca_bundle=bundle))


def test_a_certificate_of_an_unknown_authority_is_refused_with_a_way_out(service: Emulator, tls: Any) -> None:
    client = client_of(service, endpoint=tls())
    with pytest.raises(UsageError) as raised:
        ask(client)
    assert str(raised.value) == (
        "the certificate of 127.0.0.1 is of no authority that is trusted here "
        "(unable to get local issuer certificate): "
        "if it is your own, set ca_bundle to the file with its certificate"
    )
    assert (client.request_count, service.requests) == (1, [])


def test_a_certificate_that_has_expired_is_refused(service: Emulator, tls: Any, bundle: str) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    endpoint = tls(not_before=past - timedelta(days=9), not_after=past)
    client = client_of(service, endpoint=endpoint, ca_bundle=bundle)
    with pytest.raises(
        UsageError, match=r"of 127\.0\.0\.1 has expired, if this machine's clock is right: it"
    ):
        ask(client)
    assert service.requests == []


def test_a_certificate_of_the_future_is_refused(service: Emulator, tls: Any, bundle: str) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    endpoint = tls(not_before=tomorrow, not_after=tomorrow + timedelta(days=9))
    with pytest.raises(UsageError, match="is not valid yet: set this machine's clock"):
        ask(client_of(service, endpoint=endpoint, ca_bundle=bundle))
    assert service.requests == []


def test_a_certificate_for_another_host_is_refused(service: Emulator, tls: Any, bundle: str) -> None:
    client = client_of(service, endpoint=tls(names=("modelarts.example.com",)), ca_bundle=bundle)
    with pytest.raises(UsageError, match=r"of 127\.0\.0\.1 is for another host: check the endpoint"):
        ask(client)
    assert service.requests == []


def test_the_bundle_of_the_environment_holds_unless_one_is_set(
    service: Emulator, tls: Any, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = tls()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    assert ask(client_of(service, endpoint=endpoint))
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(UsageError, match="is of no authority"):
        ask(client_of(service, endpoint=endpoint, ca_bundle=str(other)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert ask(client_of(service, endpoint=endpoint, ca_bundle=bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match="the file of certificates is not there"):
        ask(client_of(service, endpoint=endpoint))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.pem", None, "cannot be used: No such file or directory; name a file of PEM certificates"),
        ("empty.pem", "", "cannot be used: no certificate in PEM; name a file of PEM certificates"),
        (
            "text.pem",
            "not a certificate",
            "cannot be used: no certificate in PEM; name a file of PEM certificates",
        ),
    ],
)
def test_a_bundle_that_is_none_is_refused_before_anything_is_sent(
    service: Emulator, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    result = run(environment_for(service, tmp_path / "lake", DEMETER_CA_BUNDLE=str(file)))
    assert (result.exit_code, one_line(result)) == (2, f"ca_bundle {file} {said}")
    assert service.requests == []


# Proxies: the emulated service is one, for it reads the path of whatever URL it is asked for.

BEHIND = {"endpoint": "http://modelarts.example.com", "allow_http": True}


def test_requests_go_through_the_proxy_of_the_settings(service: Emulator) -> None:
    with_password = service.endpoint.replace("//", f"//li:{PASSWORD}@")
    assert ask(client_of(service, **BEHIND, proxy=with_password))
    (received,) = service.requests
    assert received.headers["host"] == "modelarts.example.com"
    assert received.headers["proxy-authorization"].startswith("Basic ")


def test_the_proxy_of_the_environment_holds_unless_one_is_set(
    service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", service.endpoint)
    assert ask(client_of(service, **BEHIND))
    monkeypatch.setenv("HTTP_PROXY", closed())
    monkeypatch.setenv("NO_PROXY", "modelarts.example.com")
    assert ask(client_of(service, **BEHIND, proxy=service.endpoint))


def test_loopback_is_reached_without_a_proxy(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", closed())
    assert ask(client_of(service))
    assert ask(client_of(service, proxy=closed()))


@pytest.mark.parametrize("answer", [407, "closed", "nonsense"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    service: Emulator, answer: Any, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.answer_with(b"", 407)
    proxy = closed() if answer == "closed" else service.endpoint
    others = {"endpoint": f"{scheme}://modelarts.example.com", "allow_http": True, "attempts": 2}
    with Talking(b"HTTP/1.1 407 No\r\n\r\n" if answer == 407 else b"nonsense\r\n\r\n") as talking:
        proxy = closed() if answer == "closed" else talking.endpoint
        client = client_of(service, **others, proxy=proxy.replace("//", f"//li:{PASSWORD}@"))
        with pytest.raises(DemeterError) as raised:
            ask(client)
    told = str(raised.value)
    assert PASSWORD not in told + caplog.text + repr(client.settings)
    if answer == 407:
        assert told == "the proxy wants a user and password (407): put them in the URL of DEMETER_PROXY"
        assert client.request_count == 1
    elif answer == "closed":
        assert "the proxy could not be used: check proxy and HTTPS_PROXY" in told


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://proxy", "http://", f"http://li:{PASSWORD}@[::1"])
def test_a_proxy_that_is_none_is_refused_without_its_password(
    service: Emulator, proxy: str, tmp_path: Path
) -> None:
    result = run(environment_for(service, tmp_path / "lake", DEMETER_PROXY=proxy))
    assert (result.exit_code, service.requests) == (2, [])
    assert one_line(result) == "proxy is not the URL of one: it looks like http://proxy.example.com:3128"


def test_a_proxy_with_a_password_is_refused_in_a_settings_file(service: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "demeter.toml"
    file.write_text(f"proxy = 'http://li:{PASSWORD}@proxy'")
    result = run(environment_for(service, tmp_path / "lake"), "--settings", str(file))
    assert result.exit_code == 2
    assert one_line(result) == f"{file} holds a password in 'proxy': put its URL in DEMETER_PROXY instead"


def test_no_other_credentials_are_sent_along(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login li password from-netrc")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    ask(client_of(service))
    assert "authorization" not in service.requests[0].headers


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_server_is_followed(service: Emulator, status: int) -> None:
    target = f"{PATH.format(service.project_id)}?de_type=Notebook&limit=1"
    for location in (target, service.endpoint + target):
        service.faults.fail_next = [Answer(status, b"", {"Location": location})]
        assert b"DE-0" in ask(client_of(service), limit=2)
    assert [each.params["limit"] for each in service.requests] == ["2", "1"] * 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["host", "port", "scheme", "user", "none"])
def test_a_redirect_to_another_server_is_refused(service: Emulator, status: int, place: str) -> None:
    with Emulator.of_documents([]) as other:
        port = service.endpoint.rpartition(":")[2]
        location = {
            "host": f"http://localhost:{port}/x",
            "port": f"{other.endpoint}/x",
            "scheme": service.endpoint.replace("http", "https") + "/x",
            "user": service.endpoint.replace("//", "//li:pass@") + "/x",
            "none": "http://[::1",
        }[place]
        service.faults.fail_next = [Answer(status, b"", {"Location": location})]
        client = client_of(service)
        with pytest.raises(UsageError, match=rf"redirects to another server \({status}\): set DEMETER_ENDP"):
            ask(client)
        assert (len(service.requests), len(other.requests)) == (1, 0)


def test_redirects_without_end_are_given_up(service: Emulator) -> None:
    service.answer_with(b"", 302, {"Location": PATH.format(service.project_id)})
    with pytest.raises(UsageError, match="redirects again and again"):
        ask(client_of(service))
    assert len(service.requests) == 4


def test_the_request_for_a_token_is_never_redirected(service: Emulator) -> None:
    service.faults.fail_next_token = [Answer(307, b"", {"Location": "/v3/auth/tokens"})]
    user = {"user": service.user, "password": service.password, "domain": service.domain}
    with pytest.raises(DemeterError, match=r"IAM gave no token \(307\)"):
        ask(client_of(service, token="", iam_endpoint=service.endpoint, **user))
    assert [each.method for each in service.requests] == ["POST"]


def test_a_redirected_request_is_signed_anew() -> None:
    with Emulator.of_documents([], Clock.at(datetime.now(UTC).isoformat(), speed=1)) as service:
        target = f"{PATH.format(service.project_id)}?de_type=Notebook&limit=7"
        service.faults.fail_next = [Answer(302, b"", {"Location": target})]
        key = {"token": "", "ak": service.access_key.ak, "sk": service.access_key.sk}
        assert b"total_count" in ask(client_of(service, **key))


# Sizes.


def bomb(megabytes: int) -> bytes:
    """Megabytes of spaces, packed some hundred times smaller without being held at once."""
    packing = zlib.compressobj(1, wbits=31)
    return b"".join([packing.compress(b" " * 1_000_000) for _ in range(megabytes)]) + packing.flush()


@pytest.mark.parametrize("status", [200, 302, 401, 503])
def test_a_bomb_is_refused_within_bounded_memory(service: Emulator, status: int) -> None:
    packed = bomb(150)
    assert len(packed) < 1_000_000
    service.answer_with(packed, status, {"Content-Encoding": "gzip", "Location": "/x"})
    client = client_of(service, response_bytes=2_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="an answer is over 2000000 bytes: ask for less at a time"):
            ask(client)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000
    assert client.request_count == 1


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate", "gzip, identity", "x" * 99])
def test_a_packing_that_was_not_asked_for_is_refused_at_once(service: Emulator, encoding: str) -> None:
    service.answer_with(gzip.compress(gzip.compress(b"{}")), headers={"Content-Encoding": encoding})
    client = client_of(service)
    with pytest.raises(ServiceUnavailable, match="packed in a way that was not asked for: look at what"):
        ask(client)
    assert client.request_count == 1
    assert service.requests[0].headers["accept-encoding"] == "gzip"


WHOLE = b'{"instances": []}' * 40_000


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (gzip.compress(WHOLE), WHOLE),
        (gzip.compress(WHOLE) + gzip.compress(b"") + gzip.compress(b" more"), WHOLE + b" more"),
        (gzip.compress(b""), b""),
        (b"", b""),
        (gzip.compress(WHOLE)[:-9], None),
        (gzip.compress(WHOLE)[:30], None),
        (b"no gzip at all", None),
        (gzip.compress(WHOLE) + b"what follows", None),
    ],
    ids=["whole", "members", "nothing", "empty", "cut", "cut early", "no gzip", "followed"],
)
def test_a_packed_answer_is_whole_or_asked_for_again(
    service: Emulator, sent: bytes, came: bytes | None
) -> None:
    headers = {"Content-Encoding": "GZIP"}
    service.answer_with(sent, headers=headers)
    client = client_of(service, attempts=2)
    if came is None:
        with pytest.raises(ServiceUnavailable, match=r"broke off|cannot be unpacked"):
            ask(client)
        assert client.request_count == 2
    else:
        assert ask(client) == came


@pytest.mark.parametrize("compresses", [False, True])
def test_all_pages_of_a_sweep_come_over_one_connection(tmp_path: Path, compresses: bool) -> None:
    documents = [document(number) for number in range(100)]
    with Emulator.of_documents(documents, compresses=compresses) as service:
        result = CliRunner().invoke(
            main, ["sweep", "--limit", "10"], env=environment_for(service, tmp_path / "lake")
        )
        assert result.exit_code == 0
        assert len(service.requests) > 10
        assert service.connection_count == 1


# A service that is down.


def closed() -> str:
    """An endpoint at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


class Talking:
    """A server that answers whatever it is sent with the same bytes, and hangs up."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> Talking:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.listener.close()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(self.says)
        except OSError:
            return


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URL of each request that is sent, whether it is answered or not."""
    urls = []
    send = Transport.send

    def counted(self: Transport, method: str, url: str, *others: Any, **parts: Any) -> Any:
        urls.append(url)
        return send(self, method, url, *others, **parts)

    monkeypatch.setattr(Transport, "send", counted)
    return urls


def sweep_slices(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, *more: str) -> Any:
    """A sweep of twelve slices, side by side, that waits for nothing."""
    monkeypatch.setattr("etl.client._wait_seconds", lambda state: 0.0)
    slices = [f"--pool=pool{number}" for number in range(12)]
    return CliRunner().invoke(main, [*more, "sweep", *slices], env=dict(environment))


def test_a_service_that_is_down_costs_its_attempts_once(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.answer_with(b"{}", 503)
    variables = environment_for(service, tmp_path / "lake", DEMETER_ATTEMPTS="5", DEMETER_CONCURRENCY="4")
    result = sweep_slices(variables, monkeypatch)
    assert result.exit_code == 6
    assert result.stderr.rstrip().endswith(
        "the service gave out: the service answered 503; run again later, or look at its status"
    )
    # And once more, for another slice, to know that it is not this one alone.
    assert len(service.requests) == 6


def test_slices_are_listed_side_by_side_once_one_was_let_in(service: Emulator) -> None:
    client, together = client_of(service), threading.Barrier(3, timeout=10)
    ask(client)

    def meet(answer: Any) -> None:
        together.wait()

    path = PATH.format(service.project_id)
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(client.get, path, {"de_type": "Notebook"}, meet) for _ in range(3)]
    assert [job.result() for job in jobs] == [None] * 3


@pytest.mark.parametrize("fails", ["connection", "DNS"])
def test_a_service_that_cannot_be_reached_costs_its_attempts_once(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[str], fails: str
) -> None:
    def unknown(host: str, *others: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    endpoint = closed()
    if fails == "DNS":
        endpoint = "https://modelarts.nowhere.example"
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    variables = environment_for(
        service, tmp_path / "lake", DEMETER_ENDPOINT=endpoint, DEMETER_ATTEMPTS="3", DEMETER_CONCURRENCY="4"
    )
    result = sweep_slices(variables, monkeypatch)
    said = "its name is not known here: check the endpoint and DNS" if fails == "DNS" else "was refused"
    assert (result.exit_code, said in result.stderr.splitlines()[-1]) == (6, True)
    assert len(sent) == 4


def test_a_certificate_that_is_refused_costs_one_request(
    service: Emulator, tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[str]
) -> None:
    variables = environment_for(service, tmp_path / "lake", DEMETER_ENDPOINT=tls(), DEMETER_ATTEMPTS="5")
    result = sweep_slices(variables, monkeypatch, "-v")
    assert result.exit_code == 2
    assert len(sent) == 1


def test_a_request_that_the_service_cannot_answer_is_no_reason_to_give_up_the_others(
    service: Emulator,
) -> None:
    def answer_another(seconds: float) -> None:
        ask(client)
        service.faults.fail_next = [Answer(503, b"{}")]

    client = Client(settings_for(service, Path("unused"), attempts=3), sleep=answer_another)
    ask(client)
    service.faults.fail_next = [Answer(503, b"{}")]
    with pytest.raises(ServiceUnavailable):
        ask(client)
    assert [each.status for each in service.requests] == [200, 503, 200, 503, 200, 503]
    assert ask(client)


@pytest.mark.parametrize("concurrency", ["1", "4"])
@pytest.mark.parametrize("number", [0, 4])
def test_a_slice_that_the_service_never_answers_does_not_end_the_others(
    service: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: list[str],
    number: int,
    concurrency: str,
) -> None:
    poison, send = f"pool{number}&", Transport.send

    def poisoned(self: Transport, method: str, url: str, *others: Any, **parts: Any) -> Any:
        found = send(self, method, url, *others, **parts)
        return replace(found, status=503) if poison in url else found

    monkeypatch.setattr(Transport, "send", poisoned)
    variables = environment_for(
        service, tmp_path / "lake", DEMETER_ATTEMPTS="3", DEMETER_CONCURRENCY=concurrency
    )
    result = sweep_slices(variables, monkeypatch)
    assert result.exit_code == 6
    assert sum(poison in url for url in sent) == 3
    with views.connect(Lake(tmp_path / "lake")) as connection:
        verdicts = connection.execute("select verdict from slices order by slice").fetchall()
    assert [verdict for (verdict,) in verdicts] == [
        "failed" if each == number else "complete" for each in range(12)
    ]


def test_a_throttled_request_is_no_reason_to_give_up_the_others(service: Emulator) -> None:
    service.faults.fail_next = [Answer(429, b"{}")] * 2
    client = client_of(service, attempts=2)
    with pytest.raises(ServiceUnavailable):
        ask(client)
    assert ask(client)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"DEMETER_ENDPOINT": "https://nowhere.example"}, "its name is not known here"),
        ({"DEMETER_TOKEN": "wrong-token"}, "the service refused the credentials (401)"),
        ({"DEMETER_PROJECT_ID": "another"}, "the user needs modelarts:notebook:list"),
        ({"DEMETER_CA_BUNDLE": "/nowhere/ca.pem"}, "ca_bundle /nowhere/ca.pem cannot be used"),
    ],
    ids=["DNS", "credentials", "permission", "bundle"],
)
def test_the_check_of_the_source_names_what_is_wrong(
    service: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, str],
    said: str,
) -> None:
    def unknown(host: str, *others: Any, **more: Any) -> Any:
        if "nowhere" in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found(host, *others, **more)

    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    environment = environment_for(service, tmp_path / "lake", **fault)
    result = CliRunner().invoke(main, ["check", "--format", "csv"], env=environment)
    assert result.exit_code == 4
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("source,")]
    assert said in row


def test_settings_tell_no_password() -> None:
    secret = dict.fromkeys(("token", "password", "sk", "security_token", "proxy"), PASSWORD)
    assert PASSWORD not in repr(Settings(**secret, token_command=f"print {PASSWORD}"))
