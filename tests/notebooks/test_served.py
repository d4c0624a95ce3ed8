"""The notebooks in a real browser, as `demeter explore` serves them: read-only, and of this machine alone."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from conftest import Served
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

import etl
from etl.explore import NOTEBOOKS
from etl.lake import Lake

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Heads of marimo's own page, told by Chromium and of no consequence.
PRELOADED = re.compile(r"was preloaded using link preload but not used|No filename provided")
TITLES = {"tour": "Tour of the tables", "costs": "Costs", "fleet": "Health of the fleet"}
# How many tables and charts a notebook shows.
FIGURES = {"tour": 10, "costs": 9, "fleet": 17}
WAIT_MS = 60_000

Open = Callable[[str], "Opened"]


@dataclass
class Opened:
    """A page, and what it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        """Keep what the console says that ought not to be there."""
        if message.type in ("error", "warning") and not PRELOADED.search(message.text):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
        # Containers run as root, where Chromium has no sandbox of its own.
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def open_page(browser: Browser, served: Served) -> Open:
    """What opens an address as a reader would, with the token, and listens to the page."""

    def open_address(path: str) -> Opened:
        opened = Opened(browser.new_context(viewport={"width": 1300, "height": 900}).new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", opened.heard)
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.goto(f"{served.address}{path}{'&' if '?' in path else '?'}access_token={served.token}")
        return opened

    return open_address


@pytest.fixture(scope="module")
def shown(open_page: Open) -> Callable[[str], Opened]:
    """What opens a notebook, once, and waits for all its figures."""

    @cache
    def show(name: str) -> Opened:
        opened = open_page(f"/?file={name}.py")
        figures = opened.page.locator(".demeter-figure")
        expect(figures).to_have_count(FIGURES[name], timeout=WAIT_MS)
        return opened

    return show


def answer(address: str) -> int:
    """The status that a request without a token gets, redirections not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        with urllib.request.build_opener(Stay).open(address, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_first_page_leads_to_each_notebook(open_page: Open) -> None:
    page = open_page("/").page
    expect(page.locator("a[href*='file=']")).to_have_count(len(NOTEBOOKS), timeout=WAIT_MS)
    links = page.locator("a[href*='file=']").evaluate_all("all => all.map(each => each.href)")
    assert {link.partition("file=")[2] for link in links} == {f"{name}.py" for name in NOTEBOOKS}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_its_figures(name: str, shown: Open) -> None:
    page = shown(name).page
    expect(page).to_have_title(TITLES[name])
    assert page.locator(".demeter-figure svg[role=img]").count() >= 2
    assert page.locator(".demeter-figure table").count() >= 4
    assert page.locator("text=/Traceback|An internal error|This cell raised/").count() == 0


def test_the_figures_are_those_of_the_reports(shown: Open, demo: Lake) -> None:
    [summary] = etl.open_lake(demo.path).report("summary", from_="2026-10")
    text = shown("costs").page.locator(".demeter-figure").first.inner_text()
    for end in ("", "_min", "_max"):
        assert f"{summary[f'billed_cost{end}']:,.2f}" in text
    assert "CNY" in text


def test_what_is_chosen_changes_what_is_shown(shown: Open) -> None:
    page = shown("costs").page
    expect(page.get_by_role("heading", name="By user")).to_be_visible()
    page.locator("select").select_option(label="flavor")
    expect(page.get_by_role("heading", name="By flavor")).to_be_visible(timeout=WAIT_MS)


def test_charts_have_their_colours_in_the_light_and_in_the_dark(shown: Open) -> None:
    page = shown("costs").page
    colour = "getComputedStyle(document.querySelector('.demeter-figure svg .bar')).fill"
    pale = page.evaluate(colour)
    page.evaluate("document.body.classList.add('dark')")
    assert (pale, page.evaluate(colour)) == ("rgb(15, 118, 110)", "rgb(79, 209, 194)")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_asks_no_other_machine_and_complains_of_nothing(
    name: str, shown: Open, served: Served
) -> None:
    opened = shown(name)
    beyond = [url for url in opened.requests if not url.startswith((served.address, "data:", "blob:"))]
    assert len(opened.requests) > 10
    assert (beyond, opened.complaints) == ([], [])


def test_nobody_is_let_in_without_the_token(served: Served) -> None:
    assert answer(served.address) in (303, 401)
    assert answer(f"{served.address}/?file=tour.py") in (303, 401)
    assert answer(f"{served.address}/?access_token=wrong") in (303, 401)
    assert answer(f"{served.address}/api/status") in (401, 403)
    assert answer(f"{served.address}/?access_token={served.token}") in (200, 303)


def test_with_the_token_nothing_can_be_edited_or_run(shown: Open, served: Served) -> None:
    page = shown("tour").page
    bodies: dict[str, dict[str, object]] = {
        "kernel/save": {"cellIds": [], "codes": [], "configs": [], "names": [], "filename": "tour.py"},
        "kernel/run": {"cellIds": ["a"], "codes": ["1 + 1"]},
        "files/list_files": {"path": "/"},
        "files/create": {"path": "/", "type": "file", "name": "x"},
    }
    headers = {"Marimo-Server-Token": page.locator("marimo-server-token").get_attribute("data-token") or ""}
    answered = {
        path: page.request.post(f"{served.address}/api/{path}", data=body, headers=headers).status
        for path, body in bodies.items()
    }
    # Who is refused here is let in to read.
    assert page.request.get(f"{served.address}/?file=tour.py", headers=headers).status == 200
    assert set(answered.values()) <= {401, 403}
