"""Commands that need no account: the demo, and the emulated service by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from etl.terminal import progress_bar


@click.command()
@click.option("--days", default=3, type=click.IntRange(1, 366), show_default=True, help="Days to simulate.")
@click.option(
    "--every", default=90, type=click.IntRange(1, 1440), show_default=True, help="Minutes between two sweeps."
)
@click.option(
    "--instances", default=200, type=click.IntRange(min=1), show_default=True, help="Instances of the fleet."
)
@click.pass_obj
def demo(given: dict[str, Any], /, days: int, every: int, instances: int) -> None:
    """Show the whole line at work: sweeps of an emulated fleet, reports, and a lake to explore.

    The lake is made in ./demeter-demo unless --lake names another directory.

    \b
    demeter --lake small demo --days 1 --every 240 --instances 50
    """
    from etl import engine, publish, reports
    from etl.demo import REPORTS, Demo, fill
    from etl.render import deliver
    from etl.settings import Settings

    directory = Path(given["lake"] or "demeter-demo")
    plan = Demo(days=days, every_minutes=every, instances=instances)
    with progress_bar(f"{days} simulated days", "sweeps") as progress:
        lake = fill(directory, plan, progress)
    for name in REPORTS:
        reports.show(lake, name, rows=8)
    page = directory / "report.html"
    pieces = publish.bound(lake, None, reports.Asked(), "html", "en", engine.of(Settings()))
    deliver(pieces, "html", page)
    click.echo(f"All reports are on one page: {page}", err=True)
    click.echo(f"The lake is in {directory}. Next:", err=True)
    click.echo(f"  demeter --lake {directory} sql", err=True)
    click.echo(f"  demeter --lake {directory} report", err=True)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8642,
    type=click.IntRange(0, 65535),
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--instances", default=200, type=click.IntRange(min=0), show_default=True, help="Instances at the start."
)
@click.option(
    "--projects", default=1, type=click.IntRange(min=1), show_default=True, help="Projects, a fleet each."
)
@click.option(
    "--days",
    default=7.0,
    type=click.FloatRange(min=0, min_open=True),
    show_default=True,
    help="Days that the fleet lives.",
)
@click.option("--seed", default=7, show_default=True, help="Draws another fleet.")
@click.option("--sample", is_flag=True, help="Serve the reference's sample response instead of a fleet.")
@click.option("--at", "instant", help="What its clock shows at the start (ISO 8601); now unless given.")
@click.option(
    "--speed",
    default=1.0,
    type=click.FloatRange(min=0),
    show_default=True,
    help="How fast its clock runs; 0 stands still.",
)
@click.option("--fault", "faults", multiple=True, help="A fault as NAME=VALUE, e.g. page_cap=50; repeatable.")
def emulate(
    host: str,
    port: int,
    instances: int,
    projects: int,
    days: float,
    seed: int,
    sample: bool,
    instant: str | None,
    speed: float,
    faults: tuple[str, ...],
) -> None:
    """Serve the listing API on loopback, with a fleet that lives by a clock of its own.

    Prints the settings with which the other commands list it, and serves until Ctrl-C.

    \b
    demeter emulate --port 0 --instances 300
    demeter emulate --port 0 --projects 20 --instances 5
    demeter emulate --port 0 --fault total_count=500
    """
    from etl.emulator import Clock, FleetSettings
    from etl.emulator.commands import faults_of, instant_of, serve

    start = instant_of(instant)
    fleet = FleetSettings(instances=instances, seed=seed, start=start, days=days)
    clock = Clock.at(start, speed)
    serve(
        fleet,
        clock,
        faults_of(faults),
        projects=projects,
        sample=sample,
        host=host,
        port=port,
        say=click.echo,
    )
