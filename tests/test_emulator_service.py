"""The emulated service answers as the reference says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

import pytest
import requests

from etl.emulator import Clock, Emulator, Faults, Fleet, FleetSettings, run

SAMPLE = (files("etl.emulator") / "sample_response.json").read_bytes()


def document(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"DE-{number:04d}",
        "name": f"notebook-{-number % 10}",
        "creation_timestamp": str(1_600_000_000_000 + number),
        "status": "RUNNING" if number % 2 else "STOPPED",
        "user": {"id": "user-1" if number % 5 == 0 else "user-2", "name": "ann"},
        "workspace": {"id": str(number % 2)},
        "ai_project": {"id": f"project-{number % 2}"},
        **({"pool": {"id": "pool-1"}} if number % 4 == 0 else {}),
        **fields,
    }


def listed(service: Emulator, token: str | None = None, **parameters: Any) -> requests.Response:
    url = f"{service.endpoint}/v1/{service.project_id}/demanager/instances"
    asked = {"de_type": "Notebook", "show_self": "false", **parameters}
    headers = {"X-Auth-Token": service.token if token is None else token}
    return requests.get(url, params=asked, headers=headers, timeout=5)


def numbers(response: requests.Response) -> list[int]:
    return [int(row["id"].removeprefix("DE-")) for row in response.json()["instances"]]


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(number) for number in range(20)]) as emulator:
        yield emulator


def test_the_sample_of_the_reference_is_served_byte_for_byte() -> None:
    with Emulator.of_sample() as service:
        response = listed(service)
        assert response.content == SAMPLE
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Date"] == "Tue, 02 Mar 2021 07:15:02 GMT"


def test_the_sample_can_be_sorted_and_paged_like_any_listing() -> None:
    with Emulator.of_sample() as service:
        answer = listed(service, sortby="creation_timestamp", limit=1, offset=1).json()
        assert answer["total_count"] == 2
        assert [row["name"] for row in answer["instances"]] == ["notebook-d115"]


def test_documents_given_as_bytes_are_served_byte_for_byte() -> None:
    odd = b'{"id": "DE-1",  "n": 123456789012345678901, "n": 1.50}'
    with Emulator.of_documents([odd, b"not JSON"]) as service:
        assert listed(service).content == (b'{"instances":[' + odd + b',not JSON],"total_count":2}')


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 21])
def test_pages_put_together_are_the_unpaged_listing(service: Emulator, limit: int) -> None:
    pages = [numbers(listed(service, limit=limit, offset=at)) for at in range(0, 20, limit)]
    assert [number for page in pages for number in page] == numbers(listed(service))
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_a_page_past_the_end_is_empty_and_has_the_total(service: Emulator) -> None:
    assert listed(service, offset=20, limit=5).json() == {"instances": [], "total_count": 20}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"status": "RUNNING"}, set(range(1, 20, 2))),
        ({"status": "UNAVAILABLE"}, set()),
        ({"workspace_id": "1"}, set(range(1, 20, 2))),
        ({"ai_project": "project-0"}, set(range(0, 20, 2))),
        ({"pool_id": "pool-1"}, set(range(0, 20, 4))),
        ({"show_self": ""}, set(range(0, 20, 5))),
        ({"show_self": "true", "status": "STOPPED"}, {0, 10}),
        ({"provision_type": "Docker"}, set(range(20))),
    ],
)
def test_filters_choose_the_rows_and_the_total(
    service: Emulator, parameters: dict[str, str], expected: set[int]
) -> None:
    response = listed(service, **parameters)
    assert set(numbers(response)) == expected
    assert response.json()["total_count"] == len(expected)


def test_without_show_self_only_the_callers_own_instances_are_listed(service: Emulator) -> None:
    assert set(numbers(listed(service, show_self=None))) == {0, 5, 10, 15}


def test_an_instance_without_a_user_is_everybodys_own(service: Emulator) -> None:
    service.documents = [document(0), document(1), document(2, user=None)]
    assert set(numbers(listed(service, show_self=None))) == {0, 2}


def test_rows_are_sorted_by_name_unless_told_otherwise(service: Emulator) -> None:
    names = [row["name"] for row in listed(service).json()["instances"]]
    assert names == sorted(names)
    by_creation = list(range(20))
    assert numbers(listed(service, sortby="creation_timestamp")) == by_creation
    assert numbers(listed(service, sortby="creation_timestamp", order="desc")) == by_creation[::-1]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"de_type": None}, "ModelArts.6335"),
        ({"de_type": "notebook"}, "ModelArts.6336"),
        ({"provision_type": "VM"}, "ModelArts.6336"),
        ({"status": "FROZEN"}, "ModelArts.6336"),
        ({"status": "RUNNING,STOPPED"}, "ModelArts.6336"),
        ({"sortby": "status"}, "ModelArts.6303"),
        ({"order": "up"}, "ModelArts.6336"),
        ({"show_self": "maybe"}, "ModelArts.6336"),
        ({"limit": "-1"}, "ModelArts.6336"),
        ({"limit": "ten"}, "ModelArts.6332"),
        ({"offset": "1.5"}, "ModelArts.6332"),
        ({"offset": "-3"}, "ModelArts.6336"),
    ],
)
def test_parameters_that_the_reference_does_not_allow_are_refused(
    service: Emulator, parameters: dict[str, str | None], code: str
) -> None:
    response = listed(service, **parameters)
    assert (response.status_code, response.json()["error_code"]) == (400, code)


def test_a_page_cap_shortens_every_page_and_keeps_the_total(service: Emulator) -> None:
    service.faults.page_cap = 6
    lengths = [len(numbers(listed(service, limit=limit))) for limit in (0, 4, 6, 500)]
    assert lengths == [6, 4, 6, 6]
    assert listed(service, limit=500).json()["total_count"] == 20


def test_requests_are_recorded_and_can_be_cleared(service: Emulator) -> None:
    listed(service, limit=3)
    listed(service, sortby="status")
    seen = [(one.method, one.params.get("limit"), one.status) for one in service.requests]
    assert seen == [("GET", "3", 200), ("GET", None, 400)]
    service.requests.clear()
    assert service.requests == []


def test_documents_can_be_replaced_while_the_service_runs(service: Emulator) -> None:
    service.documents = [document(7)]
    assert numbers(listed(service)) == [7]


def test_a_scripted_body_is_answered_until_told_otherwise(service: Emulator) -> None:
    service.answer_with(b"<html>", status=502, headers={"Content-Type": "text/html", "Date": ""})
    response = listed(service)
    assert (response.status_code, response.content) == (502, b"<html>")
    assert "Date" not in response.headers
    service.answer_normally()
    assert listed(service).status_code == 200


def test_the_date_header_is_the_emulated_clock_in_whole_seconds() -> None:
    clock = Clock.at("2026-10-12T00:00:00.900Z")
    with Emulator.of_documents([], clock=clock, faults=Faults()) as service:
        assert listed(service).headers["Date"] == "Mon, 12 Oct 2026 00:00:00 GMT"
        service.clock.advance(seconds=900.2)
        assert listed(service).headers["Date"] == "Mon, 12 Oct 2026 00:15:01 GMT"
        assert service.clock.now_ms() == 1_791_764_101_100


def test_one_connection_carries_many_requests(service: Emulator) -> None:
    with requests.Session() as session:
        session.headers["X-Auth-Token"] = service.token
        url = f"{service.endpoint}/v1/{service.project_id}/demanager/instances?de_type=Notebook"
        ports = set()
        for _ in range(3):
            with session.get(url, timeout=5, stream=True) as response:
                ports.add(response.raw.connection.sock.getsockname())
                assert response.json()["total_count"] == 4
        assert len(ports) == 1


def test_the_service_stops_while_a_client_keeps_its_connection(service: Emulator) -> None:
    with requests.Session() as session:
        endpoint = service.endpoint
        session.get(endpoint, timeout=5)
        service.__exit__()
        with pytest.raises(requests.ConnectionError):
            session.get(endpoint, timeout=5)


def test_an_answer_is_compressed_only_where_both_sides_want_it() -> None:
    documents = [document(number) for number in range(50)]
    with Emulator.of_documents(documents, compresses=True) as service:
        answers = [
            requests.get(
                f"{service.endpoint}/v1/{service.project_id}/demanager/instances",
                params={"de_type": "Notebook"},
                headers={"X-Auth-Token": service.token, "Accept-Encoding": encoding},
                timeout=5,
            )
            for encoding in ("gzip", "identity")
        ]
    assert [answer.headers.get("Content-Encoding") for answer in answers] == ["gzip", None]
    assert answers[0].json() == answers[1].json()
    assert int(answers[0].headers["Content-Length"]) < int(answers[1].headers["Content-Length"])


def test_many_clients_are_served_at_once(service: Emulator) -> None:
    token = service.token
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda at: numbers(listed(service, token, offset=at)), range(20)))
    assert [len(answer) for answer in answers] == list(range(20, 0, -1))
    assert len(service.requests) == 20


def test_a_service_that_runs_until_interrupted_says_when_it_is_ready() -> None:
    statuses = []

    def ready(service: Emulator) -> None:
        statuses.append(listed(service).status_code)
        service.stop()

    run("127.0.0.1", 0, Fleet(FleetSettings(instances=3)), ready=ready)
    assert statuses == [200]


def test_a_running_clock_moves_by_itself() -> None:
    clock = Clock.at("2026-10-12T00:00:00Z", speed=1e9)
    started = clock.now_us()
    assert clock.now_us() > started
