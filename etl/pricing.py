"""The command `prices`: what the SKUs of a lake cost, as the billing service says."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from etl.errors import UsageError
from etl.output import show_rows
from etl.render import FORMATS
from etl.settings import settings_of

log = logging.getLogger("demeter")


@click.command()
@click.argument("what", type=click.Choice(["pull"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Price book to put them in, CSV; that of the settings unless given.",
)
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="First day of new prices; today unless given."
)
@click.option("--overwrite", is_flag=True, help="Put them in the place of prices that you wrote, too.")
@click.option("--fresh", is_flag=True, help="Ask again for what was answered a short while ago.")
@click.option("--dry-run", is_flag=True, help="Tell what would change, and write nothing.")
@click.option(
    "--format", type=click.Choice(FORMATS), help="How to show what changes; as a table unless given."
)
@click.pass_obj
def prices(
    given: dict[str, Any],
    /,
    what: str,
    output: Path | None,
    since: datetime | None,
    overwrite: bool,
    fresh: bool,
    dry_run: bool,
    format: str | None,
) -> None:
    """Ask the billing service for the on-demand prices of all SKUs in the lake, and put them in a price book.

    Prices that you wrote stay, and what has no price stays unpriced, and is told. Nothing is built: the next
    build takes the book if the settings name it.

    \b
    demeter prices pull -o prices.csv --dry-run
    demeter prices pull -o prices.csv --since 2026-10-01
    """
    from etl import days, discovery, pulling
    from etl.lake import Lake
    from etl.pricebook import Book

    settings = settings_of(given)
    path = output or (Path(settings.prices) if settings.prices else None)
    if path is None:
        raise UsageError("no price book is named: name a file with -o, or set prices")
    day = since.date() if since else datetime.now(days.zone(settings.tz)).date()
    found = pulling.pull(
        settings,
        Lake(settings.lake),
        discovery.projects_of(given["file"], {"lake": given["lake"]}),
        Book(path),
        day,
        overwrite=overwrite,
        fresh=fresh,
        dry_run=dry_run,
    )
    show_rows([change.row() for change in found], format)
    counted = Counter(change.what for change in found)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))
    click.echo(f"{'would be' if dry_run else 'are'} in {path}: {counts}", err=True)
    for line in _doubts(settings, found):
        log.warning("%s", line)


def _doubts(settings: Any, found: list[Any]) -> list[str]:
    """What a build will not do with these prices as the settings are."""
    currencies = {change.currency for change in found if change.what in ("added", "changed")}
    regions = {change.region for change in found}
    said = []
    if others := sorted(currencies - {settings.currency}):
        said.append(f"prices are in {', '.join(others)}: a build wants exchange_rates to {settings.currency}")
    if len(regions) > 1:
        said.append(
            "a build takes prices of one region, that of the setting: give each region a lake of its own"
        )
    return said
