"""The command `explore`: the notebooks, served for reading, and the lake that they are about."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.errors import UsageError
from etl.settings import Settings, is_loopback, load, settings_of

if TYPE_CHECKING:
    from etl.frames import OpenLake

# In the order in which one would read them.
NOTEBOOKS = ("tour", "costs", "fleet")
DEMO = Path("demeter-demo")
INSTALL = "pip install 'demeter-etl[notebook]'"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--expose", is_flag=True, help="Listen on an address that other machines reach, too.")
@click.option("--no-token", is_flag=True, help="Let in whoever is on this machine, without a token.")
@click.option("--no-browser", is_flag=True, help="Print the address alone.")
@click.pass_obj
def explore(
    given: dict[str, Any], /, host: str, port: int, expose: bool, no_token: bool, no_browser: bool
) -> None:
    """Serve the notebooks over the lake in a browser: a tour, costs, and the fleet's health.

    They can be read and asked, and not edited. Prints the address, with a token without which nobody is let
    in, once it answers, and serves until Ctrl-C. Nothing is asked of any other machine.

    \b
    demeter explore
    demeter --lake demeter-demo explore --no-browser
    """
    if not is_loopback(host):
        _check_exposed(host, expose, no_token)
    if importlib.util.find_spec("marimo") is None:
        raise UsageError(f"the notebooks are shown by marimo, which is not installed: run {INSTALL}")
    from etl.lake import Lake

    lake = Lake(settings_of(given).lake)
    lake.check()
    token = "" if no_token else secrets.token_urlsafe(24)
    port = _free(host, port)
    click.echo(f"The lake {lake} is served until Ctrl-C.", err=True)
    _serve(str(lake), host, port, token, no_browser)


def opened(words: Sequence[str] | None = None) -> OpenLake:
    """The lake that a notebook is about: that of `--lake` among its words, else of the settings.

    Where neither names one, it is the demo's in ./demeter-demo, which is made if it is not there. UsageError
    where one is named and is not there.
    """
    from etl.frames import OpenLake

    named = _named(sys.argv[1:] if words is None else words)
    if named is None and (load({}).lake != Settings.lake or Path(Settings.lake).is_dir()):
        named = load({}).lake
    return OpenLake(named or _demo())


def _named(words: Sequence[str]) -> str | None:
    """What follows `--lake`; None where it is not there, UsageError where nothing follows."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--lake" or word.startswith("--lake="):
            found = word.partition("=")[2] or following
            if not found:
                raise UsageError("--lake wants a directory: give one after it")
            return found
    return None


def _demo() -> Path:
    """The lake of the demo, made where it is not there yet."""
    from etl.demo import MARKER, Demo, fill
    from etl.terminal import progress_bar

    if not (DEMO / MARKER).is_file():
        plan = Demo()
        told = f"no lake is named: {plan.sweeps} sweeps of a demo into {DEMO}"
        with progress_bar(told, "sweeps") as progress:
            fill(DEMO, plan, progress)
    return DEMO


def _check_exposed(host: str, expose: bool, no_token: bool) -> None:
    """Raise UsageError where others could read the lake without having been let in."""
    if not expose:
        raise UsageError(
            f"{host} may be reached by other machines, unencrypted: give --expose if that is meant"
        )
    if no_token:
        raise UsageError(
            f"{host} may be reached by other machines: --no-token is for this machine alone, so leave it out"
        )


def _free(host: str, port: int) -> int:
    """The port, or a free one for 0; UsageError where it cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{host}:{port} cannot be listened on: {reason}; give another --port") from None
        return int(listener.getsockname()[1])


def _serve(lake: str, host: str, port: int, token: str, no_browser: bool) -> None:
    """Become marimo by `etl.serving`, which serves the notebooks in its run mode until it is told to end."""
    from etl.serving import say_to_stdin
    from etl.sqlfiles import carried

    # Of all that demeter is told, the notebooks need the lake: no credentials.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEMETER_")}
    environment |= {"DEMETER_LAKE": lake, "MARIMO_SKIP_UPDATE_CHECK": "1"}
    notebooks = [str(carried("notebooks") / f"{name}.py") for name in NOTEBOOKS]
    options = ["--host", host, "--port", str(port), "--no-sandbox", "--include-code"]
    options += ["--headless"] if no_browser else []
    options += ["--token", "--token-password-file", "-"] if token else ["--no-token"]
    command = [sys.executable, "-P", "-m", "etl.serving", host, str(port)]
    command += ["--quiet", "--yes", "run", *options, *notebooks]
    say_to_stdin(token)
    os.execve(sys.executable, command, environment)  # noqa: S606  # nosec B606
