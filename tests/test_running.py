"""`demeter run` is the whole line in one call, and tells a monitor how it went."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lakes import MIDNIGHT, lives
from support import environment_for, one_line

from etl import metrics
from etl.cli import main
from etl.emulator import Answer, Clock, Emulator
from etl.emulator.rows import Documents
from etl.errors import UsageError
from etl.lake import Lake

REPORTS = "summary, usage_by_user, inventory_by_status"


def ran(service: Emulator, directory: Path, **others: str) -> Result:
    settings = {
        "DEMETER_REPORTS": REPORTS,
        "DEMETER_REPORTS_DIRECTORY": str(directory / "reports"),
        "DEMETER_METRICS_FILE": str(directory / "demeter.prom"),
        "DEMETER_TZ": "UTC",
        **others,
    }
    environment = environment_for(service, directory / "lake", **settings)
    return CliRunner().invoke(main, ["run"], env=environment)


def written(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "reports").iterdir())


def gauges(directory: Path) -> dict[str, float]:
    """The gauges by name and verdict."""
    text = (directory / "demeter.prom").read_text(encoding="utf-8")
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {
        re.sub(r'project_id="\w+",?', "", name).replace("{}", ""): float(value) for name, _, value in lines
    }


def test_a_run_sweeps_builds_and_writes_the_reports_as_soon_as_there_are_days(tmp_path: Path) -> None:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        first = ran(service, tmp_path)
        assert (first.exit_code, written(tmp_path)) == (0, ["inventory_by_status.csv"])
        assert "the report summary is not written: nothing is metered yet" in first.stderr
        service.clock.advance(hours=1)
        second = ran(service, tmp_path)
    assert second.exit_code == 0
    names = ["inventory_by_status.csv", "summary.csv", "usage_by_user.csv"]
    assert written(tmp_path) == names
    assert second.stdout.splitlines()[-3:] == [
        f"wrote {tmp_path / 'reports' / name}" for name in (names[1], names[2], names[0])
    ]
    with (tmp_path / "reports" / "summary.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    # Five run for the hour between the two sweeps: 2, 4, 8 and 9, and 1.
    assert row["running_hours"].startswith("5.0")
    found = gauges(tmp_path)
    assert found["demeter_sweep_instances"] == 9
    assert found['demeter_sweeps{verdict="complete"}'] == 2
    assert found["demeter_sweep_duration_seconds"] > 0


def test_an_incomplete_listing_is_built_and_reported_and_told_at_the_end(tmp_path: Path) -> None:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        for _ in range(2):
            assert ran(service, tmp_path).exit_code == 0
            service.clock.advance(hours=1)
        service.faults.total_count = 11
        broken = ran(service, tmp_path)
    assert broken.exit_code == 3
    assert "wrote" in broken.stdout
    assert gauges(tmp_path)['demeter_sweeps{verdict="incomplete"}'] == 1


def test_a_service_that_is_down_is_told_with_its_own_status(tmp_path: Path) -> None:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        service.faults.fail_next = [Answer(503, b"")] * 9
        result = ran(service, tmp_path, DEMETER_REPORTS="")
    assert result.exit_code == 6
    assert gauges(tmp_path)['demeter_sweeps{verdict="failed"}'] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"DEMETER_REPORTS": "summary,sumary"}, "no report 'sumary'"),
        ({"DEMETER_REPORTS_FORMAT": "docx"}, "reports_format 'docx' is none"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_the_sweep(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        result = ran(service, tmp_path, **settings)
    assert result.exit_code == 2
    assert said in one_line(result)
    assert not (tmp_path / "lake").exists()


def test_a_metrics_file_that_is_a_device_stays_one(tmp_path: Path, small_lake: Lake) -> None:
    os.mkfifo(tmp_path / "gauges")
    with pytest.raises(UsageError, match="cannot be written: it is no file"):
        metrics.write(small_lake, tmp_path / "gauges")
    assert (tmp_path / "gauges").is_fifo()


def test_a_metrics_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        result = ran(service, tmp_path, DEMETER_REPORTS="", DEMETER_METRICS_FILE=str(tmp_path / "no" / "x"))
    assert result.exit_code == 2
    assert "metrics_file" in result.stderr.splitlines()[-1]


def test_a_directory_of_reports_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        result = ran(service, tmp_path, DEMETER_REPORTS_DIRECTORY=str(tmp_path / "file" / "reports"))
    assert result.exit_code == 2
    assert (
        f"reports_directory {tmp_path / 'file' / 'reports'} cannot be made: "
        in result.stderr.splitlines()[-1]
    )
