"""What is deployed, tried with what runs it: systemd, Airflow, a shell for the container."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DEMETER = ROOT / ".venv/bin/demeter"


@pytest.fixture
def service() -> Iterator[dict[str, str]]:
    """The settings of an emulated service, as its command prints them."""
    command = [str(DEMETER), "emulate", "--port", "0", "--instances", "30", "--days", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = (process.stdout.readline() for _ in range(3))
        yield dict(re.findall(r"export (\w+)=(\S+)", "".join(said)))
        process.terminate()


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with what it said."""
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
