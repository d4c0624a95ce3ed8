"""The command `report`: what one may ask for besides the name of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from etl import engine
from etl.completing import dimensions, report_names
from etl.errors import UsageError
from etl.output import AS_FORMAT, TO_FILE, format_of, show_rows


@click.command()
@click.argument("name", required=False, shell_complete=report_names)
@click.option(
    "--by",
    metavar="DIMENSION",
    shell_complete=dimensions,
    help="What to break usage, inventory or failures down by.",
)
@click.option("--from", "since", metavar="DAY", help="First day of the period, or a month: 2026-10.")
@click.option("--to", "until", metavar="DAY", help="Day before which the period ends, or a month.")
@click.option("--last", metavar="DAYS", help="How many of the last complete days, instead: '7 days'.")
@click.option("--tz", help="Time zone of the days and of times in a table; marts must be built in it.")
@click.option("--hours", metavar="NUMBER", help="Running time from which one is forgotten; 24 unless given.")
@click.option("--budget", metavar="AMOUNT", help="What a month may cost, in the currency of the bill.")
@click.option("--lang", help="Language of html and xlsx: en or zh; else that of reports_lang.")
@engine.ENGINE
@engine.MASTER
@AS_FORMAT
@TO_FILE
@click.pass_obj
def report(
    given: dict[str, Any],
    /,
    name: str | None,
    format: str | None,
    output: Path | None,
    lang: str | None,
    engine_name: str | None,
    master: str | None,
    **asked: Any,
) -> None:
    """Answer a question from the lake; without NAME, list the reports and their options.

    Without NAME, html and xlsx hold all reports: a page with an overview, or a workbook.

    The period is the last 30 complete days unless --from, --to or --last is given. A table has figures to
    two places, and a single long row on its side; the other formats have them exactly.

    \b
    demeter report budget --budget 50000
    demeter report usage --by user --from 2026-10 -o october.csv
    demeter report --from 2026-10 -o october.html
    """
    from etl import publish, reports

    chosen_format = format_of(format, output)
    if lang is not None and chosen_format not in publish.BOUND:
        raise UsageError(
            f"--lang is for {' and '.join(publish.BOUND)}; {chosen_format} has none: leave it out"
        )
    if name is None and chosen_format not in publish.BOUND:
        if any(asked.values()):
            raise UsageError("no report is named: `demeter report` lists them")
        show_rows(reports.listing(), format, output)
        return
    from etl import days
    from etl.lake import Lake

    settings = engine.settings_with(given, engine_name, master, reports_lang=lang)
    lake = Lake(settings.lake)
    wanted = reports.Asked(**asked)
    if chosen_format in publish.BOUND:
        from etl.render import deliver

        pieces = publish.bound(lake, name, wanted, chosen_format, settings.reports_lang, engine.of(settings))
        deliver(pieces, chosen_format, output)
        return
    zone = days.zone(wanted.tz or "UTC")
    chosen = reports.report(str(name), wanted.by)
    values = reports.values(lake, chosen, wanted)
    answer = engine.of(settings).answer(lake, chosen, values)
    if period := reports.told(values):
        click.echo(period, err=True)
    reports.write(answer, chosen_format, output, zone=zone)
