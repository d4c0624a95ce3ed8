"""The commands that move the line on: sweep, build, and run, which is both and the reports."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl import engine
from etl.errors import CheckFailed, DemeterError, UsageError
from etl.output import AS_FORMAT, TO_FILE, show_rows
from etl.settings import settings_of
from etl.signals import heeded
from etl.stages import stage
from etl.terminal import log_as_here, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl.projects import Outcome, Project
    from etl.scope import Scope
    from etl.settings import Settings

LOG = logging.getLogger("demeter")


@click.command()
@click.option("--endpoint", help="URL of the ModelArts service (DEMETER_ENDPOINT).")
@click.option("--project-id", help="Project to list (DEMETER_PROJECT_ID).")
@click.option(
    "--api",
    type=click.Choice(["demanager", "notebooks"]),
    help="The API that lists its instances (DEMETER_API).",
)
@click.option("--limit", type=click.IntRange(min=1), help="Instances to ask for in a page.")
@click.option("--status", "statuses", multiple=True, help="List only this status; repeatable.")
@click.option("--pool", "pools", multiple=True, help="List only this pool, by id; repeatable.")
@click.option("--workspace", "workspaces", multiple=True, help="List only this workspace; repeatable.")
@click.option("--ai-project", "ai_projects", multiple=True, help="List only this AI project; repeatable.")
@click.option("--show-self", is_flag=True, help="List only the instances of the calling user.")
@click.option("--split", is_flag=True, help="Divide the work into a slice for each status.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Slices to list side by side.")
@click.option(
    "--contract",
    type=click.Choice(["evolve", "warn", "strict"]),
    help="What to make of fields and values that the reference does not have (DEMETER_CONTRACT).",
)
@click.option("--resume", is_flag=True, help="Go on with the last sweep that was broken off.")
@click.option("--all", "sweeps_all", is_flag=True, help="List all projects of the settings, side by side.")
@AS_FORMAT
@TO_FILE
@click.pass_obj
def sweep(
    given: dict[str, Any],
    /,
    endpoint: str | None,
    project_id: str | None,
    api: str | None,
    limit: int | None,
    concurrency: int | None,
    contract: str | None,
    resume: bool,
    sweeps_all: bool,
    format: str | None,
    output: Path | None,
    **parts: Any,
) -> None:
    """List a project once and commit what was seen to the lake; with --all, each of the settings.

    Exit status 3 says that the listing could not be proven complete, 4 that it broke the contract; what
    came is kept all the same, and marked. With --all it is the worst of all, and --format or -o shows
    how each project ended.

    \b
    demeter sweep
    demeter sweep --status RUNNING --status STARTING
    demeter sweep --all --format json
    """
    from etl import discovery, projects, telemetry
    from etl.scope import Scope

    options = {
        "lake": given["lake"],
        "endpoint": endpoint,
        "project_id": project_id,
        "api": api,
        "limit": limit,
        "concurrency": concurrency,
        "contract": contract,
    }
    if sweeps_all:
        found = [_named(each) for each in discovery.projects_of(given["file"], options)]
        _sweep_all(settings_of(given), found, Scope(**parts), resume, format, output)
        return
    if format or output:
        raise UsageError("--format and --output show how several projects ended: give --all as well")
    settings = projects.one_of(given["file"], options)
    with telemetry.told(settings.lake):
        error = _swept(settings, Scope(**parts), resume=resume)
        _measured(settings)
        if error:
            raise error


@click.command()
@click.option("--tz", help="Billing time zone, which says what a day is (DEMETER_TZ).")
@click.option("--full", is_flag=True, help="Work everything out again, even if nothing has changed.")
@engine.ENGINE
@engine.MASTER
@click.pass_obj
def build(
    given: dict[str, Any], /, tz: str | None, full: bool, engine_name: str | None, master: str | None
) -> None:
    """Bring usage, costs, states, sessions and coverage up to date with the sweeps.

    Only the days that changed are worked out; the result is that of --full. Spark works out all days.

    \b
    demeter build
    demeter build --engine spark --master spark://spark.example.com:7077
    demeter sql "select usage_date, sum(running_seconds) / 3600 from usage_daily group by all"
    """
    from etl import telemetry

    settings = engine.settings_with(given, engine_name, master, tz=tz)
    with telemetry.told(settings.lake):
        error = _built(settings, full=full)
        if error:
            raise error


@click.command()
@click.pass_obj
def run(given: dict[str, Any], /) -> None:
    """Sweep, build, and write the reports that the settings name: what a scheduler calls.

    Where the settings file has tables of projects, each is swept, whatever becomes of the others. A listing
    that is not complete is built from all the same, and told by the exit status at the end.

    \b
    demeter run
    DEMETER_REPORTS=summary,usage_by_user demeter run
    DEMETER_REPORTS=all DEMETER_REPORTS_FORMAT=html demeter run
    """
    from etl import discovery, notify, projects, publish, telemetry
    from etl.lake import Lake
    from etl.marts import NothingMetered
    from etl.scope import Scope

    settings = settings_of(given)
    found = discovery.projects_of(given["file"], {"lake": given["lake"]})
    chosen = publish.Chosen.of(settings)
    notify.check(settings)
    _pause(settings.jitter_seconds)
    with telemetry.told(settings.lake), notify.watched(settings) as watch:
        watch.outcomes = _all_swept(settings, found, Scope())
        errors = [projects.error_of(watch.outcomes)]
        if errors[0] and not any(outcome.came for outcome in watch.outcomes):
            raise errors[0]
        watch.is_past_sweeps = True
        try:
            errors.append(_built(settings))
        except NothingMetered as nothing:
            # Where a sweep failed, that is why.
            errors.append(errors[0] or nothing)
        with stage("reports"):
            for path in chosen.write(Lake(settings.lake), engine.of(settings)):
                click.echo(f"wrote {path}")
        _measured(settings)
        if error := projects.worst_of(errors):
            raise error


def _named(project: Project) -> Project:
    """A project with a name: its id, where the settings are of it alone."""
    return project if project.name else replace(project, name=project.settings().project_id)


def _sweep_all(
    settings: Settings,
    found: Sequence[Project],
    scope: Scope,
    resume: bool,
    format: str | None,
    output: Path | None,
) -> None:
    """Sweep all projects, and show how each ended: in a line when it did, or all in the format asked for."""
    from etl import projects, sweeping, telemetry

    with telemetry.told(settings.lake):
        is_shown = bool(format or output)
        outcomes = _all_swept(settings, found, scope, resume=resume, is_told=not is_shown or bool(output))
        if is_shown:
            show_rows([sweeping.row(outcome) for outcome in outcomes], format, output)
        _measured(settings)
        if error := projects.error_of(outcomes):
            raise error


def _pause(longest_seconds: float) -> None:
    """Wait for a time drawn at random; a signal ends the wait, and the process, at once."""
    if longest_seconds:
        seconds = random.uniform(0, longest_seconds)  # noqa: S311 -- spreads runs, and keeps no secret
        LOG.info("the run begins in %.0f s (jitter_seconds)", seconds)
        time.sleep(seconds)


def _all_swept(
    settings: Settings,
    found: Sequence[Project],
    scope: Scope,
    *,
    resume: bool = False,
    is_told: bool = True,
) -> list[Outcome]:
    """Sweep each project side by side with others, and say how that ended; one alone is swept right here."""
    from etl import projects, sweeping
    from etl.directory import private
    from etl.lake import Lake
    from etl.sweep import looked_after

    if not found[0].name:
        return [projects.attempt(found[0], lambda one: _swept(one.settings(), scope, resume=resume))]
    sweeps = sweeping.Sweeps(settings, scope, resume, log_as_here())
    outcomes = []
    with heeded(sweeps.stop), progress_bar("sweeping", "projects") as progress:
        for outcome in sweeps.run(found):
            outcomes.append(outcome)
            _tell(outcome, is_told)
            progress(len(outcomes), len(found))
    if any(outcome.came for outcome in outcomes):
        with private():
            damaged = looked_after(Lake(settings.lake))
        if damaged:
            raise damaged
    order = [project.name for project in found]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.project.name))


def _tell(outcome: Outcome, is_told: bool) -> None:
    """Say how the sweep of one of several projects ended; what went wrong in any case."""
    from etl.sweep import line
    from etl.values import visible

    if outcome.came and is_told:
        click.echo(f"{outcome.project.name}: {line(outcome.found)}")
    if outcome.error:
        LOG.error("%s: %s", outcome.project.name, visible(str(outcome.error)))


def _swept(settings: Settings, scope: Scope, *, resume: bool = False) -> DemeterError | None:
    """Sweep, and say how that ended; what is wrong with the listing is returned."""
    from etl import contract, sweep
    from etl.client import Client, Interrupted
    from etl.directory import private
    from etl.values import visible

    sweep.check(settings)
    client = Client(settings)
    with heeded(client.stop):
        with private(), progress_bar("listing", "instances") as progress:
            found = sweep.sweep(settings, scope, resume=resume, progress=progress, client=client)
        click.echo(sweep.line(found.told))
        if isinstance(found.error, Interrupted):
            # The process ends here, by the signal.
            LOG.error("%s", found.error)
    for each in contract.told(settings, found.breaches):
        LOG.warning("%s", visible(each))
    return sweep.failure(settings, found)


def _built(settings: Settings, *, full: bool = False) -> DemeterError | None:
    """Build, and say what; a check that failed is returned."""
    from etl.directory import private
    from etl.lake import Lake

    if engine.on_spark(settings):
        from etl.sparkbuild import build as run
    else:
        from etl.build import build as run
    with private(), progress_bar("building", "steps") as progress:
        built = run(settings, Lake(settings.lake), full=full, progress=progress)
    rows = ", ".join(f"{count} rows of {name}" for name, count in built.rows.items())
    which = f"{len(built.days)} of {built.day_count} days"
    click.echo(f"built {which}: {rows}" if rows else "nothing has changed since the last build")
    failed = [finding for finding in built.findings if finding.status == "fail"]
    if not failed:
        return None
    told = "; ".join(f"{finding.question} No: {finding.detail}" for finding in failed)
    return CheckFailed(f"{told}; see `demeter check`")


def _measured(settings: Settings) -> None:
    """Tell a monitor of the lake, where the settings name a file for it."""
    if settings.metrics_file:
        from etl import metrics
        from etl.lake import Lake

        metrics.write(Lake(settings.lake), Path(settings.metrics_file))
