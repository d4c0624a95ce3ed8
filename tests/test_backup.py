"""A copy of a lake that is made in the order of the operators' page is whole, whatever runs meanwhile."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import committed, rows_of, settings_for

from etl import views
from etl.build import build
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[1] / "docs" / "operator.md"
FLEET = FleetSettings(instances=80, seed=5, mean_run_hours=1, mean_idle_hours=1)


def commands(lake: Path, backup: Path) -> list[str]:
    """The blocks of the page that make a copy and unpack it, for these directories."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## Backup\n")[2].partition("\n## ")[0]
    copy, restore = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    unpack = restore.replace("/var/lib/demeter/lake", str(backup / "lake")).partition("demeter build")[0]
    copy = copy.replace("/var/lib/demeter/lake", str(lake))
    return [text.replace("/backup/lake.tar", str(backup / "lake.tar")) for text in (copy, unpack)]


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(Fleet(FLEET), Clock.at(FLEET.start)) as found:
        yield found


def histories(lake: Lake) -> dict[str, tuple[int, int]]:
    """How many rows each sweep wrote into the histories of instances and attributes, as readers see it."""
    with views.connect(lake) as connection:
        rows = connection.execute("""
            select sweep_id,
                (select count(*) from instance_history as one where one.sweep_id = sweeps.sweep_id),
                (select count(*) from attribute_history as one where one.sweep_id = sweeps.sweep_id)
            from sweeps
        """).fetchall()
    return {sweep_id: (instances, attributes) for sweep_id, instances, attributes in rows}


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
def test_a_copy_made_while_sweeps_go_on_has_every_row_of_every_sweep_in_it(
    service: Emulator, tmp_path: Path
) -> None:
    lake, over = Lake(tmp_path / "lake"), threading.Event()
    committed(service, lake)
    build(settings_for(service, lake.path), lake)

    def sweep_on() -> None:
        mine = Lake(lake.path)
        while not over.is_set():
            service.clock.advance(hours=5)
            committed(service, mine)
            mine.keep_house()

    def write_on() -> None:
        # Pages that come while they are read, which tar tells by its exit status.
        with (lake.path / "raw" / service.project_id / "pages").open("ab", buffering=0) as file:
            file.write(bytes(40_000_000))
            while not over.wait(0.004):
                file.write(b"page")

    writers = [threading.Thread(target=each) for each in (sweep_on, write_on)]
    for each in writers:
        each.start()
    try:
        for number in range(3):
            (backup := tmp_path / str(number)).mkdir()
            for text in commands(lake.path, backup):
                subprocess.run(["sh", "-ec", text], check=True)  # noqa: S603, S607
    finally:
        over.set()
        for each in writers:
            each.join()
    whole = histories(lake)
    for number in range(3):
        copied = Lake(tmp_path / str(number) / "lake")
        copied.check()
        found = histories(copied)
        assert found
        assert found == {sweep_id: whole[sweep_id] for sweep_id in found}
    service.clock.advance(hours=1)
    assert committed(service, copied).verdict == "complete"
    assert build(settings_for(service, copied.path), copied).rows["usage_daily"]
    listed = {json.loads(each)["id"] for each in service.documents}
    assert {row["instance_id"] for row in rows_of(copied, "instances")} == listed
