"""A file of a lake that cannot be read is named in one line that says what to do, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lakes import PROJECTS, lives
from support import committed, environment_for, one_line, rows_of, tables_of, views_of

from etl import damage, focus, raw
from etl.build import build
from etl.cli import main
from etl.emulator import Answer, Clock, Emulator
from etl.emulator.rows import Documents
from etl.errors import UsageError
from etl.forget import forget
from etl.lake import Lake
from etl.marts import STORED, published
from etl.scope import WHOLE
from etl.settings import Settings

pytestmark = pytest.mark.long

Harm = Callable[[Path], None]
BACKUP = "restore it from a backup"
MARTS = "run `demeter build --full`, which works all of them out anew"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def scrambled(path: Path) -> None:
    """Other bytes in the middle, as in a block that was lost."""
    whole = path.read_bytes()
    third = len(whole) // 3
    path.write_bytes(
        whole[:third] + bytes(each ^ 0x5A for each in whole[third : 2 * third]) + whole[2 * third :]
    )


def away(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    """A file whose reads end with EIO, as on a disk that fails."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


HARMS: list[Harm] = [cut, empty, zeros, scrambled, away, unreadable]


@pytest.fixture
def lake(built_lake: Lake, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(built_lake.path, tmp_path / "lake"))


def demeter(lake: Lake, *arguments: str, **others: str) -> Result:
    environment = {"DEMETER_LAKE": str(lake.path), "DEMETER_TZ": "UTC", **others}
    return CliRunner().invoke(main, arguments, env=environment)


def rows_file(lake: Lake) -> Path:
    """The file of the last day of instances."""
    return Path(lake.files("instances")[-1])


def commit_file(lake: Lake) -> Path:
    return sorted((lake.path / "tables" / "instances" / "_delta_log").glob("*.json"))[2]


def mart_file(lake: Lake, ending: str) -> Path:
    return sorted((lake.path / "marts" / "usage_daily").rglob(ending))[-1]


def memory_file(lake: Lake) -> Path:
    return next((lake.path / "marts" / "memory").rglob("fingerprints.parquet"))


def rows_in(lake: Lake) -> dict[str, list[str]]:
    return {name: sorted(map(str, rows)) for name, rows in tables_of(lake).items()}


QUERY = ("sql", "select * from instance_history, usage_daily")


@pytest.mark.parametrize("harm", HARMS)
def test_rows_that_cannot_be_read_are_named_whatever_befell_their_file(lake: Lake, harm: Harm) -> None:
    harm(path := rows_file(lake))
    result = demeter(lake, *QUERY)
    assert result.exit_code == 2
    assert one_line(result).startswith(f"{path} cannot be read (")
    assert one_line(result).endswith(f"): {BACKUP}")


@pytest.mark.parametrize("harm", HARMS)
def test_a_commit_that_cannot_be_read_is_named_and_never_passed_over(lake: Lake, harm: Harm) -> None:
    harm(path := commit_file(lake))
    result = demeter(lake, *QUERY)
    assert result.exit_code == 2
    assert one_line(result).startswith(f"{path.parent if harm is away else path} cannot be read (")
    assert one_line(result).endswith(f"): {BACKUP}")


COMMANDS = [
    QUERY,
    ("build",),
    ("report", "inventory_by_user"),
    ("explain", "DE-1", "--day", "2026-10-12", "--project-id", PROJECTS[0]),
    ("export", "focus", "--month", "2026-10", "-o", "out"),
    ("replay",),
    ("forget", "ann"),
    ("maintain",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_names_the_rows_that_it_cannot_read_and_changes_none(
    lake: Lake, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, path = rows_in(lake), rows_file(lake)
    whole = path.read_bytes()
    cut(path)
    result = demeter(lake, *command)
    assert (result.exit_code, one_line(result)) == (
        2,
        f"{path} cannot be read (what it holds is damaged): {BACKUP}",
    )
    path.write_bytes(whole)
    assert rows_in(Lake(lake.path)) == before
    assert demeter(lake, *command).exit_code == 0


def test_a_check_names_the_file_among_its_findings(lake: Lake) -> None:
    scrambled(path := rows_file(lake))
    result = demeter(lake, "check", "--format", "json")
    assert result.exit_code == 4
    found = {row["name"]: row for row in json.loads(result.stdout)}
    assert {name for name, row in found.items() if str(path) in (row["detail"] or "")} <= {"lake", "files"}
    assert [row for row in found.values() if str(path) in (row["detail"] or "")]
    assert {found[name]["status"] for name in ("settings", "source")} == {"fail"}


def test_a_sweep_names_the_rows_that_it_cannot_compare_with_and_goes_on_when_they_are_back(
    lake: Lake,
) -> None:
    before, path = tables_of(lake), rows_file(lake)
    whole = path.read_bytes()
    cut(path)
    with Emulator(
        clock=Clock.at("2026-10-13T07:00:00Z"), fleets={PROJECTS[0]: Documents(lives(30))}
    ) as service:
        environment = environment_for(service, lake.path)
        result = CliRunner().invoke(main, ["sweep"], env=environment)
        assert (result.exit_code, one_line(result)) == (
            2,
            f"{path} cannot be read (what it holds is damaged): {BACKUP}",
        )
        path.write_bytes(whole)
        assert tables_of(Lake(lake.path)) == before
        assert CliRunner().invoke(main, ["sweep"], env=environment).exit_code == 0


def test_a_sweep_that_is_committed_is_told_even_if_older_rows_cannot_be_read(lake: Lake) -> None:
    path = Path(lake.files("instances")[0])
    assert "2026-10-12" in str(path)
    cut(path)
    with Emulator(
        clock=Clock.at("2026-10-13T07:00:00Z"), fleets={PROJECTS[0]: Documents(lives(30))}
    ) as service:
        result = CliRunner().invoke(main, ["sweep"], env=environment_for(service, lake.path))
    assert (result.exit_code, "is complete" in result.stdout) == (2, True)
    assert one_line(result) == f"{path} cannot be read (what it holds is damaged): {BACKUP}"


# The marts, which a build makes again.


def contents(lake: Lake) -> dict[str, list[str]]:
    return {name: sorted(map(str, rows)) for name, rows in views_of(lake, *STORED).items()}


def test_a_build_that_misses_what_it_remembered_works_all_days_out(lake: Lake, built_lake: Lake) -> None:
    away(path := memory_file(lake))
    result = demeter(lake, "build")
    assert (result.exit_code, one_line(result)) == (
        0,
        f"{path} cannot be read (it is missing): {MARTS}; this build does so",
    )
    assert contents(Lake(lake.path)) == contents(built_lake)


OF_MARTS: list[tuple[str, Callable[[Lake], Path]]] = [
    ("current.json", lambda lake: lake.path / "marts" / "current.json"),
    ("rows", lambda lake: mart_file(lake, "*.parquet")),
    ("commit", lambda lake: mart_file(lake, "*.json")),
    ("memory", memory_file),
]


@pytest.mark.parametrize("harm", [cut, empty, scrambled])
@pytest.mark.parametrize(
    ("name", "which"), OF_MARTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_marts_that_cannot_be_read_are_named_and_made_again_by_a_build(
    lake: Lake, built_lake: Lake, name: str, which: Callable[[Lake], Path], harm: Harm
) -> None:
    harm(path := which(lake))
    if name != "memory":
        result = demeter(lake, *QUERY)
        assert result.exit_code == 2
        assert one_line(result).startswith(f"{path} cannot be read (")
        assert one_line(result).endswith(f"): {MARTS}")
    assert demeter(lake, "build", "--full").exit_code == 0
    assert contents(Lake(lake.path)) == contents(built_lake)


@pytest.mark.parametrize(
    ("name", "which"), OF_MARTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_run_makes_marts_again_that_cannot_be_read_and_no_hand_is_needed(
    lake: Lake, tmp_path: Path, name: str, which: Callable[[Lake], Path]
) -> None:
    cut(path := which(lake))
    with Emulator(
        clock=Clock.at("2026-10-13T07:00:00Z"), fleets={PROJECTS[0]: Documents(lives(30))}
    ) as service:
        environment = environment_for(service, lake.path, DEMETER_TZ="UTC")
        result = CliRunner().invoke(main, ["run"], env=environment)
    assert result.exit_code == 0
    assert all(str(path) in line and "Traceback" not in line for line in result.stderr.splitlines())
    if name != "rows":
        assert result.stderr.splitlines()[-1].endswith(f"{MARTS}; this build does so")
    assert demeter(lake, *QUERY, "-o", str(tmp_path / "out.csv")).exit_code == 0


# Small files.


@pytest.mark.parametrize("harm", [cut, empty, zeros, unreadable])
def test_a_mark_of_the_lake_that_cannot_be_read_is_named_by_every_command(lake: Lake, harm: Harm) -> None:
    harm(path := lake.path / "demeter.json")
    for command in COMMANDS:
        result = demeter(lake, *command)
        assert result.exit_code == 2
        assert one_line(result).startswith(f"{path} cannot be read (")
        assert one_line(result).endswith(f"): {BACKUP}")


@pytest.mark.parametrize(
    ("name", "command", "said"),
    [
        ("tables/rewrite.json", QUERY, f"{BACKUP}, or remove it if no replay was killed"),
        ("forgetting.json", ("forget", "ann"), f"{BACKUP}, or remove it and run `demeter forget` again"),
        (f"locks/{PROJECTS[0]}.writing", ("replay",), "remove it, for no reader sees what it is about"),
    ],
)
def test_a_note_that_cannot_be_read_is_named(
    lake: Lake, name: str, command: tuple[str, ...], said: str
) -> None:
    path = lake.path / name
    path.write_bytes(b'{"count": \xff')
    result = demeter(lake, *command)
    assert (result.exit_code, one_line(result)) == (
        2,
        f"{path} cannot be read (what it holds is damaged): {said}",
    )
    path.unlink()
    assert demeter(lake, *command).exit_code == 0


def test_a_closed_month_that_cannot_be_read_is_named(lake: Lake, tmp_path: Path) -> None:
    found = focus.export(lake, Settings(), "2026-10", tmp_path / "out").content
    ledger = lake.path / "exports" / "focus" / "2026-10" / focus.LEDGER
    if not found.is_closed:
        ledger.parent.mkdir(parents=True)
        (ledger.parent / focus.SUMMARY).write_text("{}")
    ledger.write_bytes(b"PAR1")
    result = demeter(lake, "export", "focus", "--month", "2026-10", "-o", str(tmp_path / "out"))
    assert (result.exit_code, one_line(result)) == (
        2,
        f"{ledger} cannot be read (what it holds is damaged): {BACKUP}",
    )


# Raw pages.


def pages(lake: Lake) -> Path:
    return sorted((lake.path / "raw" / PROJECTS[0]).rglob("*.zst"))[-1]


@pytest.mark.parametrize("harm", HARMS)
def test_a_sweep_whose_raw_pages_cannot_be_read_is_left_as_it_is_by_a_replay(lake: Lake, harm: Harm) -> None:
    before = tables_of(lake)
    harm(path := pages(lake))
    result = demeter(lake, "replay")
    assert result.exit_code == 0
    assert (
        f"the raw pages in {path.parent} are missing or damaged: the sweep is left as it is" in result.stderr
    )
    assert "Traceback" not in result.stderr
    assert tables_of(Lake(lake.path)) == before


@pytest.mark.parametrize(
    "harm", [*HARMS, lambda path: path.write_bytes(raw._frame('{"page": 1, "body": x}\n'))]
)
def test_what_a_broken_sweep_left_and_cannot_be_read_is_asked_for_again(tmp_path: Path, harm: Harm) -> None:
    documents = lives(0)
    with Emulator(clock=Clock.at("2026-10-12T00:00:00Z"), fleet=Documents(documents)) as service:
        lake = Lake(tmp_path / "lake")
        service.faults.fail_at_request = {3: Answer(403, b"{}")}
        assert committed(service, lake, limit=4).verdict == "failed"
        harm(next(lake.path.rglob("*.zst")))
        environment = environment_for(service, lake.path, DEMETER_LIMIT="4")
        service.faults.fail_at_request = {}
        result = CliRunner().invoke(main, ["sweep", "--resume"], env=environment)
    assert (result.exit_code, "is complete" in result.stdout) == (0, True)
    assert len(rows_of(lake, "instances")) == len(documents)


def test_a_disk_that_fails_makes_nobody_forget_the_rest_of_a_page(lake: Lake) -> None:
    path = pages(lake)
    kept = path.rename(path.with_name("kept"))
    path.symlink_to("/proc/self/mem")
    with pytest.raises(UsageError, match=r"cannot be read \(Input/output error\)"):
        forget(Settings(), lake, "ann")
    assert path.is_symlink()
    path.unlink()
    kept.rename(path)
    forget(Settings(), lake, "ann")
    assert list(raw.pages(lake.place(path.parent.relative_to(lake.path).as_posix()), WHOLE))


@pytest.mark.parametrize("harm", [away, empty, zeros])
def test_a_hint_at_a_checkpoint_that_cannot_be_read_is_named_with_what_helps(lake: Lake, harm: Harm) -> None:
    before = rows_of(lake, "slices")
    lake.delta("slices").create_checkpoint()
    log = lake.path / "tables" / "slices" / "_delta_log"
    hint, [checkpoint] = log / "_last_checkpoint", log.glob("*.checkpoint.parquet")
    harm(checkpoint)
    result = CliRunner().invoke(main, ["--lake", str(lake.path), "sql", "from slices"])
    assert result.exit_code == 2
    named = checkpoint if checkpoint.exists() else hint
    assert one_line(result).startswith(f"{named} cannot be read (what it holds is damaged): move it")
    # As it says.
    hint.unlink()
    checkpoint.unlink(missing_ok=True)
    assert rows_of(Lake(lake.path), "slices") == before


def test_a_log_without_a_hint_is_named_for_what_it_misses_itself(lake: Lake) -> None:
    log = lake.path / "tables" / "slices" / "_delta_log"
    assert not (log / "_last_checkpoint").exists()
    for commit in log.glob("*.json"):
        commit.unlink()
    found = damage.find(lake.root)
    assert found
    assert found.place.endswith("tables/slices/_delta_log")
    assert str(found).endswith(BACKUP)


def test_a_sound_lake_has_no_file_to_name(lake: Lake) -> None:
    assert damage.find(lake.root) is None
    assert published(lake)
    assert build(Settings(tz="UTC"), lake).rows == {}
    assert os.path.exists(lake.path)
