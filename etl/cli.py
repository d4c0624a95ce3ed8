"""The command `demeter`: what a user types, in the order of the line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click

from etl import __version__, engine
from etl.beginning import init
from etl.completing import completion, table_names
from etl.errors import DemeterError, UsageError
from etl.explore import explore
from etl.keeping import check, forget, lake_of, maintain, replay
from etl.lean import leave_out
from etl.notifying import notify
from etl.output import AS_FORMAT, TO_FILE, format_of, show_rows
from etl.pricing import prices
from etl.reporting import report
from etl.running import build, run, sweep
from etl.settings import settings_of
from etl.showcase import demo, emulate
from etl.stages import note, stage
from etl.terminal import log_to_stderr, show_progress

LOG = logging.getLogger("demeter")

# The commands that write nothing but a lake, which is for its owner alone; others see to it themselves.
LAKE_WRITERS = ("demo", "replay", "forget", "maintain")
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """A group whose errors are one line with what to do next, and whose exit status tells their kind."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _damage_named(ctx):
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            from etl.values import visible

            # The message may quote the service, and is one line whatever that sent.
            known = isinstance(error, DemeterError)
            said = str(error) if known else f"a defect ({type(error).__name__}: {error}); -v shows where"
            status = error.exit_status if isinstance(error, DemeterError) else 1
            note(exit_status=status)
            LOG.error("%s", visible(said), exc_info=bool(ctx.params.get("verbose")))
            ctx.exit(status)


@contextmanager
def _damage_named(ctx: click.Context) -> Iterator[None]:
    """Name the file where a command fails for one of its lake that cannot be read."""
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError, DemeterError):
        raise
    except Exception:
        from etl import damage

        lake = None
        with suppress(DemeterError):
            lake = lake_of(ctx.obj)
        with damage.named(lake.root) if lake else nullcontext():
            raise


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="demeter")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    help="Settings file; demeter.toml of this directory unless given.",
)
@click.option("--lake", help="Directory of the lake, or s3://BUCKET/PREFIX (DEMETER_LAKE).")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress, not even on a terminal.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, and show where an error came from.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="How to write the log."
)
@click.pass_context
def main(
    ctx: click.Context,
    settings_file: Path | None,
    lake: str | None,
    quiet: bool,
    verbose: bool,
    log_format: str,
) -> None:
    """Who used which ModelArts notebook instances, for how long, and at what cost?

    \b
    demeter demo        shows all of it without an account
    demeter sweep       lists a project once, into the lake
    demeter report      answers from the lake
    """
    ctx.obj = {"file": settings_file, "lake": lake}
    show_progress(not quiet)
    log_to_stderr(verbose, log_format)
    command = str(ctx.invoked_subcommand)
    ctx.with_resource(stage(f"demeter {command}", command=command))
    if ctx.invoked_subcommand in LAKE_WRITERS:
        from etl.directory import private

        ctx.with_resource(private())


main.add_command(init)
main.add_command(sweep)
main.add_command(build)
main.add_command(run)
main.add_command(notify)
main.add_command(replay)
main.add_command(forget)
main.add_command(check)
main.add_command(maintain)
main.add_command(prices)


@main.command()
@click.argument("instance_id")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Day of the billing time zone.")
@click.option("--project-id", help="Project of the instance, where several have one of this id.")
@click.option(
    "--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to show it."
)
@click.pass_obj
def explain(
    given: dict[str, Any], /, instance_id: str, day: datetime, project_id: str | None, format: str
) -> None:
    """Show how the running time and the cost of an instance on a day came about, sighting by sighting.

    \b
    demeter explain DE-e1713090-b81d-11f1-804a-0255ac100007 --day 2026-10-14
    """
    import json

    from etl import explain as explanation

    found = explanation.explain(lake_of(given), instance_id, day.date(), project_id)
    if format == "json":
        click.echo(json.dumps(found, default=str, ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(explanation.lines(found)))


@main.command()
@click.argument("what", type=click.Choice(["focus"]))
@click.option("--month", required=True, metavar="YYYY-MM", help="Month of the billing time zone.")
@click.option(
    "--focus-version",
    type=click.Choice(["1.2", "1.4"]),
    default="1.2",
    show_default=True,
    help="Its columns.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=".", help="Directory to write to.")
@click.pass_obj
def export(given: dict[str, Any], /, what: str, **which: Any) -> None:
    """Write what was charged in a month as FOCUS cost and usage data, for other programs to read.

    Prints the names of the files: Parquet, CSV and their metadata. What has no price is left out, and told.

    \b
    demeter export focus --month 2026-10 -o costs
    """
    from etl import focus

    found = focus.export(lake_of(given), settings_of(given), **which)
    click.echo("\n".join(map(str, found.paths)))
    click.echo("\n".join(focus.remarks(which["month"], found.content)), err=True)


@main.command()
@click.argument("bill", type=click.Path(path_type=Path))
@click.option("--column", "columns", multiple=True, metavar="FIELD=NAME", help="Header of a field.")
@click.option("--currency", help="Currency of a bill that has no column for it.")
@AS_FORMAT
@TO_FILE
@click.pass_obj
def reconcile(given: dict[str, Any], /, format: str | None, output: Path | None, **told: Any) -> None:
    """Line BILL, a CSV, up with what was metered: what agrees within the bounds, and what does not.

    Its columns are resource_id, period_start, period_end, amount and currency; the names that bills of
    the service and FOCUS give them are known too. Totals go to standard error.

    \b
    demeter reconcile october.csv
    demeter reconcile october.csv --column "amount=Amount due (net)" -o october.parquet
    """
    from etl import reconcile as reconciliation
    from etl import render

    found = reconciliation.reconcile(lake_of(given), **told)
    render.write(found, format_of(format, output), output)
    totals = render.render(reconciliation.totals(found), "table")
    click.echo(b"".join(totals), nl=False, err=True)


main.add_command(report)


@main.command()
@click.argument("query", required=False)
@click.option("-f", "--file", type=click.File(encoding="utf-8"), help="Read the query from this file.")
@engine.ENGINE
@engine.MASTER
@AS_FORMAT
@TO_FILE
@click.pass_obj
def sql(
    given: dict[str, Any],
    /,
    query: str | None,
    file: TextIO | None,
    engine_name: str | None,
    master: str | None,
    format: str | None,
    output: Path | None,
) -> None:
    """Run a query over all tables; it can only read.

    Without QUERY on a terminal a prompt begins, with history and completion. QUERY may be - or
    left out to read it from standard input. `demeter schema` tells the tables and their columns. The SQL
    is that of the engine.

    \b
    demeter sql "select status, count(*) from instances group by status"
    demeter sql -f weekly.sql -o weekly.parquet
    demeter sql --engine spark "select count(distinct user_id) from instances"
    """
    settings = engine.settings_with(given, engine_name, master)
    lake = lake_of(given)
    text = _query(query, file)
    if engine.on_spark(settings):
        from etl import render, sparkquery

        if text is None:
            raise UsageError("the prompt is DuckDB's: give a query for Spark, or leave --engine out")
        found = sparkquery.run(settings.master, lake, text)
        render.write(found, format_of(format, output), output)
    elif text is None:
        from etl import prompt

        prompt.run(lake, format_of(format, None))
    else:
        from etl import query as queries
        from etl import render

        render.write(queries.run(lake, text), format_of(format, output), output)


@main.command()
@click.argument("table", required=False, shell_complete=table_names)
@AS_FORMAT
@TO_FILE
def schema(table: str | None, format: str | None, output: Path | None) -> None:
    """Tell what the tables and views hold: type, unit, meaning and field in the API.

    Without TABLE, list the tables and what a row of each is.

    \b
    demeter schema
    demeter schema instances
    """
    from etl import schema as dictionary

    if table is None:
        show_rows(dictionary.tables(), format, output)
        return
    if output is None and format in (None, "table"):
        click.echo(f"{dictionary.heading(table)}\n")
    show_rows(dictionary.columns(table), format, output)


main.add_command(explore)
main.add_command(demo)
main.add_command(emulate)
main.add_command(completion)


def _query(query: str | None, file: TextIO | None) -> str | None:
    """The text of a query, from wherever it is given; None where it is to be asked for."""
    if query is not None and file is not None:
        raise UsageError("a query was given twice: give QUERY or --file, not both")
    if query not in (None, "-"):
        return query
    source = file or sys.stdin
    if source.isatty() and query is None:
        return None
    try:
        return source.read()
    except UnicodeDecodeError:
        raise UsageError(f"{source.name} is not UTF-8 text: save it as UTF-8") from None


def command() -> None:
    """Run the command that a shell was given, in a process that is its own."""
    leave_out()
    main()


if __name__ == "__main__":
    command()
