"""A lake that can only be read answers its readers, and tells its writers so in a line; nothing changes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lakes import PROJECTS, lives
from support import environment_for, one_line

from etl import focus
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.places import Place
from etl.settings import Settings

Mount = Callable[[str], None]
MONTH = ("export", "focus", "--month", "2026-10")


def shell(*words: str) -> int:
    return subprocess.run(words, capture_output=True).returncode  # noqa: S603


@pytest.fixture
def mounted(tmp_path: Path, built_lake: Lake) -> Iterator[tuple[Lake, Mount]]:
    """A lake on a file system of its own, and what mounts that with other options."""
    place = tmp_path / "disk"
    place.mkdir()
    if shell("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)):
        pytest.skip("no file system can be mounted here")
    lake = Lake(shutil.copytree(built_lake.path, place / "lake"))

    def mount(how: str) -> None:
        assert shell("mount", "-o", f"remount,{how}", str(place)) == 0

    yield lake, mount
    shell("umount", "-l", str(place))


def demeter(lake: Lake, *arguments: str) -> Result:
    environment = {"DEMETER_LAKE": str(lake.path), "DEMETER_TZ": "UTC"}
    return CliRunner().invoke(main, arguments, env=environment)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "command",
    [("build",), ("build", "--full"), ("replay",), ("forget", "ann"), ("maintain",), (*MONTH, "-o", "out")],
    ids=" ".join,
)
def test_whoever_writes_says_so_in_a_line_changes_nothing_and_works_afterwards(
    mounted: tuple[Lake, Mount], command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake, mount = mounted
    before = files(lake.path)
    mount("ro")
    result = demeter(lake, *command)
    assert (result.exit_code, one_line(result), result.stdout) == (
        2,
        f"the lake {lake.path} cannot be written: Read-only file system; nothing is lost: mend that, then "
        "run this again",
        "",
    )
    assert files(lake.path) == before
    assert not (tmp_path / "out").exists()
    mount("rw")
    assert demeter(lake, *command).exit_code == 0


def test_a_sweep_says_so_before_it_asks_for_anything(mounted: tuple[Lake, Mount]) -> None:
    lake, mount = mounted
    before = files(lake.path)
    mount("ro")
    with Emulator(
        clock=Clock.at("2026-10-13T07:00:00Z"), fleets={PROJECTS[0]: Documents(lives(30))}
    ) as service:
        environment = environment_for(service, lake.path)
        for command in ("sweep", "run"):
            result = CliRunner().invoke(main, [command], env=environment)
            assert (result.exit_code, one_line(result)) == (
                2,
                f"the lake {lake.path} cannot be written: Read-only file system; mend that, or give another "
                "one with DEMETER_LAKE",
            )
        assert list(service.requests) == []
    assert files(lake.path) == before


@pytest.mark.parametrize(
    "command",
    [
        ("sql", "select count(*) from instances"),
        ("report", "summary"),
        ("explain", "DE-1", "--day", "2026-10-12", "--project-id", PROJECTS[0]),
        ("maintain", "--dry-run"),
    ],
    ids=" ".join,
)
def test_whoever_reads_is_answered(mounted: tuple[Lake, Mount], command: tuple[str, ...]) -> None:
    lake, mount = mounted
    mount("ro")
    result = demeter(lake, *command)
    assert (result.exit_code, bool(result.stdout)) == (0, True)


def test_an_export_that_the_lake_cannot_keep_names_the_lake_and_not_its_own_directory(
    built_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(shutil.copytree(built_lake.path, tmp_path / "lake"))

    def refuse(place: Place) -> None:
        raise OSError(28, os.strerror(28), str(place))

    monkeypatch.setattr("etl.delivery.Place.drafted", refuse)
    result = demeter(lake, *MONTH, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert one_line(result).startswith(f"the lake {lake.path} cannot be written: No space left on device")
    assert not (tmp_path / "out").exists()


def test_what_an_export_keeps_in_the_lake_is_for_its_owner_alone(built_lake: Lake, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(built_lake.path, tmp_path / "lake"))
    before = os.umask(0o022)
    try:
        focus.export(lake, Settings(), "2026-10", tmp_path / "out")
    finally:
        os.umask(before)
    kept = list((lake.path / "exports").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}
    assert {
        stat.S_IMODE(path.stat().st_mode) for path in [lake.path / "exports", *kept] if path.is_dir()
    } == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o644}
