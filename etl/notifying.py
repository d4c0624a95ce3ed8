"""The command `notify`: tells now what a run would tell, or tries whether anybody can be told."""

from __future__ import annotations

from typing import Any

import click

from etl.errors import UsageError
from etl.settings import settings_of


@click.command()
@click.option("--test", is_flag=True, help="Send a message that says that it works, and remember nothing.")
@click.option("--dry-run", is_flag=True, help="Say what would be told, and tell nobody.")
@click.pass_obj
def notify(given: dict[str, Any], /, test: bool, dry_run: bool) -> None:
    """Tell whoever the settings name what the lake has that should not be.

    `demeter run` does so by itself, and tells of runs that fail, too. What was told once is told again when
    it is worse, after notify_again_hours, and when it is over.

    \b
    demeter notify --test
    demeter notify --dry-run
    """
    from etl import message, notify
    from etl.channels import channels

    settings = settings_of(given)
    notify.check(settings)
    reached = channels(settings)
    names = " and ".join(channel.name for channel in reached)
    if not reached:
        raise UsageError(
            "nobody is to be told: set DEMETER_WEBHOOK_URL, or mail_server, mail_from and mail_to"
        )
    if test:
        notify.test(settings, reached)
        click.echo(f"sent a test by {names}")
        return
    told = notify.tell(settings, reached, dry_run=dry_run)
    verb = "would tell" if dry_run else "told"
    for channel, news in told:
        click.echo(f"{verb} {len(news)} findings by {channel.name}")
        for notice in news:
            click.echo(f"  {message.line(notice)}")
