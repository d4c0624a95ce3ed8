"""A Chromium that reaches nothing, and the pages that it opens: reports of lakes of every kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lakes
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.hostile import TEXTS
from etl.build import build
from etl.cli import main
from etl.demo import Demo, fill
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.settings import Settings

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MANY = 100_000
# So few instances fit into one answer that a test can wait for a hundred thousand of them.
PAGE = 20_000


@dataclass
class Opened:
    """A page, and what it did that a report may not do."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def judged(self) -> list[tuple[str, str, list[str]]]:
        """What axe finds that is serious: the rule, how bad it is, and where."""
        found = self.page.evaluate(f"{AXE.read_text(encoding='utf-8')}; axe.run()")
        return [
            (each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]][:3])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
        # Containers run as root, where Chromium has no sandbox of its own.
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """What opens a file as a person would, and watches it; a page that errs fails its test."""
    opened: list[Opened] = []

    def open_file(path: Path, **options: Any) -> Opened:
        context = browser.new_context(offline=True, **options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        result = Opened(context.new_page())
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.on("console", lambda message: result.errors.append(message.text))
        result.page.on("pageerror", lambda error: result.errors.append(str(error)))
        result.page.on("dialog", lambda dialog: (result.errors.append(dialog.message), dialog.dismiss()))
        result.page.goto(path.as_uri())
        opened.append(result)
        return result

    yield open_file
    for each in opened:
        assert (each.requests[1:], each.errors) == ([], [])
        each.page.context.close()


def report(lake: Lake, path: Path, *arguments: str) -> Path:
    """The file that `demeter report` writes of a lake."""
    options = ["--lake", str(lake.path), "report", "-o", str(path), *arguments]
    assert main(options, standalone_mode=False) is None
    return path


@pytest.fixture(scope="session")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    directory = tmp_path_factory.mktemp("demo") / "lake"
    return fill(directory, Demo(days=4, every_minutes=180, instances=120), lambda done, of: None)


@pytest.fixture(scope="session")
def demo(demo_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the demo."""
    return report(demo_lake, tmp_path_factory.mktemp("demo") / "report.html")


@pytest.fixture(scope="session")
def chinese(demo_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in Chinese."""
    return report(demo_lake, tmp_path_factory.mktemp("zh") / "report.html", "--lang", "zh")


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a lake in which nothing ever was."""
    return report(lake_of([], tmp_path_factory.mktemp("empty")), tmp_path_factory.mktemp("empty") / "r.html")


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a lake with one instance."""
    lake = lake_of([lakes.instance(1, "RUNNING", **lakes.ANN, **lakes.CPU)], tmp_path_factory.mktemp("one"))
    return report(lake, tmp_path_factory.mktemp("one") / "r.html")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a lake in which every name wants to do harm."""
    documents = [
        lakes.instance(
            number,
            ("RUNNING", "STOPPED", "CREATE_FAILED")[number % 3],
            user={"id": f"u{number} {text}", "name": text},
            pool={"id": f"p{number} {text}", "name": text, "type": text},
            workspace={"id": text},
            ai_project={"id": text},
            error_code=text,
            **lakes.with_flavor(text, type="GPU", params={"GPU": 1}),
            spec={**lakes.VOLUME, "failed_reasons": {"code": text, "message": text}},
        )
        | {"name": text, text[:50]: text}
        for number, text in enumerate(TEXTS)
    ]
    return report(
        lake_of(documents, tmp_path_factory.mktemp("hostile")), tmp_path_factory.mktemp("h") / "r.html"
    )


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a lake of a hundred thousand instances."""
    documents = [
        lakes.instance(
            number,
            "RUNNING" if number % 2 else "STOPPED",
            user={"id": f"u-{number % 3000}", "name": f"user {number % 3000}"},
            **(lakes.CPU if number % 3 else lakes.ASCEND),
            spec=lakes.VOLUME,
        )
        for number in range(MANY)
    ]
    lake = lake_of(documents, tmp_path_factory.mktemp("many"), limit=PAGE)
    return report(lake, tmp_path_factory.mktemp("many") / "r.html")


def lake_of(documents: list[dict[str, Any]], directory: Path, **others: Any) -> Lake:
    """The built lake of instances that two sweeps saw, two days apart."""
    from support import committed

    lake = Lake(directory / "lake")
    with Emulator(Documents(documents), Clock.at(lakes.MIDNIGHT)) as service:
        for _ in range(2):
            found = committed(service, lake, **others)
            assert (found.verdict, found.error) == ("complete", None)
            service.clock.advance(hours=48)
    (directory / "prices.csv").write_text(lakes.PRICES, encoding="utf-8")
    build(Settings(tz="UTC", prices=str(directory / "prices.csv")), lake)
    return lake
