"""IAM says which projects there are to sweep, and settings say which of them are wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import document

from etl import discovery
from etl.discovery import projects_of
from etl.emulator import ERRORS, Answer, Clock, Emulator
from etl.emulator.rows import Documents
from etl.emulator.tokens import Tokens
from etl.errors import Refused, ServiceUnavailable, UsageError
from etl.projects import Project
from etl.settings import Settings

IDS = ["a" * 32, "b" * 32, "c" * 32]


@pytest.fixture
def service() -> Iterator[Emulator]:
    fleets = {project: Documents([document(1)]) for project in IDS}
    with Emulator(clock=Clock.at("2026-10-12T00:00:00Z"), fleets=fleets) as running:
        yield running


def environment(service: Emulator, **others: str) -> dict[str, str]:
    return {
        "DEMETER_ENDPOINT": "https://modelarts.{region}.example.com",
        "DEMETER_IAM_ENDPOINT": service.endpoint,
        "DEMETER_DOMAIN": service.domain,
        "DEMETER_USER": service.user,
        "DEMETER_PASSWORD": service.password,
        "DEMETER_DISCOVER": "true",
        "DEMETER_ATTEMPTS": "1",
        **others,
    }


def found(service: Emulator, file: Path | None = None, **others: str) -> list[Project]:
    return projects_of(file, {}, environment(service, **others))


def rows(*names: str, **others: Any) -> bytes:
    listed = [{"id": f"id-of-{name}", "name": name, "enabled": True, **others} for name in names]
    return json.dumps({"projects": listed}).encode()


def answer(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """Let IAM list other projects."""
    monkeypatch.setattr(Tokens, "projects", lambda self: Answer(200, body))


def test_every_project_that_iam_lists_is_found_in_its_region(service: Emulator) -> None:
    projects = found(service)
    assert [each.name for each in projects] == ["region-1", "region-1_project-1", "region-1_project-2"]
    settings = [each.settings() for each in projects]
    assert [each.project_id for each in settings] == IDS
    assert {each.endpoint for each in settings} == {"https://modelarts.region-1.example.com"}


def test_a_key_finds_them_as_well_as_a_user(service: Emulator) -> None:
    key = service.access_key
    service.clock.advance(seconds=(datetime.now(UTC) - datetime(2026, 10, 12, tzinfo=UTC)).total_seconds())
    settings = Settings(iam_endpoint=service.endpoint, ak=key.ak, sk=key.sk, attempts=1)
    assert [each.project_id for each in discovery.listed(settings)] == IDS
    with pytest.raises(Refused, match="401"):
        discovery.listed(replace(settings, sk="wrong"))


def test_regions_pick_some_and_what_is_not_enabled_is_left_out(
    service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, rows("cn-north-4", "cn-north-4_vision", "cn-east-3", "cn-south-1"))
    wanted = found(service, DEMETER_REGIONS="cn-north-4, cn-south-1")
    assert [each.name for each in wanted] == ["cn-north-4", "cn-north-4_vision", "cn-south-1"]
    assert {each.settings().endpoint for each in wanted} == {
        "https://modelarts.cn-north-4.example.com",
        "https://modelarts.cn-south-1.example.com",
    }
    answer(monkeypatch, rows("cn-north-4", enabled=False))
    with pytest.raises(UsageError, match="IAM lists no project that is wanted"):
        found(service)


def test_a_table_wins_over_what_iam_says_of_the_same_project(service: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "demeter.toml"
    file.write_text(f"[projects.ours]\nproject_id = '{IDS[1]}'\nregion = 'elsewhere'\nlimit = 7\n")
    projects = found(service, file)
    assert [each.name for each in projects] == ["ours", "region-1", "region-1_project-2"]
    ours = projects[0].settings()
    assert (ours.project_id, ours.limit, ours.endpoint) == (
        IDS[1],
        7,
        "https://modelarts.elsewhere.example.com",
    )


def test_a_project_that_is_named_is_the_only_one_and_nobody_is_asked(service: Emulator) -> None:
    [alone] = found(service, DEMETER_PROJECT_ID=IDS[2])
    assert (alone.name, alone.settings().project_id) == ("", IDS[2])
    assert list(service.requests) == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"projects": [1]}', b'{"projects": [{"id": 1, "name": ""}]}']
)
def test_what_is_no_list_of_projects_is_not_taken_for_an_empty_one(
    body: bytes, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, body)
    with pytest.raises(ServiceUnavailable, match="no list of projects"):
        found(service)


def test_who_is_refused_by_iam_is_told_so(service: Emulator) -> None:
    with pytest.raises(Refused, match=r"IAM gave no token \(401\)"):
        found(service, DEMETER_PASSWORD="wrong")
    service.faults.fail_next_token = [ERRORS["empty"]]
    with pytest.raises(ServiceUnavailable):
        found(service)
