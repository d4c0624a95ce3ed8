"""A replay gives the rows that its version would have written, and readers never see a half of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from stories import DAY, Line, Notebook, line_to
from support import Row, committed, document, tables_of, views_of
from test_replay import misjudged

from etl import columns, plain, rewrite
from etl.build import build
from etl.cli import main
from etl.dictionary import TABLES, kept
from etl.emulator import ERRORS, Emulator
from etl.errors import LakeBusy, UsageError
from etl.lake import Lake
from etl.reflatten import Replay
from etl.replay import replay
from etl.scope import Scope
from etl.settings import Settings

pytestmark = pytest.mark.long

A, B, C, D = (Notebook(number) for number in (1, 2, 3, 4))
FIRST = Scope(workspaces=("ws-1",))
# Truths are quarantined by one who does not know them.
NARROW = columns.MACROS.replace("when 'true' then true", "").replace("'volume_size'", "''")


def story(line: Line) -> None:
    """Sweeps of all kinds, over two days: of all, of a part, one that fails and one that proves nothing."""
    line.sweep([A, B, C, D])
    line.sweep([replace(A, labels=()), B, replace(C, name="renamed")])
    line.sweep([replace(A, rank=2)], scope=FIRST)
    line.sweep([A, replace(B, surprise=1), C], after=DAY)
    line.service.faults.fail_at_request = {2: ERRORS["html"]}
    line.sweep([replace(A, status="STOPPED"), C, D])
    line.service.faults.fail_at_request = {1: ERRORS["html"]}
    line.sweep([A])
    line.service.faults.fail_at_request = {}
    line.service.faults.total_count = 9
    line.sweep([A, B, C, D])
    line.service.faults.total_count = None
    line.sweep([A, B, D])


def told(directory: Path, flattening: str = columns.MACROS) -> Lake:
    """The lake of the story, as one flattened it who knows these macros."""
    with pytest.MonkeyPatch.context() as patch, line_to(directory) as line:
        know(patch, flattening)
        story(line)
    return line.lake


def know(patch: pytest.MonkeyPatch, macros: str) -> None:
    """Flatten by these macros alone."""
    patch.setattr(columns, "MACROS", macros)
    patch.setattr(plain.Reader, "add", lambda *_: False)


def run(lake: Lake, **how: Any) -> Replay:
    (done,) = replay(Settings(lake=str(lake.path)), lake, **how)
    return done


def facts(lake: Lake) -> list[Row]:
    """What sweeps are by their listing."""
    flattened = ("version", "new_count", "changed_count", "gone_count", "quarantined_count")
    rows = lake.delta("sweeps").to_pyarrow_table().to_pylist()
    return sorted(
        ({name: value for name, value in row.items() if name not in flattened} for row in rows),
        key=lambda row: str(row["sweep_id"]),
    )


def whole(lake: Lake) -> dict[str, list[str]]:
    """All rows of all tables, in an order of their own."""
    return {
        each.name: sorted(map(repr, lake.delta(each.name).to_pyarrow_table().to_pylist())) for each in TABLES
    }


def anyhow(lake: Lake) -> dict[str, list[str]]:
    """The same without what differs from run to run, and without the logs."""
    found = tables_of(lake)
    return {each.name: sorted(map(repr, found[each.name])) for each in kept()}


def seen(lake: Lake) -> dict[str, list[str]]:
    """All that readers see of the tables."""
    names = ["sweeps", "slices", *(each.history for each in kept()), *(each.name for each in kept())]
    return {name: sorted(map(repr, rows)) for name, rows in views_of(lake, *names).items()}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of the story by one who knew all from the first sweep; tests only read it."""
    return told(tmp_path_factory.mktemp("right"))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return told(tmp_path_factory.mktemp("narrow"), NARROW)


@pytest.fixture
def lake(narrow: Lake, tmp_path: Path) -> Lake:
    """A copy of the lake of the story by one who did not know what a truth is."""
    return copied(narrow, tmp_path / "lake")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of the first two sweeps of the story by the same; tests only read it."""
    directory = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch, line_to(directory) as line:
        know(patch, NARROW)
        line.sweep([A, B, C])
        line.sweep([replace(A, labels=()), B])
    return line.lake


@pytest.fixture
def short_lake(short: Lake, tmp_path: Path) -> Lake:
    return copied(short, tmp_path / "lake")


@pytest.fixture(scope="module")
def replayed(narrow: Lake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Replay]:
    """The same lake after a replay, and what that did; tests only read it."""
    lake = copied(narrow, tmp_path_factory.mktemp("replayed") / "lake")
    return lake, run(lake)


def copied(lake: Lake, to: Path) -> Lake:
    shutil.copytree(lake.path, to)
    return Lake(to)


def rows_in_order(lake: Lake) -> dict[str, list[Row]]:
    found = views_of(lake, *(each.history for each in kept()))
    return {
        each.name: sorted(found[each.history], key=lambda row: (row["observed_at"], row["sweep_id"]))
        for each in kept()
    }


def raw_of(lake: Lake) -> list[Path]:
    """The directories of raw pages, the oldest first."""
    return sorted((lake.path / "raw").glob("*/*"))


def cut_short(directory: Path) -> None:
    """Take the last bytes off the raw pages of a sweep."""
    path = directory / "slice-00000.jsonl.zst"
    path.write_bytes(path.read_bytes()[:-9])


def live(lake: Lake) -> dict[str, list[str]]:
    """What lives at the end, without when it was written."""
    named = ("sweep_id", "observed_at", "observed_date", "change", "slice", "page")
    found = views_of(lake, *(each.name for each in kept()))
    return {
        name: sorted(repr({key: value for key, value in row.items() if key not in named}) for row in rows)
        for name, rows in found.items()
    }


def test_after_a_replay_all_rows_are_what_the_better_version_would_have_written(
    narrow: Lake, replayed: tuple[Lake, Replay], right: Lake
) -> None:
    lake, done = replayed
    assert anyhow(narrow) != anyhow(right)
    assert anyhow(lake) == anyhow(right)
    assert facts(lake) == facts(narrow)
    assert (done.quarantined_before > 0, done.quarantined_after) == (True, 0)
    assert (len(done.sweep_ids), done.left) == (8, [])


def test_a_replay_by_the_same_version_changes_nothing(right: Lake, replayed: tuple[Lake, Replay]) -> None:
    for lake in (right, replayed[0]):
        before, versions = whole(lake), {each.name: lake.delta(each.name).version() for each in TABLES}
        done = run(lake)
        assert (done.changed, done.rows) == ([], {})
        assert whole(lake) == before
        assert {each.name: lake.delta(each.name).version() for each in TABLES} == versions


def test_a_replay_keeps_what_may_be_in_a_document_without_an_id(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with Emulator.of_documents([]) as service:
        for second in (document(2), {**document(2), "id": None}, document(2)):
            service.documents = [document(1), second]
            assert committed(service, lake).error is None
            service.clock.advance(minutes=15)
    before = whole(lake)
    assert "unread" in str(before["instances"])
    assert run(lake).changed == []
    assert whole(lake) == before


def test_a_dry_run_tells_what_a_replay_then_does(short_lake: Lake) -> None:
    lake = short_lake
    before = whole(lake)
    told = run(lake, dry_run=True)
    assert whole(lake) == before
    assert run(lake) == told


def test_rows_older_than_the_raw_pages_stay_and_those_after_them_follow_from_them(
    lake: Lake, right: Lake
) -> None:
    before = whole(lake)
    gone = raw_of(lake)[:3]
    for directory in gone:
        shutil.rmtree(directory)
    done = run(lake)
    after = rows_in_order(lake)
    for each in kept():
        assert misjudged(each, after[each.name]) == []
    ids = {directory.name for directory in gone}
    for name, rows in whole(lake).items():
        assert {row for row in rows if any(each in row for each in ids)} <= set(before[name])
    assert live(lake) == live(right)
    assert set(done.sweep_ids).isdisjoint(directory.name for directory in gone)


def test_only_sweeps_from_a_day_on_are_replayed_where_one_is_given(lake: Lake) -> None:
    ids = [each["sweep_id"] for each in facts(lake)]
    assert run(lake, since=date(2026, 10, 13)).sweep_ids == ids[3:]


@pytest.mark.parametrize(("damage", "number"), [(shutil.rmtree, 1), (cut_short, 3), (shutil.rmtree, -1)])
def test_a_sweep_whose_raw_pages_are_damaged_is_named_and_left_and_the_rest_is_consistent(
    damage: Callable[[Path], None],
    number: int,
    lake: Lake,
    right: Lake,
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory = raw_of(lake)[number]
    damage(directory)
    done = run(lake)
    assert done.left == [directory.name]
    assert directory.name in caplog.text
    rows = rows_in_order(lake)
    assert [wrong for each in kept() for wrong in misjudged(each, rows[each.name])] == []
    if number != -1:
        assert live(lake) == live(right)
    ids = {row["instance_id"] for row in views_of(lake, "instances")["instances"]}
    assert ids == {A.id, B.id, D.id}


class Killed(BaseException):
    """What ends a run as a kill does: nothing catches it."""


def killed_at(write: int, lake: Lake, meanwhile: Callable[[], None] = lambda: None) -> bool:
    """Replay, and end it before the write of that number; whether it came so far."""
    writes = iter(range(1_000))

    def or_die(real: Callable[..., Any]) -> Callable[..., Any]:
        def write_or_die(*arguments: Any) -> Any:
            if next(writes) == write:
                meanwhile()
                raise Killed
            return real(*arguments)

        return write_or_die

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "replace", or_die(Lake.replace))
        patch.setattr(rewrite, "_write", or_die(rewrite._write))
        try:
            run(lake)
        except Killed:
            return True
    return False


def test_whenever_a_replay_is_killed_readers_see_all_old_rows_or_all_new_ones(
    short: Lake, tmp_path: Path
) -> None:
    lake = copied(short, tmp_path / "whole")
    old = seen(lake)
    run(lake)
    new = seen(lake)
    assert {name for name in old if old[name] != new[name]} >= {"sweeps", "instances", "quarantine"}
    write = 0
    lake = copied(short, tmp_path / "killed")
    # Each begins with what the one before it left.
    while killed_at(write, lake):
        assert seen(lake) == old, write
        write += 1
    assert write > 4
    assert seen(lake) == new


def test_the_next_sweep_puts_a_killed_replay_back_and_loses_no_row_of_another_project(
    short_lake: Lake,
) -> None:
    lake = short_lake
    old = lake.delta("instances").to_pyarrow_table()
    other = old.set_column(
        old.schema.get_field_index("project_id"), "project_id", pa.array(["other"] * old.num_rows)
    )
    assert killed_at(3, lake, lambda: lake.append("instances", other))
    assert rewrite.current(lake).versions
    with line_to(lake.path.parent) as line:
        line.sweep([A])
    assert not rewrite.current(lake).versions
    last = [line.sweeps[-1]]
    found = [
        row
        for row in lake.delta("instances").to_pyarrow_table().to_pylist()
        if row["sweep_id"] not in last or row["project_id"] == "other"
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, [*old.to_pylist(), *other.to_pylist()]))


def test_the_next_build_sees_that_a_replay_changed_rows(short_lake: Lake) -> None:
    lake = short_lake
    settings = Settings(lake=str(lake.path))
    assert build(settings, lake).rows
    assert run(lake).changed
    assert build(settings, lake).rows
    assert run(lake).changed == []
    assert build(settings, lake).rows == {}


def test_another_version_is_noted_even_where_no_row_changes(
    short_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = short_lake
    run(lake)
    monkeypatch.setattr("etl.reflatten.__version__", "9.9")
    done = run(lake)
    assert done.rows == {}
    versions = {each["version"] for each in lake.delta("sweeps").to_pyarrow_table().to_pylist()}
    assert versions == {"9.9+replay.1"}


def test_a_replay_waits_for_no_sweep_that_is_at_work(right: Lake) -> None:
    (project,) = {path.parent.name for path in raw_of(right)}
    with right.lock(f"sweep-{project}"), pytest.raises(LakeBusy):
        run(right)


def test_without_raw_pages_there_is_nothing_to_replay(short_lake: Lake) -> None:
    lake = short_lake
    shutil.rmtree(lake.path / "raw")
    with pytest.raises(UsageError, match="no raw pages"):
        run(lake)


def test_the_command_tells_what_came_of_it(short_lake: Lake) -> None:
    lake = short_lake
    first, second = (
        CliRunner().invoke(main, ["replay"], env={"DEMETER_LAKE": str(lake.path)}) for _ in range(2)
    )
    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "replayed 2 sweeps" in first.stdout
    assert "nothing changed" in second.stdout


@pytest.mark.parametrize(
    "scope",
    [Scope(), FIRST, Scope(("RUNNING", "STOPPED"), ("p&=1", "p 2"), ("0",), ("ai",)), Scope(show_self=True)],
)
def test_a_scope_comes_back_from_its_text(scope: Scope) -> None:
    assert Scope.of(scope.text) == replace(
        scope, **{name: tuple(sorted(getattr(scope, name))) for name in ("statuses", "pools")}
    )
