"""The command `completion`, and the names that a shell may complete."""

from __future__ import annotations

import click

from etl.errors import DemeterError

SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/demeter",
    "zsh": "_demeter, in a directory of $fpath",
    "fish": "~/.config/fish/completions/demeter.fish",
}
VARIABLE = "_DEMETER_COMPLETE"


def report_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The reports whose names begin so, and what several are called before their --by."""
    from etl import sqlfiles

    names = sqlfiles.names("reports")
    families = {name.partition("_by_")[0] for name in names if "_by_" in name}
    return [name for name in sorted({*names, *families}) if name.startswith(incomplete)]


def dimensions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """What the report of the command line, or any one, can be broken down by, if it begins so."""
    from etl import sqlfiles

    # Where the option has no value yet, click has not told the argument from the rest.
    family = ctx.params.get("name") or next(iter(ctx.args), None)
    divided = [name.partition("_by_") for name in sqlfiles.names("reports") if "_by_" in name]
    found = {dimension for first, _, dimension in divided if family in (None, first)}
    return [dimension for dimension in sorted(found) if dimension.startswith(incomplete)]


def table_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The tables, history views and marts whose names begin so."""
    from etl import schema

    return [name for name in schema.names() if name.startswith(incomplete)]


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print the script that lets a shell complete commands, options, reports and tables.

    Its last lines say how to install it for good.

    \b
    eval "$(demeter completion bash)"
    demeter completion fish > ~/.config/fish/completions/demeter.fish
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    kind = get_completion_class(shell)
    if kind is None:
        raise DemeterError(f"click completes nothing for {shell}: install click anew")
    click.echo(kind(root.command, {}, "demeter", VARIABLE).source().rstrip())
    click.echo(f"\n# To install it: demeter completion {shell} > FILE\n# where FILE is {SHELLS[shell]}")
