"""The pages say what is so: every name, command, number and link in them is held to the code."""

from __future__ import annotations

import re
import runpy
import shlex
from contextlib import ExitStack
from dataclasses import fields
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_repository import IMPORTED

from etl import correspondence, errors, render, reports, sweep, views
from etl.alarms import Alarm
from etl.cli import main
from etl.completing import SHELLS
from etl.dictionary import TABLES, all_columns
from etl.emulator import Clock, Emulator, Faults, Fleet, FleetSettings
from etl.emulator.commands import faults_of
from etl.errors import DemeterError
from etl.lake import Lake
from etl.marts import SEEN
from etl.message import PLACEHOLDERS, STATES, message, template_of
from etl.notices import Notice
from etl.page import Page
from etl.projects import projects_of
from etl.settings import CHOICES, Settings
from etl.sources import SECRETS, catalogue
from etl.terminal import KEYS
from etl.texts import LANGUAGES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MINE = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "docs/operator.md")]
STATUSES = {0} | {
    kind.exit_status
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DemeterError)
}
SETTINGS = {field.name: field.default for field in fields(Settings)}
COMMANDS = {"demeter": main, **main.commands}
OPTIONS = {
    name for command in COMMANDS.values() for each in command.params for name in (*each.opts, "--help", "-h")
}
# A word ends at a space, or where the shell goes on with something else.
COMMAND_LINE = re.compile(
    r"""(?:(?<=[\s=/])|^)demeter((?:[ ]+(?:"[^"]*"|'[^']*'|[^\s|>&;"'#]+))+)""", re.MULTILINE
)
# What is posted to a webhook, and each of its findings.
NOTICE = Notice("new", Alarm("key", 1, "title"))
POSTED = message([NOTICE], template_of(""), "lake", datetime(2026, 10, 12, tzinfo=UTC)).payload
PAYLOAD = {*POSTED, *POSTED["findings"][0]}
FLEET = FleetSettings(instances=300, start="2026-10-12T00:00:00Z", days=0.1)

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
by_my_name = pytest.mark.parametrize("page", MINE, ids=lambda page: page.name)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each fenced block of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def spans(page: Path) -> list[str]:
    """What stands in code type in the prose of a page."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its head; code type is taken off."""
    after = page.read_text().partition(f"\n{heading}\n")[2]
    found = re.search(r"^\|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", after, re.MULTILINE)
    assert found, f"there is no table under {heading}"
    lines = found[1].splitlines()
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def command_lines(page: Path) -> list[list[str]]:
    """The words after `demeter` of every command line on a page: in its blocks and in code type."""
    texts = [text for language, text in blocks(page) if language in ("sh", "console", "cron", "ini")]
    # Two words name a command, which may want more to run.
    texts += [span for span in spans(page) if re.match(r"demeter \S+ \S", span)]
    found = [words for text in texts for words in COMMAND_LINE.findall(text.replace("\\\n", " "))]
    return [shlex.split(words) for words in found]


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """A runner that reads command lines and does nothing of what they say."""
    for command in COMMANDS.values():
        monkeypatch.setattr(command, "callback", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    return CliRunner()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Result]:
    """A lake after one sweep of the command line, and what that printed."""
    directory = tmp_path_factory.mktemp("docs") / "lake"
    with Emulator(Fleet(FLEET), Clock.at(FLEET.start)) as service:
        return Lake(directory), CliRunner().invoke(main, ["sweep"], env=environment(service, directory))


def environment(service: Emulator, directory: Path) -> dict[str, str]:
    return {
        "DEMETER_ENDPOINT": service.endpoint,
        "DEMETER_PROJECT_ID": service.project_id,
        "DEMETER_TOKEN": service.token,
        "DEMETER_LAKE": str(directory),
        "DEMETER_REQUESTS_PER_SECOND": "1000",
    }


@by_name
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        other = (page.parent / path).resolve() if path else page
        anchors = (
            {slug(each) for each in re.findall(r"^#+ (.+)$", prose(other), re.M)}
            if other.suffix == ".md" and other.exists()
            else set()
        )
        if not other.exists() or (anchor and anchor not in anchors):
            broken.append(target)
    assert broken == []


@by_name
def test_every_command_line_is_one_that_demeter_takes(page: Path, parse: CliRunner) -> None:
    refused = {}
    for words in command_lines(page):
        for name in words:
            if name.endswith((".sql", ".toml")):
                Path(name).touch()
        result = parse.invoke(main, words)
        if result.exit_code or result.exception:
            refused[shlex.join(words)] = result.output
    assert refused == {}


@by_name
def test_every_command_that_is_named_exists(page: Path) -> None:
    named = {span.split()[1] for span in spans(page) if re.fullmatch(r"demeter [a-z]\S*", span)}
    assert named <= set(COMMANDS)


@by_name
def test_every_variable_of_the_environment_is_read(page: Path) -> None:
    known = {f"DEMETER_{name.upper()}" for name in SETTINGS} | {
        f"DEMETER_{name.upper()}_FILE" for name in SECRETS
    }
    # What is said of one project has its name before two underscores.
    text = re.sub(r"DEMETER_[A-Z]+__", "DEMETER_", page.read_text())
    assert set(re.findall(r"DEMETER_[A-Z_]*[A-Z]", text)) <= known


@by_my_name
def test_every_option_named_alone_exists(page: Path) -> None:
    named = {span.partition(" ")[0].partition("=")[0] for span in spans(page) if span.startswith("-")}
    of_others = {"--apparent-size", "--exclude", "--require-hashes"}
    assert named - of_others <= OPTIONS


@pytest.mark.parametrize(
    "page", [*MINE, ROOT / "docs/threats.md", ROOT / "docs/torture.md"], ids=lambda page: page.name
)
def test_every_file_of_the_repository_that_is_named_exists(page: Path) -> None:
    named = [span for span in spans(page) if re.match(r"(etl|sql|docs|tests|bench|requirements)/", span)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_threat_has_a_place_where_it_is_met_and_a_test_that_shows_it() -> None:
    page = ROOT / "docs/threats.md"
    bare = [
        row[1]
        for row in rows(page, "## Ways in")
        if not re.match(r"etl/\w+\.py", row[3]) or not re.search(r"tests/test_\w+\.py", row[4])
    ]
    assert bare == []


@by_my_name
def test_every_word_in_code_type_is_known_to_the_code(page: Path) -> None:
    known = {
        *(name for table in TABLES for name in (table.name, table.history)),
        *(column.name for table in TABLES for column in all_columns(table)),
        *SEEN,
        *SETTINGS,
        *(f"{name}_file" for name in SECRETS),
        *COMMANDS,
        *(field.name for kind in (Faults, Page) for field in fields(kind)),
        *(each.name for each in reports.reports()),
        *sweep.VERDICTS,
        *render.FORMATS,
        *(each for choices in CHOICES.values() for each in choices),
        *PLACEHOLDERS,
        *PAYLOAD,
        *STATES,
        *KEYS,
        *("new", "changed", "keyframe", "unread", "unlisted", "gone"),
        *(each.path for each in correspondence.fields()),
        *("raw", "tmp", "locks", "tables", "etl", "http", "uv", "make", "true", "false", "all"),
        *LANGUAGES,
        *SHELLS,
    }
    named = {span for span in spans(page) if re.fullmatch(r"[a-z_]+", span)}
    assert named - known == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/operator.md"], ids=lambda page: page.name)
def test_the_exit_statuses_are_all_there(page: Path) -> None:
    heading = "## From settings to a schedule" if page.name == "README.md" else "## Exit statuses"
    assert [int(row[0]) for row in rows(page, heading)] == sorted(STATUSES)


def test_the_settings_for_operators_are_all_there_with_their_defaults() -> None:
    shown = {row[0]: row[1] for row in rows(ROOT / "docs/operator.md", "## Settings")}
    assert shown == {name: default(value) for name, value in SETTINGS.items()}


def test_the_settings_for_operators_mean_what_the_settings_file_says() -> None:
    shown = {row[0]: row[2] for row in rows(ROOT / "docs/operator.md", "## Settings")}
    plain = {name: re.sub(r", see \[.*?\]\(.*?\)", "", text) for name, text in shown.items()}
    assert {name: text.removesuffix(": never in the file") for name, text in plain.items()} == {
        name: each.meaning for name, each in catalogue().items()
    }


def test_what_a_line_of_the_log_has_is_told_to_operators() -> None:
    told = [row[0] for row in rows(ROOT / "docs/operator.md", "## The first sweep")]
    assert [name for cell in told for name in cell.split(", ")] == list(KEYS)


def default(value: object) -> str:
    """A default as it would be written in a settings file, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_settings_file_of_the_operators_page_is_read(tmp_path: Path) -> None:
    from etl.settings import load

    texts = [text for language, text in blocks(ROOT / "docs/operator.md") if language == "toml"]
    file, password = tmp_path / "demeter.toml", tmp_path / "password"
    password.write_text("the password")
    for text in texts:
        file.write_text(text.replace("/etc/demeter/password", str(password)))
        found = load({}, {}, file)
        assert (found.user, found.password) == ("demeter", "the password")
        tables = ["vision", "speech"] if "[projects.vision]" in text else [""]
        assert [each.name for each in projects_of(file, {}, {})] == tables
    assert any("[projects.vision]" in text for text in texts)


def test_the_template_that_operators_are_shown_is_the_one_that_comes_with_demeter() -> None:
    shown = [text for _, text in blocks(ROOT / "docs/operator.md") if "$findings" in text]
    assert shown == [(ROOT / "etl/notification.txt").read_text()]


def test_the_reference_is_what_the_code_says_now() -> None:
    page = runpy.run_path(str(ROOT / "docs/generate.py"))["page"]
    assert (ROOT / "docs/reference.md").read_text() == page(), "run `make docs`"


def test_the_line_of_modules_is_drawn_in_an_order_in_which_they_can_be_imported() -> None:
    drawn = [row[0] for row in rows(ROOT / "ARCHITECTURE.md", "## The line, module by module")]
    names = [f"etl.{Path(path).stem}" for path in drawn]
    apart = {name for name in IMPORTED if name == "etl" or name.startswith("etl.emulator")}
    assert set(names) == set(IMPORTED) - apart
    below = {name: set(names[number:]) & IMPORTED[name] for number, name in enumerate(names)}
    assert {name: imported for name, imported in below.items() if imported} == {}


def test_a_lake_is_laid_out_as_it_is_drawn(swept: tuple[Lake, Result]) -> None:
    (drawing,) = [text for _, text in blocks(ROOT / "ARCHITECTURE.md") if text.startswith("<lake>")]
    patterns = [re.sub(r"<\w+>", "*", path) for path in re.findall(r"── (\S+)", drawing)]
    lake, _ = swept
    files = {str(path.relative_to(lake.path)) for path in lake.path.rglob("*") if path.is_file()}
    assert {file for file in files if not any(fnmatch(file, pattern) for pattern in patterns)} == set()
    missing = {each for each in patterns if not any(fnmatch(file, each) for file in files)}
    # These are there while a sweep runs, and after a replay, a build, a pull or a message.
    passing = {"locks/*.writing", "tmp/*/", "tables/rewrite.json", "forgetting.json", "notified.json"}
    assert missing == passing | {each for each in patterns if each.startswith(("marts/", "prices/"))}


def test_a_sweep_ends_with_the_line_that_operators_are_shown(swept: tuple[Lake, Result]) -> None:
    shown = re.search(r"^\$ demeter sweep\n(.*)$", (ROOT / "docs/operator.md").read_text(), re.MULTILINE)
    _, result = swept
    assert result.exit_code == 0
    masked = [re.sub(r"\d{8}T\d+Z-\w{6}", "ID", text) for text in (shown[1] if shown else "", result.stdout)]
    assert masked[0] == masked[1].rstrip("\n")


def test_the_queries_for_a_start_can_be_run(built_lake: Lake) -> None:
    queries = [words[-1] for page in MINE for words in command_lines(page) if "sql" in words[:-1]]
    assert len(queries) == 2
    with views.connect(built_lake) as connection:
        for query in queries:
            connection.execute(query)


def test_a_rehearsal_ends_with_the_exit_status_that_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.client._wait_seconds", lambda state: 0.0)
    rehearsals = rows(ROOT / "docs/operator.md", "## A rehearsal")
    came = []
    with ExitStack() as services:
        for number, (emulate, command, _) in enumerate(rehearsals):
            if emulate != "the same":
                faults = faults_of(re.findall(r"--fault (\S+)", emulate))
                service = services.enter_context(Emulator(Fleet(FLEET), Clock.at(FLEET.start), faults))
                variables = environment(service, tmp_path / str(number))
            came.append(str(CliRunner().invoke(main, command.split()[1:], env=variables).exit_code))
    assert came == [status for _, _, status in rehearsals]
