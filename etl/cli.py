"""The command `demeter`: what a user types, in the order of the line."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from etl import __version__
from etl.errors import DemeterError, IncompleteListing

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """A group whose errors are one line with what to do next, and whose exit status tells their kind."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DemeterError as error:
            if ctx.params.get("verbose"):
                traceback.print_exc()
            click.echo(f"demeter: {error}", err=True)
            ctx.exit(error.exit_status)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="demeter")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    help="Settings file; demeter.toml of this directory unless given.",
)
@click.option("--lake", help="Directory of the lake (DEMETER_LAKE).")
@click.option("-v", "--verbose", is_flag=True, help="Say more, and show where an error came from.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="How to write the log."
)
@click.pass_context
def main(
    ctx: click.Context, settings_file: Path | None, lake: str | None, verbose: bool, log_format: str
) -> None:
    """Who used which ModelArts notebook instances, for how long, and at what cost?

    \b
    demeter demo        shows all of it without an account
    demeter sweep       lists a project once, into the lake
    demeter report      answers from the lake
    """
    ctx.obj = {"file": settings_file, "lake": lake}
    _log_to_stderr(verbose, log_format)


@main.command()
@click.option("--endpoint", help="URL of the ModelArts service (DEMETER_ENDPOINT).")
@click.option("--project-id", help="Project to list (DEMETER_PROJECT_ID).")
@click.option("--limit", type=click.IntRange(min=1), help="Instances to ask for in a page.")
@click.option("--status", "statuses", multiple=True, help="List only this status; repeatable.")
@click.option("--pool", "pools", multiple=True, help="List only this pool, by id; repeatable.")
@click.option("--workspace", "workspaces", multiple=True, help="List only this workspace; repeatable.")
@click.option("--ai-project", "ai_projects", multiple=True, help="List only this AI project; repeatable.")
@click.option("--show-self", is_flag=True, help="List only the instances of the calling user.")
@click.option("--split", is_flag=True, help="Divide the work into a slice for each status.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Slices to list side by side.")
@click.option("--resume", is_flag=True, help="Go on with the last sweep that was broken off.")
@click.pass_obj
def sweep(
    given: dict[str, Any],
    endpoint: str | None,
    project_id: str | None,
    limit: int | None,
    concurrency: int | None,
    resume: bool,
    **parts: Any,
) -> None:
    """List a project once and commit what was seen to the lake.

    Exit status 3 says that the listing could not be proven complete; what came is kept and marked.

    \b
    export DEMETER_ENDPOINT=https://modelarts.REGION.myhuaweicloud.com
    export DEMETER_PROJECT_ID=... DEMETER_TOKEN=...
    demeter sweep
    """
    from etl.scope import Scope
    from etl.sweep import sweep as run

    settings = _settings(
        given, endpoint=endpoint, project_id=project_id, limit=limit, concurrency=concurrency
    )
    with _progress("listing") as progress:
        found = run(settings, Scope(**parts), resume=resume, progress=progress)
    counts = ", ".join(f"{count} {name.removesuffix('_count')}" for name, count in found.counts.items())
    click.echo(f"sweep {found.sweep_id} is {found.verdict}: {counts}")
    if found.error:
        raise found.error
    if found.verdict != "complete":
        raise IncompleteListing(f"the listing is {found.verdict}: {found.reason}; run the sweep again")


@main.command()
@click.option("--days", default=3, show_default=True, help="Days to simulate.")
@click.option("--every", default=60, show_default=True, help="Minutes between two sweeps.")
@click.option("--instances", default=200, show_default=True, help="Instances of the fleet.")
@click.pass_obj
def demo(given: dict[str, Any], days: int, every: int, instances: int) -> None:
    """Show the whole line at work: sweeps of an emulated fleet, reports, and a lake to explore.

    The lake is made in ./demeter-demo unless --lake names another directory.
    """
    from etl import reports
    from etl.demo import REPORTS, Demo, fill

    directory = Path(given["lake"] or "demeter-demo")
    plan = Demo(days=days, every_minutes=every, instances=instances)
    with _progress(f"{plan.sweeps} sweeps of {days} simulated days") as progress:
        lake = fill(directory, plan, progress)
    for name in REPORTS:
        reports.show(lake, name)
    click.echo(f"The lake is in {directory}. Next:", err=True)
    click.echo(f"  demeter --lake {directory} sql", err=True)
    click.echo(f"  demeter --lake {directory} report", err=True)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8642, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--instances", default=200, show_default=True, help="Instances at the start.")
@click.option("--days", default=7.0, show_default=True, help="Days that the fleet lives.")
@click.option("--seed", default=7, show_default=True, help="Draws another fleet.")
@click.option("--sample", is_flag=True, help="Serve the reference's sample response instead of a fleet.")
@click.option("--at", "instant", help="What its clock shows at the start (ISO 8601); now unless given.")
@click.option("--speed", default=1.0, show_default=True, help="How fast its clock runs; 0 stands still.")
@click.option("--fault", "faults", multiple=True, help="A fault as NAME=VALUE, e.g. page_cap=50; repeatable.")
def emulate(
    host: str,
    port: int,
    instances: int,
    days: float,
    seed: int,
    sample: bool,
    instant: str | None,
    speed: float,
    faults: tuple[str, ...],
) -> None:
    """Serve the listing API on loopback, with a fleet that lives by a clock of its own.

    Prints the settings with which the other commands list it, and serves until Ctrl-C.
    """
    from etl.emulator import Clock, FleetSettings
    from etl.emulator.commands import faults_of, instant_of, serve

    start = instant_of(instant)
    fleet = FleetSettings(instances=instances, seed=seed, start=start, days=days)
    clock = Clock.at(start, speed)
    serve(fleet, clock, faults_of(faults), sample=sample, host=host, port=port, say=click.echo)


def _settings(given: dict[str, Any], **options: Any) -> Any:
    from etl import settings

    return settings.load({"lake": given["lake"], **options}, file=given["file"])


class _progress:
    """A progress bar on a terminal, and nothing elsewhere."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self.update if sys.stderr.isatty() else lambda done, total: None

    def update(self, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = click.progressbar(
                length=total, label=self.label, file=sys.stderr, show_pos=True, show_eta=True
            )
            self.bar.__enter__()
        self.bar.length = max(total, done)
        self.bar.update(done - self.bar.pos)

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)


class _JsonLines(logging.Formatter):
    """Log records as JSON, a line each."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json.dumps(line)


def _log_to_stderr(verbose: bool, log_format: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if log_format == "json" else logging.Formatter("demeter: %(message)s"))
    logger = logging.getLogger("demeter")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)


if __name__ == "__main__":
    main()
