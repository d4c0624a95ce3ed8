"""The demo's lake, and `demeter explore` over it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from etl.demo import Demo, fill
from etl.explore import NOTEBOOKS
from etl.lake import Lake

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"


@dataclass(frozen=True)
class Served:
    """Where `demeter explore` serves, and the token that lets one in."""

    address: str
    token: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of a demo that is smaller than usual; tests only read it."""
    plan = Demo(days=2, every_minutes=180, instances=40)
    return fill(tmp_path_factory.mktemp("demo") / "lake", plan, lambda done, of: None)


@pytest.fixture(params=NOTEBOOKS)
def notebook(request: pytest.FixtureRequest) -> Path:
    """Each notebook in turn."""
    return FOLDER / f"{request.param}.py"


def environment(**others: str) -> dict[str, str]:
    """The environment without settings of demeter, but for those that are given."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("DEMETER_")}
    return mine | others


@pytest.fixture(scope="session")
def served(demo: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`demeter explore` as a user starts it, from a folder of its own; Ctrl-C ends it without a word."""
    folder = tmp_path_factory.mktemp("explore")
    command = [sys.executable, "-m", "etl.cli", "--lake", str(demo.path), "explore", "--no-browser"]
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=said, text=True
        )
        assert process.stdout is not None
        address, _, token = process.stdout.readline().strip().partition("/?access_token=")
        yield Served(address, token)
        process.send_signal(2)
        assert process.wait(30) == 0
        said.seek(0)
        assert said.read() == f"The lake {demo.path} is served until Ctrl-C.\n"
    assert process.stdout.read() == ""
    assert [path.name for path in folder.iterdir()] == ["said"]
