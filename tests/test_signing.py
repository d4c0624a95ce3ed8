"""Requests signed with an access key are let in, and a refused one is not tried until the key is locked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import requests
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support import document, environment_for, one_line, run

from etl.cli import main
from etl.client import Client
from etl.emulator import ERRORS, Clock, Emulator
from etl.emulator.answers import Declined
from etl.emulator.signatures import AccessKey, Signatures, Signed
from etl.errors import Refused
from etl.settings import Settings
from etl.signing import Signature, skew_of

PATH = "/v1/{}/demanager/instances"


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(1)], Clock.at(now(), speed=1)) as running:
        yield running


def key_of(service: Emulator, **others: Any) -> dict[str, Any]:
    key = service.access_key
    return {"ak": key.ak, "sk": key.sk, "security_token": key.security_token} | others


def client_of(service: Emulator, **others: Any) -> Client:
    settings = {"endpoint": service.endpoint, "project_id": service.project_id, "requests_per_second": 1e9}
    return Client(Settings(**settings | key_of(service) | others), sleep=lambda seconds: None)


def ask(client: Client) -> Any:
    path = PATH.format(client.settings.project_id)
    return client.get(path, {"de_type": "Notebook", "limit": 1}, lambda answer: answer.status)


def environment(service: Emulator, lake: Path, **others: str) -> dict[str, str]:
    key = {f"DEMETER_{name.upper()}": text for name, text in key_of(service).items()}
    return environment_for(service, lake, DEMETER_TOKEN="", **key | others)


def test_a_project_is_swept_with_an_access_key(service: Emulator, tmp_path: Path) -> None:
    result = run(environment(service, tmp_path / "lake"))
    assert (result.exit_code, result.stderr) == (0, "")
    (first, *_) = service.requests
    assert first.headers["authorization"].startswith(f"SDK-HMAC-SHA256 Access={service.access_key.ak}, ")
    assert first.headers["x-project-id"] == service.project_id
    assert "x-auth-token" not in first.headers
    assert "x-security-token" not in first.headers


def test_a_temporary_key_comes_with_its_security_token() -> None:
    with Emulator.of_documents([], Clock.at(now(), speed=1), security_token="temporary-" * 20) as service:
        assert ask(client_of(service)) == 200
        with pytest.raises(Refused, match="DEMETER_SECURITY_TOKEN"):
            ask(client_of(service, security_token=""))


def test_a_secret_key_is_read_from_a_file(service: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "sk"
    file.write_text(service.access_key.sk + "\n")
    variables = environment(service, tmp_path / "lake", DEMETER_SK="", DEMETER_SK_FILE=str(file))
    assert run(variables).exit_code == 0


@pytest.mark.parametrize("name", ["ak", "sk"])
def test_a_wrong_key_is_tried_once_however_many_slices_there_are(
    service: Emulator, tmp_path: Path, name: str
) -> None:
    wrong = {f"DEMETER_{name.upper()}": "a-wrong-one", "DEMETER_CONCURRENCY": "8", "DEMETER_ATTEMPTS": "6"}
    slices = [f"--pool=pool{number}" for number in range(12)]
    variables = environment(service, tmp_path / "lake", **wrong)
    result = CliRunner().invoke(main, ["sweep", *slices], env=variables)
    assert result.exit_code == 5
    assert one_line(result).endswith("check DEMETER_AK, DEMETER_SK and DEMETER_SECURITY_TOKEN")
    assert len(service.requests) == 1


def test_a_clock_that_is_off_is_named(service: Emulator, tmp_path: Path) -> None:
    service.clock.advance(minutes=20)
    result = run(environment(service, tmp_path / "lake"))
    assert result.exit_code == 5
    assert one_line(result) == (
        "the service refused the credentials (401) APIGW.0303 Incorrect app authentication information: "
        "signature expired: this machine's clock is 20 minutes behind the service's: set it"
    )


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_off_by_less_does_no_harm(service: Emulator, minutes: int) -> None:
    service.clock.advance(minutes=minutes)
    assert ask(client_of(service)) == 200


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, ""),
        (4, ""),
        (-20, "this machine's clock is 20 minutes behind the service's"),
        (179, "this machine's clock is 179 minutes ahead of the service's"),
        (-480, "this machine's clock is 8 hours behind the service's"),
    ],
)
def test_how_far_a_clock_is_off_is_told_in_words(minutes: int, said: str) -> None:
    service = datetime(2026, 10, 12, tzinfo=UTC)
    assert skew_of(service, service + timedelta(minutes=minutes)) == said


def test_a_busy_service_is_asked_again_with_a_new_signature(service: Emulator) -> None:
    service.faults.fail_next = [ERRORS["busy"], ERRORS["html"]]
    assert ask(client_of(service)) == 200
    assert [each.status for each in service.requests] == [429, 502, 200]


def test_a_key_refused_in_the_middle_ends_all_that_follows(service: Emulator) -> None:
    client = client_of(service)
    assert ask(client) == 200
    service.faults.fail_next = [ERRORS["token_invalid"]]
    for _ in range(3):
        with pytest.raises(Refused, match=r"APIGW\.0301"):
            ask(client)
    assert client.request_count == 2


def test_the_signer_is_an_extra_that_is_named_when_it_is_missing(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.auth.find_spec", lambda name: None)
    result = run(environment(service, tmp_path / "lake"))
    assert result.exit_code == 2
    assert one_line(result) == "an access key needs the signer of Huawei: pip install 'demeter-etl[aksk]'"


# What the emulated service makes of signatures, which it works out by itself.

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
KEY = AccessKey("AK", "sk")


def signed(url: str, sk: str = KEY.sk, project_id: str = "p") -> Signed:
    """A GET as it arrives, signed by Huawei's signer."""
    headers = Signature(Settings(ak=KEY.ak, sk=sk, project_id=project_id)).headers("GET", url)
    parts = urlsplit(url)
    lower = {name.lower(): text for name, text in headers.items()}
    return Signed("GET", parts.path, parts.query, lower, b"")


@given(
    params=st.dictionaries(ANY_TEXT.filter(bool), ANY_TEXT, max_size=4),
    path=ANY_TEXT.filter(lambda text: "/" not in text),
)
def test_both_sides_agree_on_every_url(params: dict[str, str], path: str) -> None:
    query = urlencode(sorted(params.items()), quote_via=quote, safe="~")
    request = signed(f"https://modelarts.example.com:8443/v1/{quote(path, safe='~')}/x?{query}")
    Signatures(AccessKey("AK", "sk"), Clock.at(now())).check(request, "p")


@pytest.mark.parametrize("params", [{"name": "a b+c~d*/%"}, {"name": "漢字", "b": "", "a": "x=y&z"}])
def test_what_is_sent_is_what_was_signed(service: Emulator, params: dict[str, str]) -> None:
    client = client_of(service)
    path = PATH.format(client.settings.project_id)
    assert client.get(path, {"de_type": "Notebook", **params}, lambda answer: answer.status) == 200
    assert service.requests[-1].params == {"de_type": "Notebook", **params}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"method": "POST"}, "APIGW.0301"),
        ({"path": "/v1/p/elsewhere"}, "APIGW.0301"),
        ({"query": "limit=2"}, "APIGW.0301"),
        ({"body": b"{}"}, "APIGW.0301"),
        ({"host": "other.example.com"}, "APIGW.0301"),
        ({"x-project-id": "q"}, "APIGW.0301"),
        ({"x-sdk-date": "yesterday"}, "APIGW.0301"),
        ({"x-sdk-date": "20200101T000000Z"}, "APIGW.0303"),
        ({"authorization": "SDK-HMAC-SHA256 Access=AK"}, "APIGW.0301"),
        ({"x-security-token": "t"}, "APIGW.0301"),
    ],
)
def test_a_request_that_was_changed_is_refused(changed: dict[str, Any], code: str) -> None:
    request = signed("https://modelarts.example.com/v1/p/x?limit=1")
    parts = vars(request) | {name: value for name, value in changed.items() if name in vars(request)}
    parts["headers"] = {**request.headers, **{k: v for k, v in changed.items() if k not in vars(request)}}
    with pytest.raises(Declined) as declined:
        Signatures(AccessKey("AK", "sk"), Clock.at(now())).check(Signed(**parts), "p")
    assert (declined.value.answer.status, code.encode() in declined.value.answer.body) == (401, True)


def test_five_failures_in_a_row_lock_the_key_for_five_minutes() -> None:
    clock = Clock.at(now())
    signatures = Signatures(AccessKey("AK", "sk"), clock)
    good, bad = signed("https://h/v1/p/x"), signed("https://h/v1/p/x", sk="wrong")

    def refused(request: Signed) -> bool:
        try:
            signatures.check(request, "p")
        except Declined:
            return True
        return False

    assert [refused(each) for each in (bad, bad, bad, bad, good)] == [True] * 4 + [False]
    assert [refused(each) for each in (bad, bad, bad, bad, bad, good)] == [True] * 6
    clock.advance(minutes=4, seconds=59)
    assert refused(good)
    clock.advance(seconds=1)
    assert not refused(good)


def test_a_key_is_for_the_project_that_it_names(service: Emulator) -> None:
    url = f"{service.endpoint}{PATH.format(service.project_id)}"
    settings = Settings(**key_of(service), project_id="another")
    response = requests.get(url, headers=Signature(settings).headers("GET", url), timeout=5)
    assert (response.status_code, response.json()["error_code"]) == (403, "ModelArts.0210")
