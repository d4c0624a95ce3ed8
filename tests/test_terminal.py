"""Progress is shown on a terminal, with how fast it goes and how long it will take, and nowhere else."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from click.testing import CliRunner
from lakes import MIDNIGHT, lives
from support import committed

from etl import build, terminal, upkeep
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.settings import Settings
from etl.terminal import progress_bar, rate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [
        (0, 5.0, ""),
        (5000, 2.0, "2,500 instances/s"),
        (3, 12.6, "4.2 s/instance"),
        (7, 0.0, ""),
        (10, 10.0, "1 instances/s"),
    ],
)
def test_a_rate_is_said_by_the_second_or_by_the_thing(done: int, seconds: float, said: str) -> None:
    assert rate(done, seconds, "instances") == said


def test_a_terminal_shows_how_far_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 2.0, 4.0))
    monkeypatch.setattr(terminal, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(clock))}))
    with redirect_stderr(Terminal()) as screen, progress_bar("listing", "instances") as progress:
        progress(500, 1000)
        progress(1500, 1500)
    shown = screen.getvalue()
    assert "listing" in shown
    assert "500/1000" in shown
    assert "250 instances/s" in shown
    assert "1500/1500" in shown


def test_a_time_that_is_left_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("click._termui_impl.time.time", lambda: now[0])
    with redirect_stderr(Terminal()) as screen, progress_bar("listing", "instances") as progress:
        progress(0, 1000)
        for done in (100, 200):
            now[0] += 10
            progress(done, 1000)
    assert "00:01:20" in screen.getvalue()


@pytest.mark.parametrize(("screen", "is_wanted"), [(Terminal(), False), (io.StringIO(), True)])
def test_nothing_is_shown_unless_it_is_wanted_and_there_is_a_terminal(
    screen: io.StringIO, is_wanted: bool
) -> None:
    terminal.show_progress(is_wanted)
    with redirect_stderr(screen), progress_bar("listing", "instances") as progress:
        progress(1, 2)
    terminal.show_progress(True)
    assert screen.getvalue() == ""


def test_a_quiet_command_leaves_the_next_one_as_it_was() -> None:
    assert CliRunner().invoke(main, ["-q", "schema"]).exit_code == 0
    assert CliRunner().invoke(main, ["schema"]).exit_code == 0
    assert terminal._SHOWN.get()


def test_a_build_and_an_upkeep_tell_of_each_step_up_to_the_last(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        committed(service, lake)
        service.clock.advance(hours=2)
        committed(service, lake)
    told: list[tuple[int, int]] = []
    build.build(Settings(tz="UTC"), lake, progress=lambda done, total: told.append((done, total)))
    total = told[-1][1]
    assert told == [(done, total) for done in range(1, total + 1)]
    assert total > 5
    told.clear()
    upkeep.maintain(Settings(), lake, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(1, 8)]
