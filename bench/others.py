"""The tools of others, each in an environment and a process of its own, told in lines of JSON what to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any, cast

from etl.emulator import Emulator

ROOT = Path(__file__).parents[1]
# Quiet, and in touch with nobody.
QUIETLY = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}


@dataclass
class Other:
    """A tool that waits for something to run."""

    told: IO[str]
    says: IO[str]

    def begin(self, told: Mapping[str, Any]) -> Any:
        """Tell it what to do; what it says first."""
        self.told.write(json.dumps(told) + "\n")
        self.told.flush()
        return self.said()

    def said(self) -> Any:
        """What it says next."""
        line = self.says.readline()
        if not line:
            raise RuntimeError("a tool of others ended before it was asked to")
        return json.loads(line)


@contextmanager
def other(environment: str, module: str) -> Iterator[Other]:
    """A tool of a module of `bench.rivals`, in one of the environments of the Makefile."""
    command = [ROOT / environment / "bin/python", "-m", f"bench.rivals.{module}"]
    around = {**os.environ, **QUIETLY}
    with (
        subprocess.Popen(  # noqa: S603 -- our own command
            command, cwd=ROOT, env=around, stdin=PIPE, stdout=PIPE, stderr=sys.stderr, text=True
        ) as process,
        cast(IO[str], process.stdin) as told,
        cast(IO[str], process.stdout) as says,
    ):
        yield Other(told, says)


def service_of(service: Emulator, limit: int) -> dict[str, Any]:
    """What a tool has to know of a service."""
    return {
        "endpoint": service.endpoint,
        "project_id": service.project_id,
        "token": service.token,
        "limit": limit,
    }


def dlt() -> Any:
    """Runs of dlt."""
    return other(".venv-bench", "dlt_runs")


def airbyte() -> Any:
    """Runs of Airbyte's CDK."""
    return other(".venv-airbyte", "airbyte_runs")
