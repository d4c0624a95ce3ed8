"""The emulated fleet: seeded lives whose truth is known, and documents that tell it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import orjson
import pytest
import requests

from etl.emulator import Clock, Emulator, Fleet, FleetSettings, Interval

HOUR_US = 3_600_000_000
GREGORIAN_TO_EPOCH_TICKS = 0x01B21DD213814000

# Tables 4 to 22 of the reference: every field below an instance, and its JSON type.
FLAVOR_DETAILS = {
    **dict.fromkeys(("name", "status", "type", "promo_type", "billing_flavor"), str),
    **dict.fromkeys(("queuing_num", "queue_left_time", "instance_num", "duration"), int),
    **{"store_time": int, "billing_params": int, "is_permitted": bool},
    **{"storage_list": list, "params": dict},
}
DOCUMENTED: dict[str, type] = {
    **dict.fromkeys(("id", "name", "description", "status", "creation_timestamp"), str),
    **dict.fromkeys(("flavor", "latest_update_timestamp", "error_code"), str),
    **{f"profile.{name}": str for name in ("id", "name", "description", "de_type", "flavor_type")},
    **{"profile.labels": dict, "profile.provision.type": str, "profile.provision.spec": dict},
    **{"profile.provision.annotations": dict, "profile.provision.spec.engine": str},
    **{f"profile.provision.spec.params.{name}": str for name in ("namespace", "image_name")},
    "profile.provision.spec.params.image_tag": str,
    "profile.provision.spec.params.annotations": dict,
    **{f"flavor_details.{name}": kind for name, kind in FLAVOR_DETAILS.items()},
    **{"pool.id": str, "pool.name": str, "pool.type": str, "pool.owner.project_id": str},
    **{"ai_project.id": str, "workspace.id": str, "user.id": str, "user.name": str},
    **{"spec.annotations": dict, "spec.extend_params": dict, "spec.storage.type": str},
    **{"spec.storage.location.path": str, "spec.storage.location.volume_size": int},
    **{"spec.failed_reasons.code": str, "spec.failed_reasons.message": str},
    "spec.failed_reasons.detail": dict,
    **{"spec.auto_stop.enable": bool, "spec.auto_stop.prompt": bool},
    **{f"spec.auto_stop.{name}": int for name in ("duration", "stop_timestamp", "remain_time")},
    **{f"queuing_info.{name}": str for name in ("id", "name", "de_type", "flavor", "status")},
    **{f"queuing_info.{name}": int for name in ("begin_timestamp", "end_timestamp", "rank")},
    "queuing_info.remain_time": int,
    "queuing_info.flavor_details": dict,
    **{f"repository.{name}": str for name in ("id", "branch", "user_name", "user_email", "type")},
    **{f"repository.connection_info.{name}": str for name in ("protocol", "url")},
    "repository.connection_info.credential.ssh_private_key": str,
    "repository.connection_info.credential.access_token": str,
}


@cache
def fleet() -> Fleet:
    return Fleet(FleetSettings(instances=120, seed=11, days=2, failure_share=0.1))


@cache
def documents_of_two_days() -> list[tuple[int, list[dict[str, Any]]]]:
    """The documents at 64 instants, 45 minutes apart, with those instants."""
    view, one = fleet().source(), fleet()
    instants = [one.start_us + step * 45 * 60_000_000 for step in range(64)]
    bodies = [(at, [row.body(at) for row in view.rows_at(at)]) for at in instants]
    return [(at, [orjson.loads(body) for body in listed]) for at, listed in bodies]


def every_document() -> Iterator[tuple[int, dict[str, Any]]]:
    for instant, documents in documents_of_two_days():
        for document in documents:
            yield instant, document


def found_at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def interval_at(instance_id: str, instant_us: int) -> Interval:
    intervals = fleet().truth(instance_id)
    return next(
        one
        for one in intervals
        if one.started_us <= instant_us and (one.ended_us is None or instant_us < one.ended_us)
    )


def bodies(one: Fleet, instants: list[int]) -> list[bytes]:
    view = one.source()
    for instant in instants:
        rows = view.rows_at(instant)
    return [row.body(instants[-1]) for row in rows]


def test_equal_settings_give_equal_fleets_and_another_seed_another() -> None:
    settings = FleetSettings(instances=30, days=1)
    instant = [Fleet(settings).start_us + 20 * HOUR_US]
    assert bodies(Fleet(settings), instant) == bodies(Fleet(settings), instant)
    assert bodies(Fleet(settings), instant) != bodies(
        Fleet(FleetSettings(instances=30, days=1, seed=8)), instant
    )


def test_the_listing_does_not_depend_on_when_somebody_looked_before() -> None:
    settings = FleetSettings(instances=60, days=1)
    start = Fleet(settings).start_us
    steps = [start + step * 600_000_000 for step in range(120)]
    direct = bodies(Fleet(settings), steps[-1:])
    assert bodies(Fleet(settings), steps) == direct
    assert bodies(Fleet(settings), [*steps, steps[-1] + 9 * HOUR_US, steps[-1]]) == direct


@pytest.mark.parametrize("often", [{}, {"delete_share": 1.0}, {"reappear_share": 1.0}])
def test_a_fleet_begins_with_as_many_instances_as_its_settings_say(often: Any) -> None:
    one = Fleet(FleetSettings(instances=120, days=1, **often))
    assert len(one.ids_at(one.start_us // 1000)) == 120


def test_what_is_listed_is_the_truth_of_that_instant() -> None:
    for instant, documents in documents_of_two_days():
        told = {one["id"]: (one["status"], one["flavor"]) for one in documents}
        true = {key: interval_at(key, instant)[:2] for key in told}
        assert told == true
        assert set(told) == fleet().ids_at(instant // 1000)


def test_a_change_shows_at_its_very_instant_and_not_before() -> None:
    view = fleet().source()
    starts = {i.started_us for one in fleet().instances for i in fleet().truth(one.instance_id)}
    for instant in sorted(at for at in starts if at > fleet().start_us)[:60]:
        for moment in (instant - 1, instant):
            told = {row.instance_id: row.status for row in view.rows_at(moment)}
            assert told == {key: interval_at(key, moment).status for key in told}


def test_the_truth_of_a_life_has_no_gaps() -> None:
    for instance in fleet().instances:
        truth = fleet().truth(instance.instance_id)
        assert truth[0].started_us == instance.created_us
        assert all(one.ended_us == next_one.started_us for one, next_one in pairwise(truth))
        assert all(one[:2] != next_one[:2] for one, next_one in pairwise(truth))


def test_running_time_adds_up_over_any_cut() -> None:
    one = fleet()
    first, cut, last = (one.start_us + hours * HOUR_US for hours in (0, 17, 48))
    for instance in one.instances:
        key = instance.instance_id
        parts = [one.running_microseconds(key, *span) for span in ((first, cut), (cut, last))]
        assert sum(parts) == one.running_microseconds(key, first, last)
        assert 0 <= sum(parts) <= 48 * HOUR_US
    total = sum(one.running_microseconds(i.instance_id, first, last) for i in one.instances)
    assert total > 1000 * HOUR_US


def test_ids_are_unique_and_hold_the_time_just_before_the_creation() -> None:
    ids = [instance.instance_id for instance in fleet().instances]
    assert len(set(ids)) == len(ids)
    for instance in fleet().instances:
        embedded = uuid.UUID(instance.instance_id.removeprefix("DE-"))
        ticks = embedded.time - GREGORIAN_TO_EPOCH_TICKS
        assert embedded.version == 1
        assert 5_000 <= instance.created_us - ticks // 10 <= 30_000


def test_instances_are_in_the_order_of_their_creation_and_some_share_a_millisecond() -> None:
    created = [instance.created_us for instance in fleet().instances]
    assert created == sorted(created)
    assert len(set(created)) < len(created)


@pytest.mark.parametrize("path", sorted(DOCUMENTED))
def test_every_documented_field_has_a_value_of_its_type_somewhere(path: str) -> None:
    values = [found_at(document, path) for _, document in every_document()]
    assert {type(value) for value in values if value not in (None, "")} == {DOCUMENTED[path]}


def test_timestamps_are_text_or_numbers_as_in_the_reference() -> None:
    for _, document in every_document():
        assert document["creation_timestamp"].isdigit()
        assert len(document["creation_timestamp"]) == len(document["latest_update_timestamp"]) == 13


def test_numbers_and_text_can_change_places() -> None:
    one = Fleet(FleetSettings(instances=30, days=0, swapped_numbers_share=1))
    for body in bodies(one, [one.start_us]):
        document = orjson.loads(body)
        numbers = [document[f"{name}_timestamp"] for name in ("creation", "latest_update")]
        auto_stop = document["spec"]["auto_stop"]
        texts = [auto_stop[name] for name in ("duration", "stop_timestamp") if name in auto_stop]
        assert {type(number) for number in numbers} == {int}
        assert {type(text) for text in texts} <= {str}


def test_keys_come_in_the_order_of_the_sample() -> None:
    for _, document in every_document():
        assert list(document) == sorted(document)


def test_a_missing_value_is_null_or_absent_or_empty_as_in_the_sample() -> None:
    documents = [document for _, document in every_document()]
    assert {one["spec"]["extend_storage"] is None for one in documents} == {True, False}
    assert {one.get("repository", "absent") is None for one in documents} == {True, False}
    descriptions = {one.get("description", "absent") for one in documents}
    assert {"absent", "", "for the paper"} <= descriptions
    for one in documents:
        assert (one["spec"]["failed_reasons"] is None) == ("error_code" not in one)


def test_auto_stop_tells_when_only_while_the_instance_runs() -> None:
    for instant, document in every_document():
        told = document["spec"]["auto_stop"]
        has_end = {name in told for name in ("stop_timestamp", "remain_time")}
        assert has_end == {told["enable"] and document["status"] == "RUNNING"}
        assert ("duration" in told) == told["enable"]
        if True in has_end:
            left_us = told["stop_timestamp"] * 1000 - instant
            assert told["remain_time"] == left_us // 1_000_000


def test_the_url_of_a_notebook_is_empty_unless_it_runs() -> None:
    for _, document in every_document():
        assert bool(document["spec"]["annotations"]["url"]) == (document["status"] == "RUNNING")


def test_a_run_starts_its_duration_before_it_will_stop_unless_the_stop_was_moved() -> None:
    one = Fleet(FleetSettings(instances=80, days=1, auto_stop_renewal_share=0, reappear_share=0))
    instant = one.start_us + 13 * HOUR_US
    starts = {}
    for row in one.source().rows_at(instant):
        document = orjson.loads(row.body(instant))
        told = document["spec"]["auto_stop"]
        if "stop_timestamp" in told:
            starts[document["id"]] = told["stop_timestamp"] * 1000 - told["duration"] * 1_000_000
    begun = {key: [i.started_us for i in one.truth(key)] for key in starts}
    true = {key: max(at for at in begun[key] if at <= instant) for key in starts}
    assert len(starts) > 5
    assert starts == true


def test_an_automatic_stop_comes_exactly_when_it_was_told() -> None:
    one = Fleet(FleetSettings(instances=80, days=1, mean_run_hours=50, auto_stop_renewal_share=0))
    instant = one.start_us + 13 * HOUR_US
    for row in one.source().rows_at(instant):
        told = orjson.loads(row.body(instant))["spec"]["auto_stop"]
        if "stop_timestamp" in told:
            ends = [i.ended_us for i in one.truth(row.instance_id) if i.started_us <= instant]
            assert ends[-1] is not None
            assert ends[-1] <= told["stop_timestamp"] * 1000


def updates(rule: Any) -> list[tuple[str, str, int, int]]:
    """Each change of status that was seen: from, to, when, and latest_update_timestamp after it."""
    settings = FleetSettings(instances=60, days=1, updated_at_rule=rule, rename_share=0)
    one, seen = Fleet(settings), []
    for instance in one.instances:
        for before, after in pairwise(one.truth(instance.instance_id)):
            state = instance.life.state_at(after.started_us)
            if after.started_us >= one.start_us and state is not None:
                seen.append((before.status, after.status, after.started_us, state.updated_us))
    return seen


def test_under_every_status_each_change_moves_the_update_by_a_moment_later() -> None:
    changes = updates("every_status")
    assert len(changes) > 300
    assert all(at <= updated <= at + 2_000_000 for _, _, at, updated in changes)


def test_under_user_actions_only_users_move_the_update() -> None:
    changes = updates("user_actions")
    moved = {(before, after) for before, after, at, updated in changes if updated >= at}
    still = {(before, after) for before, after, at, updated in changes if updated < at}
    assert ("RUNNING", "STOPPING") in moved & still
    assert {("STOPPED", "STARTING"), ("STARTING", "RUNNING"), ("STOPPING", "STOPPED")} <= still
    assert not {("STOPPED", "STARTING"), ("STARTING", "RUNNING")} & moved


def test_an_update_is_never_told_from_the_future() -> None:
    one = Fleet(FleetSettings(instances=60, days=1, updated_at_lag_seconds=60))
    view, late = one.source(), 0
    changes = [
        interval.started_us
        for instance in one.instances
        for interval in one.truth(instance.instance_id)
        if interval.started_us > one.start_us
    ]
    for instant in sorted(changes)[:200]:
        for row in view.rows_at(instant):
            updated = int(orjson.loads(row.body(instant))["latest_update_timestamp"])
            late += updated * 1000 == instant
            assert updated * 1000 <= instant
    assert late > 100


def test_an_update_that_was_told_too_early_is_told_in_full_later() -> None:
    one = Fleet(FleetSettings(instances=60, days=1, updated_at_lag_seconds=60))
    view, late = one.source(), 0
    for instance in one.instances:
        key = instance.instance_id
        at = max(i.started_us for i in one.truth(key) if i.status != "DELETED")
        state = instance.life.state_at(at)
        for instant in (at, at + 61_000_000):
            row = next(row for row in view.rows_at(instant) if row.instance_id == key)
            told_ms = int(orjson.loads(row.body(instant))["latest_update_timestamp"])
            if instance.life.state_at(instant) is state:
                assert told_ms == min(state.updated_us, instant) // 1000
                late += instant > at
    assert late > 40


def test_the_queue_of_a_free_flavor_moves_while_its_instance_stands_still() -> None:
    settings = FleetSettings(instances=20, days=0, free_share=9, created_share=0)
    one = Fleet(settings)
    view, seen = one.source(), set()
    for period in range(8):
        instant = one.start_us + HOUR_US * (100 + period)
        for row in view.rows_at(instant):
            details = orjson.loads(row.body(instant))["flavor_details"]
            is_queued_for = details.get("promo_type") == "Free" and details["status"] == "soldOut"
            assert is_queued_for == ("queuing_num" in details) == ("queue_left_time" in details)
            seen.add((details["name"], details.get("queuing_num")))
    assert len({number for name, number in seen if name == "modelarts.vm.cpu.free"}) > 2


def test_nothing_happens_in_an_unchanging_fleet() -> None:
    one = Fleet(FleetSettings(instances=60, unchanging=True))
    view, told = one.source(), []
    for hours in (0, 1, 30, 71):
        instant = one.start_us + hours * HOUR_US
        documents = [orjson.loads(row.body(instant)) for row in view.rows_at(instant)]
        for document in documents:
            document["spec"]["auto_stop"].pop("remain_time", None)
            document.get("queuing_info", {}).pop("remain_time", None)
            document.get("queuing_info", {}).pop("rank", None)
        told.append(documents)
    assert len(told[0]) == 60
    assert told[1:] == told[:1] * 3


def test_the_listing_grows_and_shrinks_and_deleted_instances_linger() -> None:
    start_ms = fleet().start_us // 1000
    first, last = (fleet().ids_at(start_ms + hours * 3_600_000) for hours in (0, 47))
    assert last - first
    assert first - last
    lingering = {
        one.started_us: one.ended_us
        for instance in fleet().instances
        for one in fleet().truth(instance.instance_id)
        if one.status == "DELETED"
    }
    assert len(lingering) > 5
    assert {ended - started for started, ended in lingering.items() if ended} == {HOUR_US}


def test_an_instance_may_be_missing_for_a_while_although_it_runs_on() -> None:
    one = Fleet(FleetSettings(instances=40, days=1, reappear_share=0.5))
    start_ms, returned = one.start_us // 1000, set()
    instants = [start_ms + minutes * 60_000 for minutes in range(0, 720, 4)]
    listings = [one.ids_at(instant) for instant in instants]
    for number in range(1, len(listings)):
        for key in listings[number - 1] - listings[number]:
            if any(key in later for later in listings[number:]):
                returned.add(key)
                from_us, to_us = instants[number - 1] * 1000, instants[number] * 1000
                assert one.running_microseconds(key, from_us, to_us) == 240_000_000
    assert len(returned) > 5


def test_statuses_beyond_the_reference_occur() -> None:
    settings = FleetSettings(instances=100, days=2, frozen_share=0.1, free_share=2)
    one = Fleet(settings)
    lived = {i.status for each in one.instances for i in one.truth(each.instance_id)}
    documented = {
        *("CREATING", "CREATE_FAILED", "STARTING", "RESTARTING", "START_FAILED", "RUNNING"),
        *("STOPPING", "STOPPED", "UNAVAILABLE", "DELETED", "RESIZING", "RESIZE_FAILED"),
    }
    beyond = {"CREATE_QUEUING", "START_QUEUING", "READY_TO_START", "DELETING", "FROZEN"}
    assert lived == documented | beyond


def test_names_include_what_breaks_careless_programs() -> None:
    names = {document["name"] for _, document in every_document()}
    assert any("<script>" in name or name.startswith("=") or "\n" in name for name in names)
    assert any(ord(character) > 0x3000 for name in names for character in name)


def test_every_planted_secret_is_in_a_document_and_no_other() -> None:
    one = Fleet(FleetSettings(instances=50, days=0, created_share=0, repository_share=0.5))
    text = b"".join(bodies(one, [one.start_us]))
    planted = one.planted_secrets
    assert len(planted) > 50
    assert all(secret.encode() in text for secret in planted)
    for secret in sorted(planted, key=len, reverse=True):
        text = text.replace(secret.encode(), b"")
    assert b"PLANTED" not in text


def listed(service: Emulator, project_id: str, **parameters: str) -> dict[str, Any]:
    url = f"{service.endpoint}/v1/{project_id}/demanager/instances"
    headers = {"X-Auth-Token": service.token_of(project_id)}
    asked = {"de_type": "Notebook", **parameters}
    return dict(requests.get(url, params=asked, headers=headers, timeout=10).json())


def test_a_fleet_is_served_as_it_stands_on_the_clock() -> None:
    with Emulator(fleet(), clock=Clock.at("2026-10-12T10:00:00Z")) as service:
        for _ in range(3):
            answer = listed(service, service.project_id, show_self="false")
            ids = {one["id"] for one in answer["instances"]}
            assert answer["total_count"] == len(answer["instances"])
            assert ids == fleet().ids_at(service.clock.now_ms())
            service.clock.advance(hours=7)


def test_only_the_callers_own_instances_are_listed_unless_all_are_asked_for() -> None:
    with Emulator(fleet()) as service:
        own, every = (listed(service, service.project_id, show_self=s) for s in ("true", "false"))
        assert {one["user"]["name"] for one in own["instances"]} == {service.user}
        assert 0 < own["total_count"] < every["total_count"] == 120


def test_each_project_has_its_own_fleet() -> None:
    settings = [FleetSettings(instances=4 + seed, seed=seed) for seed in (1, 2)]
    fleets = {f"project-{one.seed}": Fleet(one) for one in settings}
    with Emulator(fleets=fleets) as service:
        assert service.project_ids == ["project-1", "project-2"]
        totals = [listed(service, key, show_self="false")["total_count"] for key in fleets]
        assert totals == [5, 6]


def test_ids_throughout_are_those_that_were_never_away() -> None:
    one = Fleet(FleetSettings(instances=60, days=1, reappear_share=0.5, delete_share=0.2))
    with Emulator(one) as service:
        listed(service, service.project_id)
        service.clock.advance(hours=12)
        first, last = (one.ids_at(one.start_us // 1000 + hours * 3_600_000) for hours in (0, 12))
        throughout = service.ids_throughout()
        minutes = range(720)
        always = first.intersection(
            *(one.ids_at(one.start_us // 1000 + minute * 60_000) for minute in minutes)
        )
        assert throughout == always < first & last
        service.requests.clear()
        assert service.ids_throughout() == last
