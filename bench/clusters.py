"""A standalone Spark cluster on loopback: a master and workers, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyspark

HOST = "127.0.0.1"
DEPLOY = "org.apache.spark.deploy"
LONGEST_START_SECONDS = 120
# Small, for the machine has few processors; and what is compiled once is not compiled better.
DEFAULTS = {
    "spark.driver.host": HOST,
    "spark.driver.bindAddress": HOST,
    "spark.driver.memory": "1g",
    "spark.executor.memory": "900m",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@dataclass
class Cluster:
    """A master and the workers that it knows."""

    folder: Path
    master: str = ""
    page: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def add_workers(self, count: int = 1, memory: str = "1g") -> None:
        """Start workers with a processor each, and wait until the master knows them."""
        wanted = self.workers() + count
        options = ["--cores", "1", "--memory", memory, "--work-dir", str(self.folder / "work")]
        for _ in range(count):
            self.processes.append(self._start("worker.Worker", *options, self.master))
        self._wait(lambda: self.workers() == wanted)

    def kill_worker(self) -> None:
        """Kill the worker that was started last, at once."""
        process = self.processes.pop()
        process.send_signal(signal.SIGKILL)
        process.wait()

    def workers(self) -> int:
        """How many workers live, as the master tells."""
        with urllib.request.urlopen(f"{self.page}/json/", timeout=10) as answer:  # noqa: S310 -- on loopback
            return int(json.load(answer)["aliveworkers"])

    def start(self) -> None:
        """Start the master."""
        port, page = free_port(), free_port()
        self.master, self.page = f"spark://{HOST}:{port}", f"http://{HOST}:{page}"
        self.processes.append(self._start("master.Master", "--port", str(port), "--webui-port", str(page)))
        self._wait(lambda: self.workers() == 0)

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait()

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = Path(pyspark.__file__).parent / "bin" / "spark-class"
        port = [] if name.startswith("master") else ["--webui-port", str(free_port())]
        command = [str(program), f"{DEPLOY}.{name}", "--host", HOST, *port, *arguments]
        log = (self.folder / f"{name}-{len(self.processes)}.log").open("wb")
        with log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)  # noqa: S603

    def _wait(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + LONGEST_START_SECONDS
        while time.monotonic() < until:
            try:
                if is_so():
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.2)
        raise TimeoutError(f"the cluster does not start: look into {self.folder}")


@contextmanager
def running(folder: Path, workers: int, **others: str) -> Iterator[Cluster]:
    """A cluster with so many workers, and the environment of a driver that works at it.

    `others` are settings of Spark, with _ for each point in their names.
    """
    configuration = folder / "conf"
    configuration.mkdir(parents=True)
    memory = others.get("spark_executor_memory", "1g")
    chosen = DEFAULTS | {name.replace("_", "."): value for name, value in others.items()}
    lines = "".join(f"{name} {value}\n" for name, value in chosen.items())
    (configuration / "spark-defaults.conf").write_text(lines)
    own = {
        "SPARK_CONF_DIR": str(configuration),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": sys.executable,
    }
    cluster = Cluster(folder, environment=os.environ | own)
    os.environ.update(own)
    try:
        cluster.start()
        cluster.add_workers(workers, memory)
        yield cluster
    finally:
        cluster.stop()
        for name in own:
            os.environ.pop(name, None)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
