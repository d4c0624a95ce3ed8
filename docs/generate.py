"""Write docs/reference.md from the code, which alone knows its commands, settings and tables.

`make docs` runs it, and tests/test_docs.py holds the committed page to what it gives.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import click

from etl import correspondence, errors, schema, sqlfiles
from etl.cli import main
from etl.dictionary import CHANGE, COMMON, OBSERVED_DATE, TABLES, Column, maps, unit
from etl.emulator import Faults
from etl.reports import reports
from etl.settings import Settings
from etl.sources import SECRETS

PAGE = Path(__file__).with_name("reference.md")
KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
FAULT = re.compile(r"    ([a-z]\w*): (.+?) = ([^#]+?)(?:  # (.*))?")

Rows = Sequence[Sequence[str]]


def page() -> str:
    """The text of the page."""
    parts = (
        _opening(),
        _commands(),
        _settings(),
        _exit_statuses(),
        _tables(),
        _marts(),
        _reports(),
        _faults(),
    )
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _opening() -> Iterator[str]:
    yield from (
        "# Reference",
        "",
        "Written from the code by `make docs`: change the code, not this page.",
        "",
    )
    for name in ("Commands", "Settings", "Exit statuses", "Tables", "Marts", "Reports", "Faults"):
        yield f"- [{name}](#{name.lower().replace(' ', '-')})"
    yield ""


def _commands() -> Iterator[str]:
    yield from ("## Commands", "", "Options of `demeter` stand before the command, all others after it.", "")
    yield from _command("demeter", main)
    for name, command in main.commands.items():
        yield from _command(f"demeter {name}", command)


def _command(name: str, command: click.Command) -> Iterator[str]:
    """The heading, usage, help and options of a command."""
    arguments = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option)]
    rest = "COMMAND ..." if isinstance(command, click.Group) else " ".join(arguments)
    yield from (
        f"### {name}",
        "",
        "```text",
        f"{name} {'[OPTIONS] ' if options else ''}{rest}".rstrip(),
        "```",
    )
    yield from ("", *_help(command))
    if options:
        yield from _table(("option", "meaning"), [(f"`{_typed(each)}`", _meaning(each)) for each in options])


def _help(command: click.Command) -> Iterator[str]:
    """The help of a command; what click is told not to wrap (\\b) stays as it was typed."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ("```text", paragraph.removeprefix("\b\n").rstrip(), "```", "")
        else:
            yield from (" ".join(paragraph.split()), "")


def _argument(argument: click.Argument) -> str:
    """An argument as it stands in a usage line; in brackets where it may be left out."""
    name = (argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def _typed(option: click.Option) -> str:
    """An option as one types it."""
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {'|'.join(option.type.choices)}"
    return f"{names} {option.metavar or option.type.name.partition(' ')[0].upper()}"


def _meaning(option: click.Option) -> str:
    default = f" Default: `{option.default}`." if option.show_default is True else ""
    return f"{option.help or ''}{default}".strip()


def _settings() -> Iterator[str]:
    yield from ("## Settings", "", "The later source wins: `demeter.toml`, the environment, options.", "")
    yield from ("[For operators](operator.md#settings) says what each is for.", "")
    rows = []
    for field in fields(Settings):
        variable = f"DEMETER_{field.name.upper()}"
        secret = field.name in SECRETS
        where = (
            f"`{variable}` or `{variable}_FILE`, never in a file of settings" if secret else f"`{variable}`"
        )
        default = field.default
        shown = str(default).lower() if isinstance(default, bool) else default
        rows.append((f"`{field.name}`", where, KINDS[type(default)], f"`{shown}`" if default != "" else ""))
    yield from _table(("in demeter.toml", "in the environment", "kind", "default"), rows)


def _exit_statuses() -> Iterator[str]:
    yield from ("## Exit statuses", "")
    next_move = dict(re.findall(r"(\w+) +\d  (.+)", errors.__doc__ or ""))
    rows = [("0", "done", "")]
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.DemeterError):
            meaning = "a defect in demeter" if kind is errors.DemeterError else _sentence(kind.__doc__)
            rows.append((str(kind.exit_status), meaning, next_move[name].rpartition(": ")[2]))
    yield from _table(("status", "what happened", "what to do"), rows)


def _sentence(text: str | None) -> str:
    """A docstring as the cell of a table."""
    words = (text or "").removesuffix(".")
    return words[:1].lower() + words[1:]


def _tables() -> Iterator[str]:
    yield from ("## Tables", "", "A table shows the latest row of whatever is still there, and its history")
    yield from (
        "view every row with `valid_from` and `valid_to`. Besides its own columns, each table has:",
        "",
    )
    common = [_column(each) for each in (*COMMON, CHANGE, OBSERVED_DATE)]
    yield from _table(("column", "type", "unit", "meaning", "in the API"), common)
    yield from ("`sweeps` and `slices` have neither history nor `change` and `observed_date`.", "")
    for table in TABLES:
        history = f", all its versions in `{table.history}`" if table.history else ""
        keys = f" Key: {', '.join(f'`{key}`' for key in table.keys)}." if table.keys else ""
        yield from (f"### {table.name}", "", f"A row is {table.grain}{history}.{keys}", "")
        rows = [_column(each) for each in table.columns]
        yield from _table(("column", "type", "unit", "meaning", "in the API"), rows)
        if table.name == "attributes":
            yield from _maps()


def _column(column: Column) -> tuple[str, ...]:
    source = _source(column.field, column.reference) if column.field else column.reference
    return f"`{column.name}`", column.sql_type, unit(column), column.meaning, source


def _source(field: str, reference: str) -> str:
    """A field of the reference, and those of the successor that it is made from there."""
    own = ", ".join(f"`{each}`" for each in correspondence.fields_of(field))
    return f"`{field}`, {reference}" + (f"; notebooks: {own}" if own else "")


def _maps() -> Iterator[str]:
    yield from ("Its rows come from these maps:", "")
    rows = []
    for each in maps():
        told = (each.meaning, _source(each.field, each.reference))
        rows.append((f"`{each.owner_kind}`", f"`{each.name}`", *told))
    yield from _table(("owner_kind", "map", "meaning", "in the API"), rows)


def _marts() -> Iterator[str]:
    yield from ("## Marts", "", "`demeter build` works these out from the tables.", "")
    for name in schema.marts():
        question, grain, note = sqlfiles.meaning("marts", name)
        yield from (f"### {name}", "", f"{question} {grain[:1].upper()}{grain[1:]}. {note}".rstrip(), "")
        rows = [
            (f"`{each['column']}`", each["type"], each["unit"], each["meaning"])
            for each in schema.columns(name)
        ]
        yield from _table(("column", "type", "unit", "meaning"), rows)


def _reports() -> Iterator[str]:
    yield from (
        "## Reports",
        "",
        "`demeter report NAME` runs one; [Reports](reports.md) shows some at work.",
        "",
    )
    rows = [
        (
            f"`{each.name}`",
            f"{each.question} {each.note}".rstrip(),
            each.grain,
            ", ".join(f"`{option}`" for option in each.options),
        )
        for each in reports()
    ]
    yield from _table(("report", "question", "a row is", "options"), rows)


def _faults() -> Iterator[str]:
    yield from ("## Faults", "", "`demeter emulate --fault NAME=VALUE` sets one; the value is JSON.", "")
    for heading, rows in _fault_groups():
        yield from (heading, "")
        yield from _table(("fault", "default", "what goes wrong"), rows)


def _fault_groups() -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The faults that a command line can set, as the comments of their class group and explain them."""
    groups: list[tuple[str, list[tuple[str, str, str]]]] = []
    above: list[str] = []
    for line in inspect.getsource(Faults).splitlines():
        found = FAULT.fullmatch(line)
        if line.startswith("    # "):
            above.append(line.removeprefix("    # "))
            continue
        if found and found[4] and above:
            groups.append((" ".join(above), []))
        if found and "Answer" not in found[2]:
            default = {"None": "null", "True": "true", "False": "false"}.get(found[3], found[3])
            groups[-1][1].append((f"`{found[1]}`", f"`{default}`", found[4] or " ".join(above)))
        above = []
    return groups


def _table(heads: Sequence[str], rows: Rows) -> Iterator[str]:
    """A Markdown table and the empty line after it."""
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
