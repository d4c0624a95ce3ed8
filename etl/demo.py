"""The demo: sweeps over simulated days against the emulated service, priced, no account needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from etl.build import build
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.errors import UsageError
from etl.lake import Lake
from etl.scope import Scope
from etl.settings import Settings
from etl.sweep import list_and_commit

MARKER = "demo.json"
REPORTS = (
    "sweep_verdicts",
    "inventory_by_status",
    "summary",
    "usage_by_day",
    "top_spenders",
    "forgotten",
    "stopped_but_kept",
    "failures_by_reason",
    "price_coverage",
    "data_quality",
)


@dataclass(frozen=True)
class Demo:
    """How long and how often the demo sweeps, and how large its fleet is."""

    start: str = "2026-10-12T00:00:00Z"
    days: int = 3
    every_minutes: int = 90
    instances: int = 200

    @property
    def sweeps(self) -> int:
        """How many sweeps that makes."""
        return self.days * 24 * 60 // self.every_minutes


def fill(directory: Path, demo: Demo, progress: Callable[[int, int], None]) -> Lake:
    """A new lake in the directory, filled by sweeps of an emulated fleet."""
    _make_room(directory)
    fleet = Fleet(FleetSettings(instances=demo.instances, start=demo.start, days=demo.days))
    with Emulator(fleet, clock=Clock.at(demo.start)) as service:
        settings = Settings(
            lake=str(directory),
            endpoint=service.endpoint,
            project_id=service.project_id,
            iam_endpoint=service.endpoint,
            user=service.user,
            password=service.password,
            domain=service.domain,
            requests_per_second=1000,
        )
        lake = Lake(directory)
        for number in range(demo.sweeps):
            found = list_and_commit(settings, Scope(), lake)
            if found.error:
                raise found.error
            if number % 16 == 0:
                lake.keep_house()
            progress(number + 1, demo.sweeps)
            service.clock.advance(minutes=demo.every_minutes)
    lake.keep_house()
    build(Settings(prices=str(Path(__file__).with_name("demo_prices.csv"))), lake)
    (directory / MARKER).write_text(json.dumps({"sweeps": demo.sweeps}) + "\n", encoding="utf-8")
    return lake


def _make_room(directory: Path) -> None:
    """Take an earlier demo away; anything else that is in the way stays."""
    if (directory / MARKER).is_file():
        shutil.rmtree(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is not empty and not an earlier demo: name another with --lake")
