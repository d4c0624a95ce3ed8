"""Meter ModelArts projects with Airflow 3: one mapped task a project, then the upkeep of the lake once a day.

Wants `demeter` on the workers (`DEMETER_COMMAND`, such as /opt/demeter/bin/demeter), and for each project a
directory with a `demeter.toml` under `DEMETER_PROJECTS` (such as /etc/demeter). Projects may share a lake.

Hundreds of projects are as many directories as there are machines to spread them over. Each has tables of its
projects, or `discover` and its own `regions`, and a lake; a run sweeps them side by side.

A run that Airflow missed is not made up for (`catchup=False`), for a sweep lists what is there now: the next
one closes the gap, with wider bounds. Runs do not overlap, and each project fails by itself.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

COMMAND = os.environ.get("DEMETER_COMMAND", "demeter")
PROJECTS = Path(os.environ.get("DEMETER_PROJECTS", "/etc/demeter"))

# What a second try of Airflow may mend: an incomplete listing, and a service that gave out.
MAY_PASS = (3, 6)
BUSY = 7


def demeter(project: str, *words: str) -> None:
    """Run a command of demeter for a project, and let Airflow know what its exit status means."""
    done = subprocess.run([COMMAND, *words], cwd=PROJECTS / project, check=False)
    if done.returncode == BUSY:
        raise AirflowSkipException(f"another sweep of {project} is at work")
    if done.returncode in MAY_PASS:
        raise RuntimeError(f"exit status {done.returncode}: see the log above")
    if done.returncode:
        raise AirflowFailException(
            f"exit status {done.returncode}: see the log above; trying again mends nothing"
        )


@task
def projects() -> list[str]:
    """The directories that have settings."""
    return sorted(path.parent.name for path in PROJECTS.glob("*/demeter.toml"))


@dag(
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=2)},
    tags=["finops"],
    doc_md=__doc__,
)
def demeter_sweeps() -> None:
    """Sweep, build and report every project."""

    @task(map_index_template="{{ project }}", execution_timeout=timedelta(minutes=40))
    def run(project: str) -> None:
        """One project, from its listing to its reports."""
        demeter(project, "run")

    run.expand(project=projects())


@dag(
    schedule="30 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["finops"],
)
def demeter_upkeep() -> None:
    """Keep the lakes small and quick."""

    @task(map_index_template="{{ project }}")
    def maintain(project: str) -> None:
        """The lake of one project."""
        demeter(project, "maintain")

    maintain.expand(project=projects())


demeter_sweeps()
demeter_upkeep()
