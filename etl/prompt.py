"""The interactive prompt of `demeter sql`: statements that end in `;`, and commands that begin with `.`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from platformdirs import user_state_path
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from etl import query, render, reports, schema
from etl.errors import DemeterError, UsageError
from etl.lake import Lake
from etl.output import show_rows

COMMANDS = {
    ".tables": "list the tables and the views of their histories",
    ".schema": "describe a table: .schema TABLE",
    ".reports": "list the reports",
    ".report": "run a report: .report NAME",
    ".format": f"show results as {', '.join(render.TEXTS)}: .format NAME",
    ".help": "show this",
    ".quit": "end, as Ctrl-D does",
}
WORDS = """
    select from where group by order having limit distinct as join left inner on using and or not
    in is null like ilike between case when then else end with union all count sum min max avg
    count_if filter over partition qualify asc desc nulls last first cast interval date true false
    describe summarize explain show values current_timestamp date_trunc coalesce
"""
KEYWORDS = sorted(WORDS.split())
BEFORE_A_TABLE = frozenset({"from", "join", "describe", "summarize", "table"})
WORD = re.compile(r"[\w.]+")
WELCOME = "A statement ends with ; and .help tells more. Ctrl-C clears, Ctrl-D ends.\n"


def run(lake: Lake, format: str = "table", session: PromptSession[str] | None = None) -> None:
    """Answer what is typed until the end of input; an error is told and does not end it."""
    lake.check()
    session = session or open_session(history())
    prompt = Prompt(lake, format)
    sys.stderr.write(WELCOME)
    while not prompt.ended:
        try:
            prompt.answer(session.prompt())
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def open_session(past: History, **terminal: Any) -> PromptSession[str]:
    """A session that reads lines until they are complete, and completes names."""
    return PromptSession(
        "demeter> ",
        multiline=True,
        prompt_continuation="    ...> ",
        history=past,
        completer=Names(),
        complete_while_typing=False,
        key_bindings=_enter_ends_what_is_complete(),
        **terminal,
    )


def history(directory: Path | None = None) -> History:
    """What was typed before, in a file for the user alone; in memory where there can be no file."""
    path = (directory or user_state_path("demeter")) / "sql_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def is_complete(text: str) -> bool:
    """Whether Enter runs the text: a command, a statement with its `;`, or nothing at all."""
    text = text.strip()
    return not text or text.startswith(".") or text.endswith(";")


class Prompt:
    """Answers one input after the other."""

    def __init__(self, lake: Lake, format: str) -> None:
        self.lake, self.format = lake, format
        self.ended = False

    def answer(self, text: str) -> None:
        """Run statements one by one, or a command, and print the result or what is wrong."""
        try:
            if text.strip().startswith("."):
                self._command(*text.strip().rstrip(";").split())
            else:
                for statement in query.split(text):
                    render.write(query.run(self.lake, statement), self.format)
        except DemeterError as error:
            sys.stderr.write(f"{error}\n")

    def _command(self, name: str, *arguments: str) -> None:
        wanted = {".schema": "TABLE", ".report": "NAME", ".format": "NAME"}.get(name)
        if name not in COMMANDS:
            raise UsageError(f"there is no command {name}: .help lists them")
        if len(arguments) != (1 if wanted else 0):
            raise UsageError(
                f"usage: {name} {wanted}" if wanted else f"{name} takes nothing after it: give it alone"
            )
        getattr(self, f"_{name[1:]}")(*arguments)

    def _tables(self) -> None:
        show_rows(schema.tables())

    def _schema(self, name: str) -> None:
        sys.stdout.write(f"{schema.heading(name)}\n\n")
        show_rows(schema.columns(name))

    def _reports(self) -> None:
        show_rows(reports.listing())

    def _report(self, name: str) -> None:
        reports.write(reports.run(self.lake, name), self.format)

    def _format(self, name: str) -> None:
        formats = render.TEXTS
        if name not in formats:
            raise UsageError(f"there is no format {name!r}: choose one of {', '.join(formats)}")
        self.format = name

    def _help(self) -> None:
        for name, meaning in COMMANDS.items():
            sys.stdout.write(f"{name:10}{meaning}\n")

    def _quit(self) -> None:
        self.ended = True


class Names(Completer):
    """Completes the names of commands, tables, columns, reports and formats, and SQL's own words."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """The names that go on from the word before the cursor."""
        begun = document.get_word_before_cursor(pattern=WORD)
        word = begun.rpartition(".")[2] if not begun.startswith(".") else begun
        for name in self._candidates(document, begun):
            if name.startswith(word.lower()):
                yield Completion(name, start_position=-len(word))

    def _candidates(self, document: Document, begun: str) -> list[str]:
        before = document.text_before_cursor.removesuffix(begun).split()
        if document.text.lstrip().startswith("."):
            if not before:
                return list(COMMANDS)
            return _arguments().get(before[0], []) if len(before) == 1 else []
        if before and before[-1].lower() in BEFORE_A_TABLE:
            return schema.names()
        named = [name for name in schema.names() if name in WORD.findall(document.text.lower())]
        if "." in begun:
            named = [name for name in named if name == begun.partition(".")[0].lower()]
            return _columns(named)
        return [*_columns(named or schema.names()), *schema.names(), *KEYWORDS]


def _arguments() -> dict[str, list[str]]:
    """What may stand after each command."""
    return {
        ".schema": schema.names(),
        ".report": [report.name for report in reports.reports()],
        ".format": list(render.TEXTS),
    }


def _columns(tables: list[str]) -> list[str]:
    """The columns of tables, each once."""
    return list(dict.fromkeys(row["column"] for table in tables for row in schema.columns(table)))


def _enter_ends_what_is_complete() -> KeyBindings:
    """Enter runs what is complete, and begins a new line of what is not."""
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        if is_complete(event.current_buffer.text):
            event.current_buffer.validate_and_handle()
        else:
            event.current_buffer.insert_text("\n")

    return bindings
