"""The command `report`: what one may ask for besides the name of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from etl.errors import UsageError
from etl.output import AS_FORMAT, TO_FILE, format_of, show_rows
from etl.settings import settings_of


@click.command()
@click.argument("name", required=False)
@click.option("--by", metavar="DIMENSION", help="What to break usage, inventory or failures down by.")
@click.option("--from", "since", metavar="DAY", help="First day of the period, or a month: 2026-10.")
@click.option("--to", "until", metavar="DAY", help="Day before which the period ends, or a month.")
@click.option("--tz", help="Time zone of the days and of times in a table; marts must be built in it.")
@click.option("--hours", metavar="NUMBER", help="Running time from which one is forgotten; 24 unless given.")
@click.option("--budget", metavar="AMOUNT", help="What a month may cost, in the currency of the bill.")
@AS_FORMAT
@TO_FILE
@click.pass_obj
def report(
    given: dict[str, Any], /, name: str | None, format: str | None, output: Path | None, **asked: Any
) -> None:
    """Answer a question from the lake; without NAME, list the reports and their options.

    The period is the last 30 complete days unless --from or --to is given. A table has figures to
    two places, and a single long row on its side; the other formats have them exactly.

    \b
    demeter report summary
    demeter report usage --by user --from 2026-10
    demeter report usage --by day --from 2026-10-01 --to 2026-10-08 -o week.csv
    demeter report budget --budget 50000
    demeter report running_without_auto_stop
    """
    from etl import reports

    if name is None:
        if any(asked.values()):
            raise UsageError("no report is named: `demeter report` lists them")
        show_rows(reports.listing(), format, output)
        return
    from etl import days
    from etl.lake import Lake

    lake = Lake(settings_of(given).lake)
    wanted = reports.Asked(**asked)
    zone = days.zone(wanted.tz or "UTC")
    chosen = reports.report(name, wanted.by)
    values = reports.values(lake, chosen, wanted)
    answer = reports.answer(lake, chosen, values)
    if period := reports.told(values):
        click.echo(period, err=True)
    reports.write(answer, format_of(format, output), output, zone=zone)
