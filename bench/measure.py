"""One run of a command in a process of its own: its time, its processor's time, and the most memory it held.

Nothing that needs much memory may be imported where this is used: a process counts what its parent held.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any, cast

ROOT = Path(__file__).parents[1]
OWN = sys.executable
OTHERS = str(ROOT / ".venv-bench/bin/python")


@dataclass(frozen=True)
class Run:
    """What one run took; `work_seconds` is without the start and the imports, where the command tells."""

    seconds: float
    work_seconds: float
    cpu_seconds: float
    peak_bytes: int
    service_seconds: float = 0.0  # Of the processor, for the answers.


class Failed(Exception):
    """A command ended with an error, or without having done all of its work."""


@dataclass
class Service:
    """The emulated service in its own process, and what it was told."""

    told: IO[str]
    says: IO[str]
    instances: int | None  # None where they come and go.
    environment: dict[str, str]

    def ask(self, **told: Any) -> dict[str, Any]:
        """Tell it what to do; what it has used up to now."""
        self.told.write(json.dumps(told) + "\n")
        self.told.flush()
        return dict(json.loads(self.says.readline()))


@contextmanager
def service(instances: int, *options: str) -> Iterator[Service]:
    """An emulated service that lists so many instances."""
    command = [OWN, "-m", "bench.serve", str(instances), *options]
    with (
        subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as process,  # noqa: S603 -- ours
        cast(IO[str], process.stdin) as told,
        cast(IO[str], process.stdout) as says,
    ):
        names = {f"DEMETER_{name.upper()}": value for name, value in json.loads(says.readline()).items()}
        yield Service(told, says, None if options else instances, names)


def run(command: Sequence[str], environment: Mapping[str, str], to: Service | None = None) -> Run:
    """One run of a command, the processes that it starts included; Failed unless it did its work."""
    before = to.ask()["cpu_seconds"] if to else 0.0
    surroundings = {**os.environ, **(to.environment if to else {}), **environment}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=output, stderr=output)  # noqa: S603
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {said[-2000:]}")
    told = _told(said)
    if to and to.instances is not None and told.get("instances", to.instances) != to.instances:
        raise Failed(f"{' '.join(command)} saw {told['instances']} instances of {to.instances}")
    return Run(
        seconds,
        told.get("seconds", seconds),
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * 1024,
        to.ask()["cpu_seconds"] - before if to else 0.0,
    )


def _told(said: str) -> dict[str, Any]:
    """What the last line says in JSON, if it does."""
    last = said.strip().rpartition("\n")[2]
    return dict(json.loads(last)) if last.startswith("{") else {}


def machine() -> dict[str, Any]:
    """What was measured on, without saying where that is."""
    cpus = Path("/proc/cpuinfo")
    names = (
        [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        if cpus.exists()
        else []
    )
    return {
        "processor": names[0].partition(": ")[2] if names else "unknown",
        "cores": os.cpu_count() or 0,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": sys.version.split()[0],
    }


def versions(python: str, *names: str) -> dict[str, str]:
    """The versions of packages in an environment."""
    code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    found = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True)  # noqa: S603
    return dict(zip(names, found.stdout.split(), strict=True))
