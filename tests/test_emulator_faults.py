"""Each fault of the emulated service does what it says, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from etl.emulator import ERRORS, Answer, Emulator, Faults, Fleet, FleetSettings

BY_CREATION = {"sortby": "creation_timestamp"}


def document(number: int) -> dict[str, Any]:
    return {
        "id": f"DE-{number:04d}",
        "name": "the same",
        "creation_timestamp": str(1_600_000_000_000 + 10 * number),
        "status": "RUNNING" if number % 2 else "STOPPED",
    }


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(number) for number in range(20)]) as emulator:
        yield emulator


def ask(service: Emulator, **parameters: Any) -> requests.Response:
    url = f"{service.endpoint}/v1/{service.project_id}/demanager/instances"
    asked = {"de_type": "Notebook", "show_self": "false", **BY_CREATION, **parameters}
    return requests.get(url, params=asked, headers={"X-Auth-Token": service.token}, timeout=5)


def ids(response: requests.Response) -> list[str]:
    return [row["id"] for row in response.json()["instances"]]


def numbers(response: requests.Response) -> list[int]:
    return [int(key.removeprefix("DE-")) for key in ids(response)]


def total(response: requests.Response) -> Any:
    return response.json()["total_count"]


def test_without_faults_nothing_goes_wrong(service: Emulator) -> None:
    assert service.faults == Faults()
    assert [numbers(ask(service)) for _ in range(3)] == [list(range(20))] * 3


def test_a_limit_above_the_cap_may_be_refused(service: Emulator) -> None:
    service.faults.page_cap, service.faults.cap_refuses = 5, True
    assert [ask(service, limit=limit).status_code for limit in (5, 6)] == [200, 400]
    assert numbers(ask(service)) == [0, 1, 2, 3, 4]


def test_an_aligned_service_rounds_the_offset_down_to_a_page(service: Emulator) -> None:
    service.faults.page_aligned = True
    assert numbers(ask(service, offset=7, limit=5)) == [5, 6, 7, 8, 9]
    assert numbers(ask(service, offset=10, limit=5)) == [10, 11, 12, 13, 14]


def test_an_offset_may_be_read_as_the_number_of_a_page(service: Emulator) -> None:
    service.faults.page_numbers = True
    assert numbers(ask(service, offset=1, limit=5)) == [5, 6, 7, 8, 9]
    assert numbers(ask(service, offset=5, limit=5)) == []


def test_an_offset_past_the_end_may_be_an_error(service: Emulator) -> None:
    service.faults.past_end_error = True
    answer = ask(service, offset=20, limit=5)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error_code": "ModelArts.6400", "error_msg": "fromIndex(20) > toIndex(20)"},
    )
    assert numbers(ask(service, offset=19, limit=5)) == [19]


def test_the_first_page_of_nothing_is_no_error_even_then(service: Emulator) -> None:
    service.documents = []
    service.faults.past_end_error = True
    assert ask(service, limit=5).json() == {"instances": [], "total_count": 0}


def test_an_ignored_offset_gives_the_first_page_again(service: Emulator) -> None:
    service.faults.ignore_offset = True
    assert numbers(ask(service, offset=10, limit=3)) == [0, 1, 2]


def test_an_ignored_order_stays_the_same_whatever_is_asked_for(service: Emulator) -> None:
    scattered = [{"id": f"DE-{-number % 7}{number}"} for number in range(9)]
    service.documents = [document(number) | key for number, key in enumerate(scattered)]
    service.faults.ignore_sort = True
    orders = [ids(ask(service, order=order)) for order in ("asc", "desc")]
    assert orders[0] == orders[1] == sorted(orders[0])


def test_equal_sort_keys_may_change_places_between_requests(service: Emulator) -> None:
    service.faults.swap_ties = True
    by_name = {tuple(numbers(ask(service, sortby="name"))) for _ in range(5)}
    assert len(by_name) == 5
    assert {tuple(sorted(order)) for order in by_name} == {tuple(range(20))}
    assert numbers(ask(service)) == list(range(20))


def test_pages_past_the_first_may_come_back_empty(service: Emulator) -> None:
    service.faults.empty_pages = 2
    lengths = [len(numbers(ask(service, offset=at, limit=5))) for at in (0, 5, 5, 5)]
    assert lengths == [5, 0, 0, 5]
    assert service.faults.empty_pages == 0


def test_rows_may_come_twice_in_one_answer(service: Emulator) -> None:
    service.faults.duplicate_rows = 2
    answer = ask(service, limit=3)
    assert (numbers(answer), total(answer)) == ([0, 1, 0, 1, 2], 20)


@pytest.mark.parametrize(("said", "told"), [(7, 7), ("text", "20"), (None, 20), (-1, -1)])
def test_the_total_may_be_wrong_or_text(service: Emulator, said: Any, told: Any) -> None:
    service.faults.total_count = said
    assert total(ask(service, limit=1)) == told


def test_the_total_may_be_absent(service: Emulator) -> None:
    service.faults.total_count = "absent"
    assert set(ask(service, limit=1).json()) == {"instances"}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_rows_inserted_after_a_page_push_the_others_back(service: Emulator, order: str) -> None:
    service.faults.insert_per_page = 2
    first = ask(service, limit=5, order=order)
    second = ask(service, limit=5, offset=5, order=order)
    assert ids(second)[:2] == ids(first)[3:]
    assert (total(first), total(second)) == (20, 22)
    rows = ask(service, order=order).json()["instances"]
    created = [int(row["creation_timestamp"]) for row in rows]
    assert created == sorted(created, reverse=order == "desc")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_rows_appended_after_a_page_move_only_the_total(service: Emulator, order: str) -> None:
    service.faults.append_per_page = 1
    pages = [ask(service, limit=8, offset=at, order=order) for at in (0, 8, 16)]
    assert [total(page) for page in pages] == [20, 21, 22]
    seen = [key for page in pages for key in ids(page)]
    assert len(seen) == len(set(seen)) == 22
    assert seen == ids(ask(service, order=order))[:22]


def test_rows_deleted_after_a_page_make_the_next_one_skip_some(service: Emulator) -> None:
    service.faults.delete_per_page = 2
    pages = [ask(service, limit=5, offset=at) for at in (0, 5)]
    assert [numbers(page) for page in pages] == [[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]]
    assert [total(page) for page in pages] == [20, 18]


def test_one_deleted_and_one_created_leave_the_total_as_it_was(service: Emulator) -> None:
    service.faults.delete_and_create_per_page = 1
    pages = [ask(service, limit=10, offset=at) for at in (0, 10)]
    assert [total(page) for page in pages] == [20, 20]
    assert "DE-0010" not in {key for page in pages for key in ids(page)}


def test_status_moves_keep_the_instances_and_change_their_slices(service: Emulator) -> None:
    service.faults.status_moves_per_page = 3
    running = ask(service, status="RUNNING")
    stopped = ask(service, status="STOPPED")
    service.faults.status_moves_per_page = 0
    assert numbers(ask(service)) == list(range(20))
    assert sorted(numbers(running) + numbers(stopped)) != list(range(20))


def test_an_instance_that_was_moved_to_stopped_no_longer_tells_when_it_will_stop() -> None:
    settings = FleetSettings(instances=30, days=0, auto_stop_share=1, created_share=0)
    with Emulator(Fleet(settings)) as service:
        running = set(ids(ask(service, status="RUNNING")))
        service.faults.status_moves_per_page = 30
        ask(service)
        moved = [row for row in ask(service).json()["instances"] if row["id"] in running]
        assert len(moved) > 3
        assert {row["status"] for row in moved} == {"STOPPED"}
        told = {name for row in moved for name in row["spec"]["auto_stop"]}
        assert told <= {"enable", "prompt", "duration"}


def test_a_listing_that_drifted_is_no_longer_the_sample() -> None:
    with Emulator.of_sample() as service:
        service.faults.append_per_page = 1
        url = f"{service.endpoint}/v1/{service.project_id}/demanager/instances?de_type=Notebook"
        headers = {"X-Auth-Token": service.token}
        answers = [requests.get(url, headers=headers, timeout=5) for _ in range(2)]
        assert [total(answer) for answer in answers] == [2, 3]


def test_ids_throughout_leave_out_what_came_or_went_meanwhile(service: Emulator) -> None:
    everything = {f"DE-{number:04d}" for number in range(20)}
    assert service.ids_throughout() == everything
    service.faults.delete_and_create_per_page = 1
    ask(service, limit=5)
    ask(service, limit=5)
    assert service.ids_throughout() == everything - {"DE-0000", "DE-0001"}
    service.faults = Faults()
    service.requests.clear()
    assert service.ids_throughout() == set(ids(ask(service)))
    assert len(service.ids_throughout()) == 20


def test_a_moving_fleet_can_be_made_to_drift_too() -> None:
    with Emulator(Fleet(FleetSettings(instances=12, days=1))) as service:
        service.faults.insert_per_page = 1
        totals = []
        for _ in range(3):
            totals.append(total(ask(service, limit=4)))
        new = ask(service).json()["instances"][0]
        assert totals == [12, 13, 14]
        assert new["id"].startswith("DE-")
        assert new["flavor_details"]["name"] == new["flavor"]


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_known_error_can_be_answered(service: Emulator, name: str) -> None:
    service.faults.fail_next = [ERRORS[name]]
    answer = ask(service)
    assert (answer.status_code, answer.content) == (ERRORS[name].status, ERRORS[name].body)
    assert ask(service).status_code == 200


def test_errors_can_be_scripted_by_the_number_of_the_request(service: Emulator) -> None:
    late = Answer(503, b"{}", {"Retry-After": "3"})
    service.faults.fail_at_request = {2: late, 4: ERRORS["html"]}
    assert [ask(service).status_code for _ in range(5)] == [200, 503, 200, 502, 200]
    service.requests.clear()
    assert [ask(service).headers.get("Retry-After") for _ in range(2)] == [None, "3"]


def test_throttling_lets_so_many_through_before_each_refusal(service: Emulator) -> None:
    service.faults.throttle_after, service.faults.throttle_times = 2, 1
    statuses = [ask(service).status_code for _ in range(6)]
    assert statuses == [200, 200, 429, 200, 200, 429]


def test_a_throttle_of_none_refuses_every_request(service: Emulator) -> None:
    service.faults.throttle_after = 0
    assert [ask(service).status_code for _ in range(2)] == [429, 429]


@pytest.mark.parametrize(
    ("header", "told"),
    [("seconds", "7"), ("date", "Mon, 12 Oct 2026 00:00:07 GMT"), ("none", None)],
)
def test_throttling_tells_how_long_to_wait_in_each_of_its_ways(
    service: Emulator, header: Any, told: str | None
) -> None:
    service.faults = Faults(throttle_after=0, throttle_header=header, throttle_seconds=7)
    answer = ask(service)
    assert answer.headers.get("Retry-After") == told
    assert "time:1 minute" in answer.json()["error_msg"]


def test_a_date_to_retry_after_is_never_too_early(service: Emulator) -> None:
    service.clock.advance(seconds=0.25)
    service.faults = Faults(throttle_after=0, throttle_header="date", throttle_seconds=7)
    assert ask(service).headers["Retry-After"] == "Mon, 12 Oct 2026 00:00:08 GMT"


def test_a_truncated_body_breaks_off_before_its_length(service: Emulator) -> None:
    whole = ask(service).content
    service.faults.truncate_next = 1
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(service)
    assert ask(service).content == whole


def test_a_cleanly_truncated_body_is_half_of_it(service: Emulator) -> None:
    whole = ask(service).content
    service.faults.truncate_clean = 1
    assert ask(service).content == whole[: len(whole) // 2]
    assert ask(service).content == whole


def test_a_reset_reaches_the_client_in_the_middle_of_the_body(service: Emulator) -> None:
    service.faults.reset_next = 1
    path = f"/v1/{service.project_id}/demanager/instances?de_type=Notebook"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {service.token}\r\n\r\n"
    address = urlsplit(service.endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(head.encode())
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: connection.recv(1 << 16), b""))
    assert ask(service).status_code == 200


def test_a_slow_answer_runs_into_the_time_out_of_its_client(service: Emulator) -> None:
    service.faults.slow_seconds = 5.0
    url = f"{service.endpoint}/v1/{service.project_id}/demanager/instances?de_type=Notebook"
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(url, headers={"X-Auth-Token": service.token}, timeout=0.1)


def test_faults_can_be_on_together(service: Emulator) -> None:
    service.faults = Faults(page_cap=5, page_aligned=True, total_count="text", append_per_page=1)
    answer = ask(service, limit=50, offset=7)
    assert (numbers(answer), total(answer)) == ([5, 6, 7, 8, 9], "20")


def test_no_fault_ends_the_service(service: Emulator) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(service.endpoint).port or 0)) as broken:
        broken.sendall(b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\nnonsense\r\n\r\n")
        broken.recv(1 << 16)
    service.documents = [b"\xff\xfe", {"id": 5, "user": "nobody", "pool": [], "name": None}]
    service.faults = Faults(insert_per_page=1, delete_per_page=1, status_moves_per_page=9)
    assert ask(service).status_code == 200
    service.faults = Faults()
    assert ask(service).status_code == 200
