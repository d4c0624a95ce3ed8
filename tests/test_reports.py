"""Every report answers its question, and what it rolls up sums to what there is."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import lakes
import pyarrow as pa
import pytest

from etl import query, reports
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.errors import UsageError
from etl.lake import Lake

# Those over the tidy tables alone; what a build is needed for is in test_usage_reports.py.
NAMES = [report.name for report in reports.reports() if not reports.stands_on_marts(report)]
INVENTORIES = [name for name in NAMES if name.startswith("inventory_by_")]
WHOLE_HOURS = ("running_since_at", "created_at", "updated_at", "first_seen_at", "observed_at")


@cache
def answer(lake: Lake, name: str) -> pa.Table:
    """The answer of a report, worked out once: these lakes stay as they are."""
    return reports.run(lake, name)


def rows(lake: Lake, name: str) -> list[dict[str, Any]]:
    """The answer of a report, its times as hours since midnight, and without the project."""
    found = answer(lake, name).to_pylist()
    for row in found:
        row.pop("project_id", None)
        for column in [column for column in row if column in WHOLE_HOURS and row[column]]:
            seconds = row[column].timestamp() - lakes.MIDNIGHT_MS / 1000
            row[column] = seconds / 3600
    return found


def one(lake: Lake, sql: str) -> Any:
    """The only value of a query."""
    return query.run(lake, sql).to_pylist()[0].popitem()[1]


def total(found: list[dict[str, Any]], column: str) -> int:
    return sum(row[column] or 0 for row in found)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two projects that list instances with the same ids, users, pools and flavors."""
    directory = tmp_path_factory.mktemp("twins") / "lake"
    seen = Documents(next(lakes.states()))
    with Emulator(clock=Clock.at(lakes.MIDNIGHT), fleets={"a" * 32: seen, "b" * 32: seen}) as service:
        for project_id in service.project_ids:
            lake = lakes.sweep_into(directory, service, project_id)
    return lake


@pytest.fixture(scope="module", params=["lake", "small_lake", "twins"])
def any_lake(request: pytest.FixtureRequest) -> Lake:
    """Each of the lakes in turn."""
    found: Lake = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_report_says_its_question_and_its_grain(name: str) -> None:
    found = reports.report(name)
    assert found.question.endswith("?")
    assert re.fullmatch(r"one row per .*[^.]", found.grain)


@pytest.mark.parametrize("name", NAMES)
def test_a_report_has_no_row_twice_and_always_the_same_order(name: str, lake: Lake) -> None:
    found = answer(lake, name)
    assert len({str(row) for row in found.to_pylist()}) == found.num_rows
    assert reports.run(lake, name).equals(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_count_is_a_whole_number(name: str, small_lake: Lake) -> None:
    counts = [field for field in answer(small_lake, name).schema if field.name.endswith("_count")]
    assert {str(field.type) for field in counts} <= {"int64"}


@pytest.mark.parametrize("name", NAMES)
def test_a_report_joins_on_the_project_wherever_it_joins(name: str) -> None:
    sql = reports.report(name).sql
    joins = re.findall(r"\bjoin\s+(\w+)\s+on\s+(\S+)", sql)
    assert len(joins) == len(re.findall(r"\bjoin\b", sql))
    assert all(key.endswith(".project_id") for _, key in joins)


@pytest.mark.parametrize("name", INVENTORIES)
def test_an_inventory_sums_to_the_live_instances(name: str, any_lake: Lake) -> None:
    live = one(any_lake, "select count(*) from instances")
    assert live > 0
    assert total(rows(any_lake, name), "instance_count") == live


@pytest.mark.parametrize("name", INVENTORIES)
def test_inventories_agree_on_what_runs(name: str, any_lake: Lake) -> None:
    expected = rows(any_lake, "inventory_by_flavor")
    found = rows(any_lake, name)
    for column in ("accelerator_count", "unknown_flavor_count"):
        assert total(found, column) == total(expected, column)
    running = one(any_lake, "select count(*) from instances where status = 'RUNNING'")
    if name == "inventory_by_status":
        assert total([row for row in found if row["status"] == "RUNNING"], "instance_count") == running
    else:
        assert total(found, "running_count") == running


@pytest.mark.parametrize(
    ("name", "key", "count"),
    [
        ("inventory_by_status", "status", 1),
        ("inventory_by_pool", "pool_id", 6),
        ("inventory_by_flavor", "flavor", 3),
        ("inventory_by_user", "user_id", 3),
        ("inventory_by_workspace", "workspace_id", 6),
        ("inventory_by_ai_project", "ai_project_id", 7),
    ],
)
def test_instances_without_a_group_are_a_row(name: str, key: str, count: int, small_lake: Lake) -> None:
    found = [row["instance_count"] for row in rows(small_lake, name) if row[key] is None]
    assert found == [count]


def test_accelerators_are_those_of_running_instances_and_unknown_ones_are_counted(small_lake: Lake) -> None:
    names = ("user_name", "running_count", "running_without_auto_stop_count")
    counts = ("accelerator_count", "unknown_flavor_count")
    found = [
        tuple(row[column] for column in (*names, *counts)) for row in rows(small_lake, "inventory_by_user")
    ]
    assert found == [("ann", 1, 1, 2, 0), (None, 1, 1, 0, 1), ("bo", 1, 0, 0, 0)]


def test_who_runs_without_auto_stop_is_told_since_the_last_break(small_lake: Lake) -> None:
    assert rows(small_lake, "running_without_auto_stop") == [
        {
            "instance_id": "DE-2",
            "user_id": None,
            "pool_id": None,
            "workspace_id": None,
            "name": "after",
            "user_name": None,
            "pool_name": None,
            "flavor": None,
            "accelerator_count": None,
            "auto_stop_enabled": None,
            "running_since_at": 0,
            "created_at": -2,
        },
        {
            "instance_id": "DE-1",
            "user_id": "u-ann",
            "pool_id": "pool-1",
            "workspace_id": None,
            "name": "notebook-1",
            "user_name": "ann",
            "pool_name": "vision",
            "flavor": "ascend.2",
            "accelerator_count": 2,
            "auto_stop_enabled": False,
            "running_since_at": 2,
            "created_at": -1,
        },
    ]


def test_running_without_auto_stop_has_just_those_instances(lake: Lake) -> None:
    expected = query.run(
        lake,
        "select instance_id from instances where status = 'RUNNING' "
        "and (auto_stop_enabled is null or not auto_stop_enabled)",
    )["instance_id"].to_pylist()
    assert expected
    found = [row["instance_id"] for row in rows(lake, "running_without_auto_stop")]
    assert sorted(found) == sorted(expected)


def test_an_instance_that_left_and_came_back_runs_since_it_came_back(tmp_path: Path) -> None:
    runs = lakes.instance(1, "RUNNING", **lakes.NEVER_STOPS)
    with Emulator.of_documents([], Clock.at(lakes.MIDNIGHT)) as service:
        for documents in ([runs], [], [runs]):
            service.documents = documents
            lake = lakes.sweep_into(tmp_path / "lake", service)
            service.clock.advance(hours=1)
    assert [row["running_since_at"] for row in rows(lake, "running_without_auto_stop")] == [2]


def test_failed_instances_are_found_by_status_by_reason_and_by_code(small_lake: Lake) -> None:
    found = rows(small_lake, "failed_instances")
    columns = ("instance_id", "user_name", "flavor", "status", "code", "message", "updated_at")
    assert [tuple(row[column] for column in columns) for row in found] == [
        ("DE-5", "bo", "ascend.2", "CREATE_FAILED", "ModelArts.6360", "no resources", -5),
        ("DE-6", None, None, "START_FAILED", "ModelArts.6329", None, None),
    ]


def test_failures_by_reason_sum_to_the_failed_instances(any_lake: Lake) -> None:
    failed = rows(any_lake, "failed_instances")
    assert failed
    assert total(rows(any_lake, "failures_by_reason"), "instance_count") == len(failed)


def test_the_queue_tells_who_waits_where_and_for_what(small_lake: Lake) -> None:
    assert rows(small_lake, "queue_now") == [
        {
            "instance_id": "DE-7",
            "user_id": "u-ann",
            "name": "notebook-7",
            "user_name": "ann",
            "flavor": "cpu.free",
            "status": "CREATE_QUEUING",
            "rank": 3,
            "queue_length": 4,
            "remaining_seconds": 600,
            "began_at": None,
            "ends_at": None,
            "observed_at": 0,
        }
    ]


def test_the_latest_sweep_comes_first_with_its_verdict(small_lake: Lake) -> None:
    found = rows(small_lake, "sweep_verdicts")
    columns = ("scope", "verdict", "reason", "instance_count", "new_count", "changed_count", "gone_count")
    whole = "de_type=Notebook&show_self=false"
    assert [tuple(row[column] for column in columns) for row in found] == [
        (whole, "complete", None, 8, 0, 2, 0),
        (whole, "complete", None, 8, 0, 2, 0),
        (whole, "complete", None, 8, 8, 0, 0),
    ]
    assert [row["observed_from"].hour for row in found] == [2, 1, 0]


def test_what_was_set_aside_is_counted_by_its_reason(small_lake: Lake) -> None:
    (found,) = rows(small_lake, "quarantine_by_reason")
    assert found.pop("reason")
    assert found == {
        "field": "latest_update_timestamp",
        "example_document": '"soon"',
        "value_count": 1,
        "instance_count": 1,
    }


def test_an_unknown_field_is_shown_with_an_example_and_since_when(small_lake: Lake) -> None:
    assert rows(small_lake, "unknown_fields") == [
        {
            "path": "mood",
            "example_value": '{"today":"good"}',
            "instance_count": 1,
            "distinct_value_count": 1,
            "first_seen_at": 0,
        }
    ]


def test_reports_over_a_lake_without_sweeps_are_empty(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.create()
    assert {name: rows(lake, name) for name in NAMES} == {name: [] for name in NAMES}


def test_the_error_for_an_unknown_report_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no report 'queue': did you mean 'queue_now'"):
        reports.report("queue")
