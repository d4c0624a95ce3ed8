"""A settings file for people: every setting with its meaning and its default, those that are set set."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from etl.directory import to_replace
from etl.errors import UsageError
from etl.settings import Settings
from etl.sources import PREFIX, SECRETS, TABLES, Setting, catalogue

WIDTH = 96
OPENING = """\
# What demeter is to do here. Nothing in this file is secret.
#
# A line like `# name = value` shows a default: take its # away to change it. An environment
# variable named DEMETER_ and the name in capitals wins over this file, and an option over both.
"""
CLOSING = f"""\
# --- Several projects ---

# A table for each project makes `demeter run` sweep one after the other into one lake. What a
# table sets is of that project alone, and wins over what is set above; in the environment it is
# DEMETER_, the name of the project, two _ and the name of the setting, all in capitals.
#
#     [{TABLES}.vision]
#     project_id = "0123456789abcdef0123456789abcdef"
#     password_file = "/etc/demeter/vision-password"
"""


def text(values: Mapping[str, Any]) -> str:
    """The settings file that sets these values, and shows the defaults of all others."""
    parts = [OPENING]
    for section, settings in groupby(catalogue().values(), lambda each: each.section):
        parts.append(f"# --- {section} ---\n")
        parts += ["\n".join(_lines(each, values)) + "\n" for each in settings]
    return "\n".join([*parts, CLOSING])


def write(path: Path, content: str, *, force: bool) -> None:
    """Write a settings file for its owner alone; UsageError where one is there, unless told to replace it."""
    try:
        path = to_replace(path) if force else path
        place = path.with_name(f".{path.name}.{os.getpid()}") if force else path
        data = content.encode()
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        if force:
            place.replace(path)
    except FileExistsError:
        raise already_there(path) from None
    except UnicodeEncodeError:
        raise UsageError("a value has characters that are not Unicode text: give it again") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}; name another file with --settings"
        ) from None


def already_there(path: Path) -> UsageError:
    """The error for a settings file that is not to be replaced unasked."""
    return UsageError(
        f"{path} is there already: run `demeter check` to try it, name another file with "
        "`demeter --settings FILE init`, or replace it with --force"
    )


def _lines(setting: Setting, values: Mapping[str, Any]) -> Iterator[str]:
    """The meaning of a setting as a comment, and the setting: as it is set, or its default as a comment."""
    secret = setting.name in SECRETS
    name = f"{setting.name}_file" if secret else setting.name
    meaning = setting.meaning
    if secret:
        meaning += f"; never here: name a file that holds it, or set {PREFIX}{setting.name.upper()}"
    yield from textwrap.wrap(meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")
    shown = f"{name} = {_toml(values.get(name, '' if secret else getattr(Settings, name)))}"
    yield shown if name in values else f"# {shown}"


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # A JSON string is one of TOML, but for one character that TOML wants escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
