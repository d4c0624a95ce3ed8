"""Where settings are said: a file with a table for each of several projects, and the environment."""

from __future__ import annotations

import csv
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from etl.errors import UsageError

SECRETS = (
    *("token", "password", "sk", "security_token", "pseudonym_key"),
    *("webhook_url", "mail_password"),
)
DEFAULT_FILE = Path("demeter.toml")
TABLES = "projects"
PREFIX = "DEMETER_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """What one setting is for: the section of the settings file that it stands in, whether a project may
    have its own, and its meaning."""

    name: str
    section: str
    is_of_a_project: bool
    meaning: str


@dataclass(frozen=True)
class Said:
    """What a settings file says: of all projects, and in the table of each."""

    path: Path
    common: dict[str, Any] = field(default_factory=dict)
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)


@cache
def catalogue() -> dict[str, Setting]:
    """Every setting by name, in the order of a settings file: settings.csv."""
    with Path(__file__).with_name("settings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["setting"]: Setting(row["setting"], row["section"], row["of_a_project"] == "yes", row["meaning"])
        for row in rows
    }


def read(file: Path | None) -> Said:
    """What a settings file says, demeter.toml if it is there unless another is named."""
    path = file or DEFAULT_FILE
    if file is None and not path.exists():
        return Said(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no settings file {path}: check --settings, or run `demeter init`"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as settings: {error}; mend it there") from None
    projects = _tables(path, values.pop(TABLES, {}))
    for said in (values, *projects.values()):
        _check(path, said)
    return Said(path, values, projects)


def of_environment(environment: Mapping[str, str], names: Iterable[str], project: str = "") -> dict[str, Any]:
    """What the environment says: of all projects in DEMETER_*, of one in DEMETER_<PROJECT>__*."""
    prefix = f"{PREFIX}{variable_part(project)}__" if project else PREFIX
    values: dict[str, Any] = {}
    for name in names:
        variable = f"{prefix}{name.upper()}"
        if name in SECRETS and environment.get(f"{variable}_FILE"):
            values[name] = _secret_in(environment[f"{variable}_FILE"], f"{variable}_FILE")
        if environment.get(variable):
            values[name] = environment[variable]
    return values


def with_secrets(values: Values, source: str) -> dict[str, Any]:
    """What a file says, with the secrets in the place of the names of the files that hold them."""
    found = dict(values)
    for name in SECRETS:
        path = found.pop(f"{name}_file", None)
        if path is not None and not isinstance(path, str):
            raise UsageError(
                f"{source} sets {name}_file to {path!r}, which is not the path of a file: mend it there"
            )
        if path:
            found[name] = _secret_in(path, f"{source}, {name}_file")
    return found


def variable_part(project: str) -> str:
    """The name of a project as it stands in variables of the environment."""
    return project.upper().replace("-", "_")


def _tables(path: Path, tables: Any) -> dict[str, dict[str, Any]]:
    """The tables of the projects; UsageError where one is none, or sets what holds for all of them."""
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise UsageError(f"{path} has a project without a name: write [{TABLES}.NAME] above its settings")
    seen: dict[str, str] = {}
    for name, said in tables.items():
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{path} names a project {name!r}: take letters, digits, - and _, 40 of them at most"
            )
        other = seen.setdefault(variable_part(name), name)
        if other != name:
            raise UsageError(f"{path} has the projects {other} and {name}: give one of them another name")
        for setting in said:
            known = catalogue().get(setting)
            if known and not known.is_of_a_project:
                raise UsageError(
                    f"{path} sets {setting} for the project {name}, but all projects share it: "
                    f"set it above the first [{TABLES}.NAME]"
                )
    return tables


def _check(path: Path, said: Values) -> None:
    """Raise UsageError where a file holds a secret, or a command that somebody else could write."""
    for name in SECRETS:
        if name in said:
            raise UsageError(
                f"{path} holds the secret {name!r}: put it in {PREFIX}{name.upper()} instead, "
                f"or into a file of its own that {name}_file names"
            )
    if "@" in str(said.get("proxy", "")):
        raise UsageError(f"{path} holds a password in 'proxy': put its URL in {PREFIX}PROXY instead")
    if said.get("token_command"):
        _check_owner(path)


def _check_owner(path: Path) -> None:
    """Raise UsageError where somebody else could write the command that a settings file names."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
        raise UsageError(
            f"{path} sets token_command, and others may write it: make the file your own, and chmod o-w"
        )


def _secret_in(path: str, said_in: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{said_in}: the file cannot be read: {error}; check its path and mode") from None
