"""A sweep that is killed at any moment leaves nothing visible, and nothing to repair."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from etl.dictionary import TABLES
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake
from etl.scope import Scope
from etl.settings import Settings
from etl.sweep import sweep
from etl.views import connect

pytestmark = pytest.mark.long

KILLS = 10  # `make torture` has some hundreds


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with everything imported, so that a kill falls into the sweep."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["etl.sweep", "pandas", "deltalake"])
    return context


def run_one(settings: Settings) -> None:
    """A sweep in a process of its own."""
    sweep(settings, Scope())


def start(context: multiprocessing.context.ForkServerContext, settings: Settings) -> ForkServerProcess:
    process = context.Process(target=run_one, args=(settings,))
    process.start()
    return process


def visible(lake: Lake) -> dict[str, int]:
    """How many rows of each sweep the readers see in the history of instances."""
    with connect(lake) as connection:
        return dict(
            connection.execute("select sweep_id, count(*) from instance_history group by all").fetchall()
        )


def states(lake: Lake) -> dict[str, str]:
    with connect(lake) as connection:
        return dict(connection.execute("select instance_id, status from instances").fetchall())


def test_a_sweep_killed_at_any_moment_leaves_only_whole_sweeps(
    tmp_path: Path, context: multiprocessing.context.ForkServerContext
) -> None:
    fleet = Fleet(FleetSettings(instances=150, seed=11, mean_run_hours=1, mean_idle_hours=1))
    draw = random.Random(5)
    with Emulator(fleet, clock=Clock.at("2026-10-12T00:00:00Z")) as service:
        settings = Settings(
            lake=str(tmp_path / "lake"),
            endpoint=service.endpoint,
            project_id=service.project_id,
            token=service.token,
            limit=40,
            requests_per_second=1000,
        )
        lake = Lake(settings.lake)
        began = time.monotonic()
        first = start(context, settings)
        first.join()
        assert first.exitcode == 0
        lasts = time.monotonic() - began
        killed, tries = 0, 0
        while killed < KILLS and tries < 3 * KILLS:
            tries += 1
            service.clock.advance(seconds=900)
            before = visible(lake)
            began = time.monotonic()
            process = start(context, settings)
            process.join(draw.uniform(0, lasts))
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            else:
                lasts = min(lasts, time.monotonic() - began)
            process.join()
            after = visible(lake)
            # What was visible stays as it was, and at most one whole sweep has come to it.
            assert {sweep_id: after.get(sweep_id) for sweep_id in before} == before
            assert len(after) <= len(before) + 1
            assert process.exitcode in (0, -signal.SIGKILL)
        assert killed == KILLS
        service.clock.advance(seconds=900)
        last = start(context, settings)
        last.join()
        assert last.exitcode == 0
        listed = {each["id"]: each["status"] for each in service_rows(service)}
    assert states(lake) == listed
    assert written_sweeps(lake) <= committed_sweeps(lake)


def service_rows(service: Emulator) -> list[dict[str, str]]:
    """The rows of the listing as the service has it now."""
    import requests

    answer = requests.get(
        f"{service.endpoint}/v1/{service.project_id}/demanager/instances",
        params={"de_type": "Notebook", "show_self": "false"},
        headers={"X-Auth-Token": service.token},
        timeout=10,
    )
    rows: list[dict[str, str]] = answer.json()["instances"]
    return rows


def committed_sweeps(lake: Lake) -> set[str]:
    return set(lake.delta("sweeps").to_pyarrow_table()["sweep_id"].to_pylist())


def written_sweeps(lake: Lake) -> set[str]:
    """The sweeps that have rows in any table, whether readers see them or not."""
    return {
        sweep_id
        for table in TABLES
        for sweep_id in lake.delta(table.name).to_pyarrow_table()["sweep_id"].to_pylist()
    }
