"""Tokens of the emulated service: who gets one, where it is good, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from etl.emulator import ERRORS, Clock, Emulator, Faults, FleetSettings
from etl.emulator.commands import serve


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([{"id": "DE-1"}], token_seconds=3600) as emulator:
        yield emulator


def credentials(service: Emulator, **changed: str) -> dict[str, Any]:
    given = {"name": service.user, "password": service.password, "domain": service.domain}
    given |= changed
    user = {**given, "domain": {"name": given["domain"]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": service.project_name}}
    return {"auth": {"identity": identity, "scope": scope}}


def ask(service: Emulator, body: Any) -> requests.Response:
    return requests.post(f"{service.endpoint}/v3/auth/tokens", json=body, timeout=5)


def listed(service: Emulator, token: str | None, project_id: str | None = None) -> tuple[int, str]:
    path = f"/v1/{project_id or service.project_id}/demanager/instances?de_type=Notebook"
    headers = {"X-Auth-Token": token} if token else {}
    response = requests.get(service.endpoint + path, headers=headers, timeout=5)
    return response.status_code, response.json().get("error_code", "")


def test_the_right_password_gets_a_token_that_lists(service: Emulator) -> None:
    response = ask(service, credentials(service))
    assert response.status_code == 201
    assert response.json()["token"]["expires_at"] == "2026-10-12T01:00:00.000000Z"
    assert response.json()["token"]["project"]["id"] == service.project_id
    token = response.headers["X-Subject-Token"]
    assert token.startswith("MII")
    assert listed(service, token) == (200, "")


def test_a_project_may_be_named_by_its_id(service: Emulator) -> None:
    body = credentials(service)
    body["auth"]["scope"] = {"project": {"id": service.project_id}}
    token = ask(service, body).headers["X-Subject-Token"]
    assert listed(service, token) == (200, "")


@pytest.mark.parametrize("wrong", ["name", "password", "domain"])
def test_wrong_credentials_are_refused_in_the_shape_of_iam(service: Emulator, wrong: str) -> None:
    response = ask(service, credentials(service, **{wrong: "nobody's"}))
    assert response.status_code == 401
    assert set(response.json()["error"]) == {"code", "message", "title"}
    assert "X-Subject-Token" not in response.headers


@pytest.mark.parametrize(
    ("scope", "status"),
    [({}, 403), ({"domain": {"name": "d"}}, 403), ({"project": {"name": "elsewhere"}}, 401)],
)
def test_a_token_must_be_scoped_to_a_project_that_exists(
    service: Emulator, scope: dict[str, Any], status: int
) -> None:
    body = credentials(service)
    body["auth"]["scope"] = scope
    assert ask(service, body).status_code == status


@pytest.mark.parametrize("body", [None, [], {}, {"auth": 1}, {"auth": {"identity": {}}}])
def test_a_request_without_credentials_is_malformed(service: Emulator, body: Any) -> None:
    assert ask(service, body).status_code == 400


def test_a_token_expires_on_the_emulated_clock(service: Emulator) -> None:
    token = service.token
    service.clock.advance(seconds=3599)
    assert listed(service, token) == (200, "")
    service.clock.advance(seconds=1)
    assert listed(service, token) == (401, "ModelArts.0202")
    assert listed(service, service.token) == (200, "")


def test_a_token_wears_out_when_told_to(service: Emulator) -> None:
    service.faults.expire_token_after = 2
    token = service.token
    answers = [listed(service, token)[0] for _ in range(3)]
    assert answers == [200, 200, 401]
    assert listed(service, service.token) == (200, "")


def test_tokens_can_be_expired_at_once(service: Emulator) -> None:
    token = service.token
    service.expire_tokens()
    assert listed(service, token) == (401, "ModelArts.0202")


def test_a_request_without_its_token_says_what_is_wrong_with_it(service: Emulator) -> None:
    assert listed(service, None) == (401, "ModelArts.0201")
    assert listed(service, "MIIforged") == (401, "APIGW.0301")
    assert listed(service, service.token, "another-project") == (403, "ModelArts.0210")


def test_an_unknown_path_is_not_published(service: Emulator) -> None:
    response = requests.get(f"{service.endpoint}/v1/{service.project_id}/workspaces", timeout=5)
    assert (response.status_code, response.json()["error_code"]) == (404, "APIGW.0101")


def test_the_token_endpoint_can_fail_too(service: Emulator) -> None:
    service.faults.fail_next_token = [ERRORS["html"]]
    statuses = [ask(service, credentials(service)).status_code for _ in range(2)]
    assert statuses == [502, 201]


@pytest.mark.parametrize("speed", [0.0, 1.0, 900.0])
def test_the_token_that_is_printed_lasts_a_day_however_fast_the_clock_runs(
    speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Emulator] = []
    monkeypatch.setattr(Emulator, "wait", lambda self: started.append(self))
    clock = Clock.at("2026-10-12T00:00:00Z", speed)
    serve(
        FleetSettings(instances=1),
        clock,
        Faults(),
        projects=1,
        sample=False,
        host="127.0.0.1",
        port=0,
        say=lambda line: None,
    )
    [service] = started
    token = service.token
    clock.advance(seconds=86_300 * max(speed, 1))
    assert service.token == token
    clock.advance(seconds=200 * max(speed, 1))
    assert service.token != token
