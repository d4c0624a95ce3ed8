"""The command `init`: from a few answers to a settings file that works, and what to do next."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from etl.errors import CheckFailed, UsageError
from etl.settings import Settings, check_project, check_url, settings_of
from etl.sources import DEFAULT_FILE, PREFIX

# What each way to sign in wants, by the option that begins it.
WAYS: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "domain", "iam_endpoint", "password_file"),
    "key": ("ak", "sk_file"),
    "token": ("token_file",),
    "command": ("token_command",),
}
LATER = "environment"
# These may come from the environment when demeter runs.
OPTIONAL = ("password_file", "sk_file")
QUESTIONS = {
    "endpoint": "URL of the ModelArts service, like https://modelarts.REGION.myhuaweicloud.com",
    "project_id": "Id of the project",
    "lake": "Directory of the lake",
    "user": "IAM user",
    "domain": "Account (domain) of the user",
    "iam_endpoint": "URL of IAM",
    "password_file": "File that holds the password (empty: DEMETER_PASSWORD will be set)",
    "ak": "Access key",
    "sk_file": "File that holds the secret key (empty: DEMETER_SK will be set)",
    "token_file": "File that holds a token",
    "token_command": "Command that prints a token",
}


@click.command()
@click.option("--endpoint", envvar="DEMETER_ENDPOINT", help="URL of the ModelArts service.")
@click.option("--project-id", envvar="DEMETER_PROJECT_ID", help="Project to list.")
@click.option(
    "--lake", envvar="DEMETER_LAKE", help="Directory of the lake, or s3://BUCKET/PREFIX; `lake` unless given."
)
@click.option("--user", help="IAM user to sign in as; wants --domain and --iam-endpoint.")
@click.option("--domain", help="Account (domain) of the user.")
@click.option("--iam-endpoint", help="URL of IAM.")
@click.option("--password-file", help="File that holds the password of the user.")
@click.option("--ak", help="Access key to sign requests with.")
@click.option("--sk-file", help="File that holds the secret key of the access key.")
@click.option("--token-file", help="File that holds a token.")
@click.option("--token-command", help="Command that prints a token.")
@click.option("--allow-http", is_flag=True, default=None, help="Take an http URL that is not loopback.")
@click.option("--force", is_flag=True, help="Replace the settings file that is there.")
@click.option("--no-test", is_flag=True, help="Ask nothing of the service.")
@click.pass_obj
def init(given: dict[str, Any], /, force: bool, no_test: bool, **told: Any) -> None:
    """Write a settings file that says what every setting means, and try it.

    It is demeter.toml, or what --settings names, for its owner alone. What is needed and not given is
    asked for on a terminal. No secret is written: it stays in a file of its own or in the environment.
    Exit status 4 says that the file is written and does not work yet.

    \b
    demeter init
    demeter --settings other.toml init --project-id 0123456789abcdef0123456789abcdef --no-test
    """
    from etl import settingsfile

    path = given["file"] or DEFAULT_FILE
    if path.exists() and not force:
        raise settingsfile.already_there(path)
    told["lake"] = told["lake"] or given["lake"]
    values = _answered({name: value for name, value in told.items() if value not in (None, "")})
    for name, value in values.items():
        _check(name, value, bool(values.get("allow_http")))
    placed = _placed(values)
    settingsfile.write(path, settingsfile.text(placed), force=force)
    click.echo(f"wrote {path}: every setting is in it, with its meaning")
    for name, value in placed.items():
        before = os.environ.get(PREFIX + name.upper())
        if before and before.lower() != str(value).lower():
            click.echo(
                f"{PREFIX}{name.upper()} is set in the environment and goes before {name} in this file: "
                "unset it to use the file's",
                err=True,
            )
    if no_test:
        settings_of({"lake": None, "file": path})
        click.echo("next: demeter check", err=True)
        return
    _try(settings_of({"lake": None, "file": path}))


def _answered(values: dict[str, Any]) -> dict[str, Any]:
    """The values that were given, and those that are needed besides, asked for on a terminal."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    for name in ("endpoint", "project_id"):
        _complete(values, name, asks)
    if asks:
        _complete(values, "lake", asks, default=Settings.lake)
    for name in WAYS.get(_way(values, asks), ()):
        _complete(values, name, asks, default=_usual(values, name))
    return {name: value for name, value in values.items() if value != ""}


def _placed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the whole path of each file, so that it is found from wherever demeter runs."""
    return {
        name: str(Path(value).absolute()) if name.endswith("_file") else value
        for name, value in values.items()
    }


def _way(values: Mapping[str, Any], asks: bool) -> str:
    """The way to sign in that the values begin, or that is chosen; UsageError where they begin several."""
    begun = [way for way, names in WAYS.items() if any(name in values for name in names)]
    if len(begun) > 1:
        raise UsageError(f"{' and '.join(begun)} are ways to sign in: give the options of one of them")
    if begun or not asks:
        return begun[0] if begun else LATER
    choice = click.Choice([*WAYS, LATER])
    return str(click.prompt("How to sign in", type=choice, default="user", err=True))


def _complete(values: dict[str, Any], name: str, asks: bool, default: str | None = None) -> None:
    """Ask for a value that was not given; UsageError names its option where nobody can be asked."""
    if name in values:
        return
    if asks:
        allow_http = bool(values.get("allow_http"))
        values[name] = click.prompt(
            QUESTIONS[name], default=default, err=True, value_proc=lambda text: _taken(name, text, allow_http)
        )
    elif name not in OPTIONAL:
        raise UsageError(f"{name} is needed: give --{name.replace('_', '-')}")


def _taken(name: str, text: str, allow_http: bool) -> str:
    """An answer that will do; what is wrong with another one is said, and it is asked for again."""
    try:
        _check(name, text.strip(), allow_http)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    return text.strip()


def _usual(values: Mapping[str, Any], name: str) -> str | None:
    """What the answer to a question usually is."""
    if name in OPTIONAL:
        return ""
    if name == "iam_endpoint" and "://modelarts." in values["endpoint"]:
        return str(values["endpoint"]).replace("://modelarts.", "://iam.", 1)
    return None


def _check(name: str, value: Any, allow_http: bool) -> None:
    """Raise UsageError for a value that would be refused later."""
    if name == "project_id":
        check_project(value)
    elif name in ("endpoint", "iam_endpoint"):
        check_url(value, name, allow_http)
    elif name.endswith("_file") and value and not Path(value).is_file():
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} {value} is no file: write the secret into it first, with mode 600")


def _try(settings: Settings) -> None:
    """Say what works of the settings, and what the next step is."""
    from etl.checks import check_service
    from etl.lake import Lake
    from etl.output import show_rows

    findings = list(check_service(settings, Lake(settings.lake)))
    show_rows([finding.row() for finding in findings])
    failed = next((finding for finding in findings if finding.status == "fail"), None)
    if failed:
        raise CheckFailed(f"it does not work yet: {failed.detail}; then run `demeter check`")
    click.echo("it works. next: demeter sweep", err=True)
