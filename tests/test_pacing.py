"""Requests to a server keep to one rate, whoever sends them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.pacing import Pace

URL = "https://modelarts.example.com/v1"
# Prints when its turns are, by a clock that stands still.
TURNS = """
import sys
from pathlib import Path
from etl.pacing import Pace
pace = Pace(50, Path(sys.argv[1]), now=lambda: 1000.0)
print([pace.wait_seconds(sys.argv[2]) for _ in range(200)])
"""


@given(rate=st.floats(0.1, 1000), pauses=st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_no_two_requests_are_closer_than_the_rate_allows(rate: float, pauses: list[float]) -> None:
    now = 1000.0
    pace, turns = Pace(rate, now=lambda: now), []
    for pause in pauses:
        now += pause
        turns.append(now + pace.wait_seconds(URL))
    assert all(later - earlier >= 1 / rate - 1e-6 for earlier, later in pairwise(turns))


@pytest.mark.parametrize("shared", [False, True])
def test_each_server_has_a_rate_of_its_own(shared: bool, tmp_path: Path) -> None:
    pace = Pace(0.01, tmp_path if shared else None, now=lambda: 1000.0)
    other = "https://modelarts.example.com:8443/v1"
    waits = [pace.wait_seconds(url) for url in (URL, other, URL.upper().replace("HTTPS", "https"))]
    assert waits == [0, 0, pytest.approx(100)]


def test_processes_with_one_folder_share_the_turns(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TURNS, str(tmp_path), URL]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 -- this checkout
        for _ in range(3)
    ]
    turns = sorted(turn for each in processes for turn in json.loads(each.communicate()[0]))
    assert turns == pytest.approx([number / 50 for number in range(600)], abs=1e-6)


def test_who_waited_long_has_the_next_turn_at_once(tmp_path: Path) -> None:
    pace = Pace(1000, tmp_path)
    pace.wait_seconds(URL)
    time.sleep(0.01)
    assert pace.wait_seconds(URL) == pytest.approx(0, abs=1e-6)
