"""Several writers of a lake in an object store, some of them killed: no commit is lost, and none doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from typing import Any

import pytest
from conftest import keys
from support import document, rows_of, settings_for

from etl import leases, raw
from etl.bucket import Bucket
from etl.build import build
from etl.dictionary import TABLES
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.errors import DemeterError, LakeBusy
from etl.lake import Lake
from etl.scope import Scope
from etl.settings import Settings
from etl.sweep import sweep

PROJECTS = ("a" * 32, "b" * 32)
DOCUMENTS = [document(number) for number in range(1, 31)]


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["etl.sweep", "etl.build", "pandas", "deltalake"])
    return context


@pytest.fixture
def service() -> Iterator[Emulator]:
    """Two projects with the same instances."""
    with Emulator(
        clock=Clock.at("2026-10-12T00:00:00Z"), fleets={each: Documents(DOCUMENTS) for each in PROJECTS}
    ) as emulator:
        yield emulator


def sweeps(environment: dict[str, str], settings: Settings, times: int) -> None:
    """So many sweeps one after the other, in a process of its own, which ends with the status of an error."""
    os.environ.update(environment)
    for _ in range(times):
        try:
            found = sweep(settings, Scope())
        except DemeterError as error:
            os._exit(error.exit_status)
        if found.verdict != "complete":
            os._exit(9)


def dies(environment: dict[str, str], settings: Settings, what: str, when: int | str) -> None:
    """A sweep and a build in a process of its own, which is killed as it begins the nth call of something."""
    os.environ.update(environment)
    leases.SECONDS = 2.0
    owner: Any
    owner, name = {
        "land": (raw.Landing, "land"),
        "deliver": (Bucket, "deliver"),
        "append": (Lake, "append_batches"),
        "remove": (Bucket, "remove"),
        "swap": (Bucket, "swap"),
        "put": (Bucket, "put"),
    }[what]
    real, calls = getattr(owner, name), iter(range(1, 1000))

    def call_or_die(*arguments: Any, **named: Any) -> Any:
        if when in (next(calls), *arguments[1:2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(owner, name, call_or_die)
    sweep(settings, Scope())
    build(settings, Lake(settings.lake))


def started(context: Any, target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    told = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "XDG_"))}
    process: ForkServerProcess = context.Process(target=target, args=(told, *arguments))
    process.start()
    return process


def settings_of(service: Emulator, url: str, project: str, **others: Any) -> Settings:
    given = {"project_id": project, "token": service.token_of(project), "limit": 20, "tz": "UTC", **others}
    return settings_for(service, url, **given)


def test_two_projects_are_swept_side_by_side_and_no_commit_is_lost(
    service: Emulator, url: str, context: Any
) -> None:
    # Nor does one that makes the lake get in the way of another that does.
    running = [started(context, sweeps, settings_of(service, url, each), 3) for each in PROJECTS]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    lake = Lake(url)
    found = [row["project_id"] for row in rows_of(lake, "sweeps")]
    assert sorted(found) == sorted(PROJECTS * 3)
    ids = sorted((row["project_id"], row["instance_id"]) for row in rows_of(lake, "instances"))
    assert ids == sorted((project, each["id"]) for project in PROJECTS for each in DOCUMENTS)


def test_of_two_sweeps_of_one_project_one_waits_or_ends_with_7(
    service: Emulator, lake_url: str, context: Any
) -> None:
    patient = settings_of(service, lake_url, PROJECTS[0], wait_seconds=60.0)
    hasty = settings_of(service, lake_url, PROJECTS[0])
    with Lake(lake_url).lock(f"sweep-{PROJECTS[0]}"):
        refused = started(context, sweeps, hasty, 1)
        refused.join()
        waiting = started(context, sweeps, patient, 1)
        waiting.join(1.0)
        assert (refused.exitcode, waiting.is_alive()) == (7, True)
    waiting.join()
    assert waiting.exitcode == 0
    assert len(rows_of(Lake(lake_url), "sweeps")) == 1


@pytest.mark.parametrize(
    ("what", "when"),
    [
        ("land", 2),
        ("deliver", 1),
        ("append", "instances"),
        ("append", "sweeps"),
        ("remove", 2),
        ("put", 6),
        ("swap", 1),
    ],
)
def test_a_writer_that_is_killed_loses_nothing_and_doubles_nothing(
    what: str,
    when: int | str,
    service: Emulator,
    lake_url: str,
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of(service, lake_url, PROJECTS[0], wait_seconds=30.0)
    killed = started(context, dies, settings, what, when)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    before = {row["sweep_id"] for row in rows_of(Lake(lake_url), "sweeps")}
    monkeypatch.setattr(leases, "SECONDS", 2.0)
    service.clock.advance(hours=1)
    lake = Lake(lake_url)
    found = sweep(settings, Scope(), lake=lake)
    assert (found.verdict, found.error) == ("complete", None)
    assert [each for each in build(settings, lake).findings if each.status != "ok"] == []
    committed = before | {found.sweep_id}
    assert {row["sweep_id"] for row in rows_of(lake, "sweeps")} == committed
    written = {
        sweep_id
        for table in TABLES
        for sweep_id in lake.delta(table.name).to_pyarrow_table(columns=["sweep_id"])["sweep_id"].to_pylist()
    }
    assert written <= committed
    ids = [row["instance_id"] for row in rows_of(lake, "instances")]
    assert sorted(ids) == sorted(str(each["id"]) for each in DOCUMENTS)
    # The pages of the one that was killed are kept, as far as they came.
    folders = {key.split("/")[2] for key in keys(lake_url) if key.startswith("raw/")}
    assert len(folders) == 2
    assert not [key for key in keys(lake_url) if key.endswith(".writing")]


def test_a_sweep_that_was_killed_is_resumed_from_the_pages_that_waited_on_this_machine(
    service: Emulator, lake_url: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(service, lake_url, PROJECTS[0], wait_seconds=30.0)
    killed = started(context, dies, settings, "land", 2)
    killed.join()
    monkeypatch.setattr(leases, "SECONDS", 2.0)
    lake = Lake(lake_url)
    (waiting,) = lake.store.landed(f"raw/{PROJECTS[0]}")
    found = sweep(settings, Scope(), resume=True, lake=lake)
    assert (found.verdict, found.counts["instance_count"]) == ("complete", len(DOCUMENTS))
    assert [row["resumed_from"] for row in rows_of(lake, "sweeps")] == [waiting]


def test_a_sweep_that_lost_its_lock_to_another_commits_nothing(
    service: Emulator, lake_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SECONDS", 2.0)
    settings = settings_of(service, lake_url, PROJECTS[0])
    slow = Lake(lake_url)
    deliver = Bucket.deliver

    def stand_still(store: Bucket, name: str) -> None:
        deliver(store, name)
        monkeypatch.setattr(Bucket, "deliver", deliver)
        (lease,) = store._leases._held
        lease._over.set()
        lease._renewal.join()
        assert sweep(replace(settings, wait_seconds=30.0), Scope()).verdict == "complete"

    monkeypatch.setattr(Bucket, "deliver", stand_still)
    with pytest.raises(LakeBusy, match=r"this run lost sweep-a+ of this lake to another"):
        sweep(settings, Scope(), lake=slow)
    assert len(rows_of(slow, "sweeps")) == 1
    assert len({row["sweep_id"] for row in slow.delta("instances").to_pyarrow_table().to_pylist()}) == 1
