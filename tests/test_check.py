"""`demeter check` names what is wrong with the machine, the service and the lake."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import committed, environment_for, settings_for, swept

from etl import checks, viewfile
from etl.checks import Finding, check_all
from etl.cli import main
from etl.emulator import ERRORS, Clock, Emulator
from etl.errors import LakeBusy
from etl.lake import Lake
from etl.settings import Settings

Usage = namedtuple("Usage", "total used free")
MADE_BEFORE = ("settings", "source", "clock", "space", "lake", "freshness", "view_file")


@pytest.fixture
def service() -> Iterator[Emulator]:
    """A service whose clock is that of this machine."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with Emulator.of_documents([], Clock.at(now, speed=1)) as found:
        yield found


def findings(service: Emulator, lake: Lake, **others: object) -> dict[str, Finding]:
    settings = settings_for(service, lake.path, **others)
    return {finding.name: finding for finding in check_all(settings, lake)}


def test_all_is_well_after_a_sweep(service: Emulator, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    swept(service, lake)
    found = findings(service, lake, max_sweep_age_minutes=5)
    assert [found[name].status for name in MADE_BEFORE if name != "space"] == ["ok"] * 6
    assert tuple(found)[: len(MADE_BEFORE)] == MADE_BEFORE


@pytest.mark.parametrize(("free", "total", "status"), [(2, 10, "ok"), (2, 30, "warn"), (0.9, 5, "warn")])
def test_a_disk_with_little_room_is_warned_of_without_any_settings(
    free: float, total: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage(int(total * 1e9), 0, int(free * 1e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = {each.name: each for each in check_all(Settings(), Lake(tmp_path / "not" / "yet"))}
    assert (found["settings"].status, found["space"].status) == ("fail", status)
    assert f"{free} GB of {total:.1f} GB are free" in found["space"].detail.replace("2.0 GB of", "2 GB of")


@pytest.mark.parametrize(("hours", "said"), [(-1, "3,600 seconds ahead"), (1, "seconds behind")])
def test_a_clock_that_is_off_is_named(hours: int, said: str, tmp_path: Path) -> None:
    then = datetime.now(UTC) + timedelta(hours=hours, seconds=-1 if hours < 0 else 0)
    with Emulator.of_documents([], Clock.at(f"{then:%Y-%m-%dT%H:%M:%SZ}", speed=1)) as service:
        found = findings(service, Lake(tmp_path / "lake"))
    assert (found["source"].status, found["clock"].status) == ("ok", "warn")
    assert said.partition(" ")[2] in found["clock"].detail


def test_a_user_who_may_list_its_own_instances_only_is_told_so(service: Emulator, tmp_path: Path) -> None:
    service.faults.fail_at_request = {1: ERRORS["no_permission"]}
    found = findings(service, Lake(tmp_path / "lake"))
    assert found["source"].status == "fail"
    assert "its own instances only" in found["source"].detail
    assert [each.params["show_self"] for each in service.requests] == ["false", "true"]


def test_a_user_who_may_list_nothing_is_told_so(service: Emulator, tmp_path: Path) -> None:
    service.faults.fail_at_request = dict.fromkeys((1, 2), ERRORS["no_permission"])
    found = findings(service, Lake(tmp_path / "lake"))
    assert "the service forbids this (403)" in found["source"].detail
    assert "clock" not in found


@pytest.mark.parametrize(("minutes", "status"), [(0.0, "ok"), (30.0, "ok"), (0.0000001, "fail")])
def test_a_last_sweep_that_is_older_than_the_setting_fails(
    minutes: float, status: str, service: Emulator, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    swept(service, lake)
    found = findings(service, lake, max_sweep_age_minutes=minutes)["freshness"]
    assert found.status == status
    assert (service.project_id in found.detail) is (status == "fail")


def test_without_the_setting_four_usual_intervals_are_too_long(service: Emulator, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for _ in range(3):
        committed(service, lake)
    now = datetime.now(UTC)
    assert checks._freshness(Settings(), lake, now + timedelta(hours=10)).status == "warn"
    assert checks._freshness(Settings(), lake, now - timedelta(hours=1)).status == "ok"


def test_a_file_of_views_that_is_behind_or_not_there_is_warned_of(service: Emulator, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    swept(service, lake)
    file = lake.path / viewfile.FILE
    stale = file.read_bytes()
    committed(service, lake)
    file.write_bytes(stale)
    assert "is behind" in findings(service, lake)["view_file"].detail
    file.unlink()
    assert "cannot be read" in findings(service, lake)["view_file"].detail
    swept(service, lake)
    assert findings(service, lake)["view_file"].status == "ok"


def test_a_lake_that_fails_a_check_ends_with_4(service: Emulator, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    swept(service, lake)
    environment = environment_for(service, lake.path, DEMETER_MAX_SWEEP_AGE_MINUTES="0.0000001")
    result = CliRunner().invoke(main, ["check"], env=environment)
    assert (result.exit_code, result.stderr) == (
        4,
        "demeter: failed: freshness; look at the detail of each\n",
    )


# A sweep that waits for another one.


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TZ", "Mars/X", "there is no time zone 'Mars/X'"),
        ("REPORTS", "nosuch", "nosuch"),
        ("REPORTS_FORMAT", "pdf", "reports_format 'pdf'"),
        ("PRICES", "nosuch.csv", "nosuch.csv"),
    ],
)
def test_what_would_end_a_run_after_its_sweep_is_said_before(
    name: str, value: str, said: str, service: Emulator, tmp_path: Path
) -> None:
    environment = environment_for(service, tmp_path / "lake", **{f"DEMETER_{name}": value})
    result = CliRunner().invoke(main, ["check", "--format", "json"], env=environment)
    [found] = [each for each in json.loads(result.stdout) if each["name"] == "run"]
    assert (result.exit_code, found["status"]) == (4, "fail")
    assert said in found["detail"]


def test_a_sweep_waits_as_long_as_it_is_told_for_another_one(service: Emulator, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.create()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with Lake(lake.path).lock(f"sweep-{service.project_id}"):
            held.set()
            release.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(60)
    began = time.monotonic()
    with pytest.raises(LakeBusy):
        committed(service, lake, wait_seconds=0.5)
    assert time.monotonic() - began >= 0.5
    threading.Timer(0.5, release.set).start()
    assert committed(service, lake, wait_seconds=60).verdict == "complete"
    other.join()


def test_who_looks_whether_a_lock_is_held_is_not_taken_for_a_run(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.create()
    with lake.lock("maintain"):
        pass

    with (lake.path / "locks" / "maintain.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with lake.lock("maintain"):
            pass
