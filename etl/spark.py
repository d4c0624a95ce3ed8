"""A session on Spark: one machine or a cluster, with the same rules for SQL as everything else here."""

from __future__ import annotations

import atexit
import importlib.util
import logging
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from etl import sqlfiles
from etl.errors import DemeterError, ServiceUnavailable, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("demeter")

INSTALL = "pip install 'demeter-etl[spark]'"
PATIENCE_SECONDS = 10.0  # for a master to take a connection
IDLE_SECONDS = 20.0  # of a cluster that has work and does none of it, before that is said
# What makes its SQL that of DuckDB: instants in UTC, an error where a value does not fit.
RULES = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # A product or sum keeps all of its decimals.
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    # A name in FROM is a table, never the path of a file.
    "spark.sql.runSQLOnFiles": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}
# On one machine, whose processors share one memory; a cluster says so itself.
LOCAL = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
LOCAL_PARTITIONS = "8"
_DETAIL = re.compile(r" SQLSTATE: \w+")


def session(master: str) -> SparkSession:
    """A session of its own on the Spark of that master, which is started if it is not there yet.

    UsageError where something is not installed, ServiceUnavailable where nothing answers at the master.
    """
    _check_installed()
    running = _running()
    if running and running.sparkContext.master != master:
        running.stop()
        running = None
    if not running:
        _check_reachable(master)
        running = _started(master)
    own = running.newSession()
    for name, value in RULES.items():
        own.conf.set(name, value)
    if master.startswith("local") and own.conf.get("spark.sql.shuffle.partitions") == "200":
        own.conf.set("spark.sql.shuffle.partitions", LOCAL_PARTITIONS)
    for name, body in sqlfiles.FUNCTIONS.items():
        own.sql(
            f"create or replace temporary function {name}(number double) returns decimal(18, 6) return {body}"
        )
    return own


def reads_delta(session: SparkSession) -> bool:
    """Whether the cluster has a source for Delta tables."""
    try:
        session.read.format("delta").load("demeter-probe")
    except Exception as error:
        return "DATA_SOURCE_NOT_FOUND" not in str(error)
    return True


@contextmanager
def told() -> Iterator[None]:
    """Raise ServiceUnavailable in one line where the cluster fails at what is done inside."""
    try:
        yield
    except DemeterError:
        raise
    except Exception as error:
        if not is_of_spark(error):
            raise
        raise ServiceUnavailable(
            f"Spark gave out: {one_line(error)}; nothing is lost: look at the cluster, then run this again"
        ) from error


def is_of_spark(error: Exception) -> bool:
    """Whether an error comes from Spark, or from the way to it."""
    return type(error).__module__.partition(".")[0] in ("pyspark", "py4j") or isinstance(
        error, ConnectionError | EOFError
    )


def one_line(error: Exception) -> str:
    """What an error of Spark says first: the cause of a failed task, else its own message."""
    text = str(error)
    causes = re.findall(r"^(?:Caused by|Driver stacktrace): *(.+)$", text, re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((each for each in causes if each), lines[0] if lines else type(error).__name__)
    if said.startswith("An error occurred while calling") and len(lines) > 1:
        said = lines[1]
    said = re.sub(r"^:? ?(?:[a-z]\w*\.)+(?:\w+(?:Exception|Error))?:? ?", "", said)
    return _DETAIL.sub("", said)[:400].rstrip(" .;")


def _running() -> SparkSession | None:
    """The session of this process, if it has one."""
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession()


def _check_installed() -> None:
    """Raise UsageError unless pyspark and Java are there."""
    if importlib.util.find_spec("pyspark") is None:
        raise UsageError(f"the engine spark is pyspark, which is not installed: run {INSTALL}")
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else shutil.which("java")
    if not java or not Path(java).is_file():
        raise UsageError(
            "the engine spark runs on Java 17 or newer and none was found: install one, as in "
            "`apt-get install openjdk-17-jre-headless`, or set JAVA_HOME to where it is"
        )


def _check_reachable(master: str) -> None:
    """Raise unless the master is one that Spark knows, and a standalone one takes a connection."""
    if not re.fullmatch(r"local(\[[\w*, ]+\])?|(spark|k8s|mesos)://\S+|yarn", master):
        raise UsageError(
            f"master {master!r} is none: give one like local[*], spark://HOST:7077, yarn or k8s://URL"
        )
    if not master.startswith("spark://"):
        return
    reasons = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            reasons.append(str(getattr(error, "strerror", None) or error))
        else:
            return
    raise ServiceUnavailable(
        f"no Spark master answers at {master}: {reasons[0]}; start it, or give another --master"
    )


def _started(master: str) -> SparkSession:
    """Spark, begun for this process, and ended with it."""
    from pyspark.sql import SparkSession

    # What Spark says of a query that is wrong is told by the error itself.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = (
        SparkSession.builder.master(master).appName("demeter").config("spark.ui.showConsoleProgress", "false")
    )
    for name, value in (LOCAL if master.startswith("local") else {}).items():
        builder = builder.config(name, value)
    with TemporaryFile() as said:
        try:
            with _quiet(said):
                found: SparkSession = builder.getOrCreate()
        except Exception as error:
            raise ServiceUnavailable(
                f"Spark does not start at {master}: {_reason(said) or one_line(error)}; mend that, or give "
                "another --master"
            ) from error
    atexit.register(_stop, found)
    if not master.startswith("local"):
        threading.Thread(target=_watch, args=(found, master), daemon=True).start()
    return found


def _watch(session: SparkSession, master: str) -> None:
    """Say so, each time that it begins, where a cluster has work and no processor for it."""
    context, idle_since, is_said = session.sparkContext, None, False
    tracker = context.statusTracker()
    with suppress(Exception):  # It may end between two questions.
        while context._jsc is not None:
            stages = [tracker.getStageInfo(each) for each in tracker.getActiveStageIds()]
            if not stages or any(each and each.numActiveTasks for each in stages):
                idle_since, is_said = None, False
            idle_since = idle_since or time.monotonic()
            if stages and not is_said and time.monotonic() - idle_since > IDLE_SECONDS:
                is_said = True
                log.warning(
                    "Spark at %s has had no free processor for this for %d seconds, or too little memory on "
                    "each worker: it goes on as soon as there is one",
                    master,
                    IDLE_SECONDS,
                )
            time.sleep(1)


def _stop(session: SparkSession) -> None:
    with suppress(Exception):  # It may be gone already.
        session.stop()


def _reason(log: IO[bytes]) -> str:
    """The last line of an error that Java wrote, if any."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if re.search(r"rror|xception|refused", line)), "")


@contextmanager
def _quiet(log: IO[bytes]) -> Iterator[None]:
    """Let what Java writes to standard error, from now until it ends, go elsewhere; with -v it stays."""
    if logging.getLogger("demeter").isEnabledFor(logging.INFO):
        yield
        return
    kept = os.dup(2)
    try:
        os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
