"""A sweep that is told to stop ends in good order, and keeps what came."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import environment_for

from etl import query
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake

pytestmark = pytest.mark.long

FLEET = FleetSettings(instances=60, seed=3)
LINE = [sys.executable, "-c", "from etl.cli import main; main()"]


def start(service: Emulator, lake: Path, *arguments: str, **others: str) -> subprocess.Popen[str]:
    environment = environment_for(service, lake, DEMETER_LIMIT="10", DEMETER_ATTEMPTS="6", **others)
    return subprocess.Popen(  # noqa: S603 -- the command line of this checkout
        [*LINE, "sweep", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(happened: Callable[[], bool]) -> None:
    """Wait for what has to happen before a signal is sent."""
    for _ in range(600):
        if happened():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_sweep_that_lists_and_the_next_one_resumes_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    with Emulator(Fleet(FLEET), Clock.at(FLEET.start)) as service:
        service.faults.slow_seconds = 0.4
        process = start(service, lake.path)
        until(lambda: len(service.requests) >= 4)
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
        assert process.returncode == -number
        assert " is failed: " in out
        assert said == (
            f"demeter: {number.name} came before the listing ended: what came is kept, and "
            "`demeter sweep --resume` goes on\n"
        )
        [row] = query.run(lake, "select verdict, reason, page_count from sweeps").to_pylist()
        assert row["verdict"] == "failed"
        assert row["reason"].startswith(f"{number.name} came before the listing ended")
        assert row["page_count"] >= 2
        kept = query.run(lake, "select * from instances").num_rows
        assert kept >= 10
        service.faults.slow_seconds = 0
        resumed = start(service, lake.path, "--resume")
        out, _ = resumed.communicate(timeout=60)
    assert (resumed.returncode, " is complete: 60 instance" in out) == (0, True)
    assert query.run(lake, "select * from instances").num_rows == 60


def test_a_signal_ends_the_wait_for_a_busy_service(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with Emulator(Fleet(FLEET), Clock.at(FLEET.start)) as service:
        service.faults.throttle_after = 1
        service.faults.throttle_times = 100
        service.faults.throttle_seconds = 600
        process = start(service, lake.path, DEMETER_TOTAL_SECONDS="5000")
        until(lambda: len(service.requests) >= 2)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert query.run(lake, "select verdict from sweeps").to_pylist() == [{"verdict": "failed"}]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with Emulator(Fleet(FLEET), Clock.at(FLEET.start)) as service:
        service.faults.slow_seconds = 100
        process = start(service, lake.path)
        until(lambda: len(service.requests) >= 1)
        process.terminate()
        time.sleep(0.5)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert query.run(lake, "select * from sweeps").num_rows == 0
