"""`demeter maintain` removes what nobody needs, and nothing else, however it ends."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import lakes
import pytest
from click.testing import CliRunner, Result

from etl import marts, rewrite, upkeep, viewfile, views
from etl.cli import main
from etl.compaction import COMMITS_BEFORE_CHECKPOINT
from etl.dictionary import kept
from etl.lake import Lake
from etl.settings import Settings
from etl.upkeep import Chore, _Chores

pytestmark = pytest.mark.long

HOUR = 3600.0
READ = ("sweeps", "slices", "instances", *(table.history for table in kept()), *marts.STORED)
PROJECT = lakes.PROJECTS[0]


@pytest.fixture
def lake(built_lake: Lake, tmp_path: Path) -> Lake:
    """A lake of its own to look after, of seven sweeps over two days: none of them did."""
    shutil.copytree(built_lake.path, tmp_path / "lake")
    found = Lake(tmp_path / "lake")
    viewfile.refresh(found)
    return found


def maintain(lake: Lake, *options: str, **environment: str) -> Result:
    env = {"DEMETER_LAKE": str(lake.path), **environment}
    return CliRunner().invoke(main, ["maintain", *options], env=env)


def chores(lake: Lake, **settings: Any) -> dict[str, Chore]:
    return {each.name: each for each in upkeep.maintain(Settings(**settings), lake)}


def counts(found: dict[str, Chore]) -> dict[str, int]:
    return {name: chore.count for name, chore in found.items() if chore.count}


def contents(lake: Lake) -> dict[str, Any]:
    """A hash of the rows of the views, of histories and of marts."""
    with views.connect(Lake(lake.path)) as connection:
        return {name: hash_of(connection, name) for name in READ}


def hash_of(connection: duckdb.DuckDBPyConnection, name: str) -> Any:
    [found] = connection.execute(f"select count(*), sum(hash(row)::hugeint) from {name} as row").fetchall()
    return found


def tree(lake: Lake) -> dict[str, tuple[int, int]]:
    """Every file of the lake, with its size and the time of its last change."""
    files = (path for path in lake.path.rglob("*") if path.is_file())
    return {
        str(path.relative_to(lake.path)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files
    }


def age(lake: Lake, hours: float) -> None:
    """Make all of the lake that much older: its files, and what its logs say of removed ones."""
    then = time.time() - hours * HOUR
    for path in lake.path.rglob("*"):
        if path.is_file():
            if path.suffix == ".json" and path.parent.name == "_delta_log":
                text = path.read_text(encoding="utf-8")
                path.write_text(
                    re.sub(
                        r'"deletionTimestamp":(\d+)',
                        lambda found: f'"deletionTimestamp":{int(found[1]) - round(hours * HOUR * 1000)}',
                        text,
                    ),
                    encoding="utf-8",
                )
            os.utime(path, (then, then))


def raw_sweep(lake: Lake, hours: float, project: str = "p") -> Path:
    """The raw pages of a sweep that began so many hours ago and was never committed."""
    began = datetime.now(UTC) - timedelta(hours=hours)
    directory = lake.path / "raw" / project / f"{began:%Y%m%dT%H%M%S%fZ}-0a0a0a"
    directory.mkdir(parents=True)
    (directory / "plan.json").write_text("{}")
    return directory


def test_a_dry_run_changes_nothing_and_tells_what_a_run_then_does(lake: Lake) -> None:
    age(lake, 200)
    raw_sweep(lake, 24 * 20)
    before = tree(lake)
    told = maintain(lake, "--dry-run")
    assert tree(lake) == before
    done = maintain(lake)
    assert (told.exit_code, done.exit_code) == (0, 0)
    removed = [
        line.replace("would remove", "removed").replace("would merge", "merged") for line in lines(told)
    ]
    assert removed == lines(done)
    assert lines(done)[0] == "raw: removed 1 sweeps, 2 bytes"
    # But for what the run itself has just replaced, there is nothing left to do.
    assert counts(chores(lake)) == {}


def lines(result: Result) -> list[str]:
    return result.stdout.splitlines()


def test_all_rows_stay_as_they_were_and_the_files_become_fewer(lake: Lake) -> None:
    before, files = contents(lake), data_files(lake)
    assert counts(chores(lake))["tables"] > 20
    age(lake, 200)
    found = counts(chores(lake))
    assert found["vacuum"] > 20
    assert contents(lake) == before
    assert data_files(lake) < files
    with duckdb.connect(str(lake.path / "demeter.duckdb"), read_only=True) as connection:
        assert hash_of(connection, "instance_history") == before["instance_history"]


def data_files(lake: Lake) -> int:
    return sum(1 for path in lake.path.glob("tables/**/*.parquet") if path.parent.name != "_delta_log")


def test_what_readers_may_still_hold_is_kept_for_the_hours_set(lake: Lake) -> None:
    held = {name: lake.files(name) for name in ("instances", "storage")}
    chores(lake)
    age(lake, 100)
    assert counts(chores(lake)) == {}
    assert all(Path(file).exists() for files in held.values() for file in files)
    assert set(counts(chores(lake, vacuum_hours=90))) == {"vacuum"}
    assert not all(Path(file).exists() for files in held.values() for file in files)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files, and two commits, are many."""
    monkeypatch.setattr("etl.compaction.FILES_OF_TODAY", 2)
    monkeypatch.setattr("etl.compaction.COMMITS_BEFORE_CHECKPOINT", 2)


@pytest.mark.usefixtures("eager")
def test_the_marts_that_are_published_stay_readable_when_a_later_build_was_killed(lake: Lake) -> None:
    before = contents(lake)
    for _ in range(3):
        marts.write(lake, "usage_daily", deltalake.DeltaTable(mart(lake)).to_pyarrow_table().slice(0, 1))
    for _ in range(2):
        age(lake, 200)
        chores(lake)
        assert contents(lake) == before


def mart(lake: Lake) -> str:
    return marts.locations(lake)["usage_daily"].uri


@pytest.mark.usefixtures("eager")
def test_the_files_of_a_day_of_a_published_mart_become_one_and_stay_published(lake: Lake) -> None:
    before, built = contents(lake), marts.published(lake)
    assert built
    rows = deltalake.DeltaTable(mart(lake)).to_pyarrow_table()
    marts.write(lake, "usage_daily", rows.slice(0, rows.num_rows - 1))
    deltalake.write_deltalake(mart(lake), rows.slice(rows.num_rows - 1), mode="append")
    versions = {**built.versions, "usage_daily": deltalake.DeltaTable(mart(lake)).version()}
    marts.publish(lake, replace(built, versions=versions), marts.tag(lake))
    assert counts(chores(lake))["marts"] == 2
    assert contents(lake) == before
    days = set(rows["usage_date"].to_pylist())
    assert len(deltalake.DeltaTable(mart(lake)).file_uris()) == len(days)
    assert "marts" not in counts(chores(lake))


@pytest.mark.usefixtures("eager")
def test_logs_begin_at_a_checkpoint_that_is_old_enough(lake: Lake) -> None:
    before = contents(lake)
    assert "logs" not in counts(chores(lake))
    age(lake, 30)
    assert counts(chores(lake))["logs"] > 20
    assert contents(lake) == before


@pytest.mark.usefixtures("eager")
def test_one_who_had_a_table_open_before_its_log_was_cut_finds_the_newest_rows(lake: Lake) -> None:
    reader = Lake(lake.path)
    opened = reader.delta("slices").version()
    for number in range(5):
        lake.append("slices", lake.delta("slices").to_pyarrow_table().slice(number, 1))
        lake.keep("slices")
    age(lake, 30)
    chores(lake)
    assert not (lake.path / "tables" / "slices" / "_delta_log" / f"{opened:020}.json").exists()
    assert reader.delta("slices").version() == lake.delta("slices").version()
    assert reader.files("slices") == lake.files("slices")


def summed_up(lake: Lake, times: int) -> tuple[Path, list[Path]]:
    """The log of a table after so many checkpoints, and these."""
    for number in range(times * COMMITS_BEFORE_CHECKPOINT):
        lake.append("slices", lake.delta("slices").to_pyarrow_table().slice(number, 1))
        lake.keep("slices")
    log = lake.path / "tables" / "slices" / "_delta_log"
    return log, sorted(log.glob("*.checkpoint.parquet"))


def make_older(hours: float, *paths: Path) -> None:
    then = time.time() - hours * HOUR
    for path in paths:
        os.utime(path, (then, then))


def test_a_checkpoint_stays_for_an_hour_after_the_next_one_was_written(lake: Lake) -> None:
    log, checkpoints = summed_up(lake, 3)
    make_older(3, *checkpoints[:-1])
    assert counts(chores(lake))["logs"] == len(checkpoints) - 2
    assert sorted(log.glob("*.checkpoint.parquet")) == checkpoints[-2:]
    make_older(2, checkpoints[-1])
    assert counts(chores(lake))["logs"] == 1


def test_the_checkpoint_that_a_log_begins_with_stays_whatever_the_times_of_its_files(lake: Lake) -> None:
    log, checkpoints = summed_up(lake, 3)
    make_older(30, *checkpoints[:-1])
    chores(lake)
    base = int(checkpoints[-2].name.partition(".")[0])
    assert min(path.name for path in log.iterdir()).startswith(f"{base:020}")
    rows = {version: slices(lake, version) for version in range(base, lake.delta("slices").version() + 1)}
    # As after a copy that keeps no times.
    make_older(2, *log.iterdir())
    chores(lake)
    assert {version: slices(lake, version) for version in rows} == rows


def test_no_log_is_cut_at_a_checkpoint_that_cannot_be_read(lake: Lake) -> None:
    log, checkpoints = summed_up(lake, 1)
    for number in range(3):
        lake.append("slices", lake.delta("slices").to_pyarrow_table().slice(number, 0))
    before = contents(lake)
    # The power went while the next one was written.
    (log / f"{lake.delta('slices').version():020}.checkpoint.parquet").touch()
    age(lake, 30)
    chores(Lake(lake.path))
    assert checkpoints[-1].exists()
    assert contents(lake) == before


def test_what_readers_keep_to_while_rows_are_replaced_is_not_removed(lake: Lake) -> None:
    before = contents(lake)
    rows = lake.delta("instances").to_pyarrow_table(filters=[("project_id", "=", PROJECT)])
    with rewrite.at_once(lake, PROJECT, "0"):
        lake.replace("instances", PROJECT, "0", rows.slice(0, 1).to_reader())
        # A run that was at its other chores when this began.
        begun = _Chores(Settings(vacuum_hours=0), lake, True)
        begun.vacuum()
        begun.logs()
        assert contents(lake) == before


def test_no_commit_cuts_a_log_for_readers_keep_to_versions_of_it(lake: Lake) -> None:
    before, built = contents(lake), marts.published(lake)
    assert built
    rows = deltalake.DeltaTable(mart(lake)).to_pyarrow_table()
    days = sorted(set(rows["usage_date"].to_pylist()))
    for _ in range(12):
        # A build that was killed before it published.
        marts.Store(lake, built)
        marts.write_days(lake, "usage_daily", rows, days)
    chores(lake)
    age(lake, 33 * 24)
    marts.Store(lake, built)
    marts.write_days(lake, "usage_daily", rows, days)
    assert contents(lake) == before


def test_of_the_checkpoints_since_then_the_last_stays_and_all_versions_can_be_read(lake: Lake) -> None:
    log, checkpoints = summed_up(lake, 4)
    rows = {version: slices(lake, version) for version in range(lake.delta("slices").version() + 1)}
    assert len(checkpoints) > 3
    assert "logs" not in counts(chores(lake))
    age(lake, 2)
    assert counts(chores(lake))["logs"] == len(checkpoints) - 1
    assert list(log.glob("*.checkpoint.parquet")) == checkpoints[-1:]
    assert {version: slices(lake, version) for version in rows} == rows


def slices(lake: Lake, version: int) -> int:
    """How many rows a version of a table has."""
    return int(deltalake.DeltaTable(lake.location("slices").uri, version=version).to_pyarrow_table().num_rows)


@pytest.mark.parametrize(
    ("hours", "days", "stays"),
    [(24 * 13, 14.0, True), (24 * 15, 14.0, False), (23, 0.5, True), (25, 0.5, False)],
    ids=["young", "old", "old, and can be resumed", "old, and cannot be resumed"],
)
def test_raw_pages_expire_by_their_age(hours: float, days: float, stays: bool, lake: Lake) -> None:
    directory = raw_sweep(lake, hours)
    chores(lake, raw_days=days)
    assert directory.exists() == stays


def test_no_link_is_followed_and_nothing_but_sweeps_is_removed_from_raw(lake: Lake, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "p" / raw_sweep(lake, 900).name
    outside.mkdir(parents=True)
    (outside / "kept").write_text("kept")
    (raw_sweep(lake, 800) / "link").symlink_to(outside)
    (lake.path / "raw" / "linked").symlink_to(outside.parent)
    (lake.path / "raw" / "p" / "20200101T000000000000Z-0a0a0a").symlink_to(outside)
    (lake.path / "raw" / "p" / "notes").mkdir()
    assert chores(lake)["raw"].count == 2
    assert (outside / "kept").read_text() == "kept"
    assert (lake.path / "raw" / "p" / "notes").is_dir()
    assert (lake.path / "raw" / "linked").is_symlink()


def test_what_killed_runs_left_is_removed_once_it_is_old(lake: Lake) -> None:
    left = [
        lake.path / ".demeter.json.4711",
        lake.path / "locks" / f".{PROJECT}.writing.4711",
        lake.path / "marts" / ".current.json.4711",
        lake.path / "tables" / "instances" / "_delta_log" / "_commit_0.json.tmp",
        lake.path / "tables" / "instances" / "part-0.parquet#1",
    ]
    for path in left:
        path.write_text("half")
    assert "temporary" not in counts(chores(lake))
    for path in left:
        os.utime(path, (0, 0))
    assert chores(lake)["temporary"].count == len(left)
    assert not any(path.exists() for path in left)


def killed_sweep(lake: Lake) -> None:
    """Leave what a sweep leaves that was killed while it wrote."""
    rows = lake.delta("instances").to_pyarrow_table().slice(0, 3)
    place = rows.schema.get_field_index("sweep_id")
    rows = rows.set_column(place, "sweep_id", [["20261012T000000000000Z-dead00"] * rows.num_rows])
    (lake.path / "locks" / f"{PROJECT}.writing").write_text("20261012T000000000000Z-dead00")
    lake.append("instances", rows)
    lake.spill(PROJECT).mkdir(parents=True)
    (lake.spill(PROJECT) / "spilled").write_text("spilled")


def test_the_rows_of_a_killed_sweep_are_removed_unless_it_still_runs(lake: Lake) -> None:
    rows = lake.delta("instances").to_pyarrow_table().num_rows
    killed_sweep(lake)
    with lake.lock(f"sweep-{PROJECT}"):
        assert chores(lake)["killed"].count == 0
        assert lake.delta("instances").to_pyarrow_table().num_rows == rows + 3
    assert chores(lake)["killed"].line() == "killed: removed 1 sweeps, 7 bytes"
    assert lake.delta("instances").to_pyarrow_table().num_rows == rows
    assert not lake.spill(PROJECT).exists()
    assert not (lake.path / "locks" / f"{PROJECT}.writing").exists()


def test_a_second_run_at_the_same_time_ends_with_seven(lake: Lake) -> None:
    with lake.lock("maintain"):
        found = maintain(lake)
        assert maintain(lake, "--dry-run").exit_code == 0
    assert found.exit_code == 7
    assert found.stderr == "demeter: another run holds maintain of this lake: wait for it to end\n"


def test_where_there_is_no_lake_it_says_so_and_makes_none(tmp_path: Path) -> None:
    found = maintain(Lake(tmp_path / "none"))
    assert (found.exit_code, list(tmp_path.iterdir())) == (2, [])


def test_longer_than_a_table_remembers_is_refused(lake: Lake) -> None:
    found = maintain(lake, DEMETER_VACUUM_HOURS="169")
    assert found.exit_code == 2
    assert "set it to at most 168" in found.stderr


STEPS = ["raw", "temporary", "killed", "tables", "marts", "vacuum", "logs"]


def test_a_disk_that_is_full_at_any_step_is_told_in_one_line_and_loses_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(lake)
    age(lake, 200)

    def full(self: upkeep._Chores) -> Chore:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for step in STEPS:
        with monkeypatch.context() as patch:
            patch.setattr(upkeep._Chores, step, full)
            found = maintain(lake)
        assert found.exit_code == 2
        assert found.stderr == (
            f"demeter: the lake {lake.path} cannot be written: No space left on device; nothing is lost: "
            "mend that, then run this again\n"
        )
        assert contents(lake) == before
    assert maintain(lake).exit_code == 0
    assert contents(lake) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes, where one can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(  # noqa: S603
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)],  # noqa: S607
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)  # noqa: S603, S607


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_loses_nothing_and_old_raw_pages_make_room(lake: Lake, small_disk: Path) -> None:
    moved = Lake(shutil.copytree(lake.path, small_disk / "lake"))
    before = contents(moved)
    directory = raw_sweep(moved, 900)
    fill(directory / "pages")
    kept_back = directory.rename(small_disk / "pages")
    full = maintain(moved)
    assert full.exit_code == 2
    assert "cannot be written" in full.stderr
    assert len(full.stderr.splitlines()) == 1
    assert contents(moved) == before
    kept_back.rename(directory)
    assert maintain(moved).exit_code == 0
    assert contents(moved) == before


def run_one(path: Path) -> None:
    upkeep.maintain(Settings(), Lake(path))


def test_a_run_killed_at_any_moment_leaves_the_same_rows(lake: Lake) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["etl.upkeep", "pandas"])
    before, draw, killed = contents(lake), random.Random(3), 0
    age(lake, 200)
    saved = shutil.copytree(lake.path, lake.path.with_name("saved"))
    for _ in range(8):
        shutil.rmtree(lake.path)
        shutil.copytree(saved, lake.path)
        raw_sweep(lake, 900)
        killed_sweep(Lake(lake.path))
        process = context.Process(target=run_one, args=(lake.path,))
        process.start()
        process.join(draw.uniform(0, 0.8))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert contents(lake) == before
        chores(Lake(lake.path))
        assert contents(lake) == before
    assert killed > 3
