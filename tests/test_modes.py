"""A lake is for its owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import environment_for

from etl.cli import main
from etl.emulator import Clock, Emulator, Fleet, FleetSettings


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(directory: Path) -> set[tuple[str, int]]:
    """The modes of all directories and files of a tree."""
    found = [directory, *directory.rglob("*")]
    return {("d" if each.is_dir() else "f", stat.S_IMODE(each.stat().st_mode)) for each in found}


@pytest.mark.usefixtures("open_umask")
def test_a_lake_is_for_its_owner_alone_and_a_report_is_for_whom_its_user_lets(tmp_path: Path) -> None:
    lake, report = tmp_path / "lake", tmp_path / "report.csv"
    others = {
        "DEMETER_REPORTS": "summary",
        "DEMETER_REPORTS_DIRECTORY": str(tmp_path / "reports"),
        "DEMETER_METRICS_FILE": str(tmp_path / "demeter.prom"),
    }
    fleet = Fleet(FleetSettings(instances=20, start="2026-10-12T00:00:00Z"))
    with Emulator(fleet, clock=Clock.at("2026-10-12T00:00:00Z")) as service:
        environment = environment_for(service, lake, **others)
        for arguments in (["sweep"], ["build"], ["run"], ["report", "sweep_verdicts", "-o", str(report)]):
            assert CliRunner().invoke(main, arguments, env=environment).exit_code == 0
            service.clock.advance(minutes=15)
    assert modes(lake) == {("d", 0o700), ("f", 0o600)}
    written = [report, tmp_path / "demeter.prom", *(tmp_path / "reports").iterdir()]
    assert [stat.S_IMODE(each.stat().st_mode) for each in written] == [0o644] * 3
