"""The commands that look after a lake: replay, forget, check and maintain."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl import engine
from etl.errors import CheckFailed, DemeterError
from etl.output import AS_FORMAT, TO_FILE, show_rows
from etl.settings import Settings, settings_of
from etl.terminal import progress_bar

if TYPE_CHECKING:
    from etl.checks import Finding


def lake_of(given: dict[str, Any]) -> Any:
    """The lake that the settings name."""
    from etl.lake import Lake

    return Lake(settings_of(given).lake)


@click.command()
@click.option("--project-id", help="Project to replay; all of the lake unless set (DEMETER_PROJECT_ID).")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Leave out sweeps before this UTC day.")
@click.option("--dry-run", is_flag=True, help="Tell what would change, and write nothing.")
@engine.ENGINE
@engine.MASTER
@click.pass_obj
def replay(
    given: dict[str, Any],
    /,
    project_id: str | None,
    since: datetime | None,
    dry_run: bool,
    engine_name: str | None,
    master: str | None,
) -> None:
    """Flatten the raw pages that are kept again, and replace the rows that those sweeps wrote.

    It is for after an upgrade: what was in quarantine and can now be read comes home. Nothing is
    asked of the service. With Spark, the workers of a cluster flatten.

    \b
    demeter replay --dry-run
    demeter replay --engine spark --master spark://spark.example.com:7077
    """
    from etl.replay import lines
    from etl.replay import replay as run

    settings = engine.settings_with(given, engine_name, master, project_id=project_id)
    with progress_bar("replaying", "sweeps") as progress:
        found = run(
            settings,
            lake_of(given),
            since=since.date() if since else None,
            dry_run=dry_run,
            progress=progress,
        )
    click.echo("\n".join(line for done in found for line in lines(done, dry_run)))


@click.command()
@click.argument("user")
@click.pass_obj
def forget(given: dict[str, Any], /, user: str) -> None:
    """Erase USER, an id or a name, from the whole lake, and from the past of its tables.

    A pseudonym that leads nowhere takes their place, so that totals stay. It cannot be undone. A run
    that was killed is to be run again.

    \b
    demeter forget ann
    """
    from etl.forget import forget as run

    person = run(settings_of(given), lake_of(given), user)
    click.echo(f"the user is forgotten; what was theirs is now of {person.token}")


@click.command()
@AS_FORMAT
@TO_FILE
@click.pass_obj
def check(given: dict[str, Any], /, format: str | None, output: Path | None) -> None:
    """Check settings, credentials, the service, the lake and the data in it, for all projects.

    Exit status 4 says that a check failed; warnings do not.

    \b
    demeter check
    demeter check --format json
    """
    from etl import discovery
    from etl.checks import check_all
    from etl.lake import Lake

    settings = settings_of(given)
    found = discovery.projects_of(given["file"], {"lake": given["lake"]})
    several = [project for project in found if project.name]
    findings = [*check_all(settings, Lake(settings.lake), several), _of_run(settings)]
    show_rows([finding.row(bool(several)) for finding in findings], format, output)
    failed = [finding.subject for finding in findings if finding.status == "fail"]
    if failed:
        raise CheckFailed(f"failed: {', '.join(failed)}; look at the detail of each")


def _of_run(settings: Settings) -> Finding:
    """Whether what a run does after its sweeps takes the settings: a build, reports and notices."""
    from etl import days, notify, prices, publish
    from etl.checks import Finding

    question = "Can a run build, report and notify by them?"
    try:
        days.zone(settings.tz)
        publish.Chosen.of(settings)
        notify.check(settings)
        if settings.prices:
            prices.read(Path(settings.prices))
        if settings.exchange_rates:
            prices.read_rates(Path(settings.exchange_rates))
    except DemeterError as error:
        return Finding("run", "fail", question, str(error))
    return Finding("run", "ok", question)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.pass_obj
def maintain(given: dict[str, Any], /, dry_run: bool) -> None:
    """Merge small files, expire raw pages, and remove what no reader needs any more.

    It may run beside sweeps, builds and readers. Rows are never removed, but those of killed sweeps.

    \b
    demeter maintain --dry-run
    demeter maintain
    """
    from etl import upkeep

    with progress_bar("maintaining", "chores") as progress:
        chores = upkeep.maintain(settings_of(given), lake_of(given), dry_run=dry_run, progress=progress)
    click.echo("\n".join(chore.line(dry_run) for chore in chores))
