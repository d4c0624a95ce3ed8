"""A page of HTML that is whole in itself: its style and script are in it, and nothing else may run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import tzinfo
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from etl import __version__
from etl.markup import as_they_are, escaped, table
from etl.texts import TAGS, Texts, texts

if TYPE_CHECKING:
    import pyarrow as pa

# So many rows of a single result stand on its page.
MOST_ROWS = 5_000
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0f766e" d="M0 0h16v16H0z"/>'
    '<path fill="#fff" d="M3 8h2v5H3zm4-3h2v8H7zm4-2h2v10h-2z"/></svg>'
)
# What the script has to say, it finds on the page.
SAID = ("filter", "filter_of", "copy", "copy_of", "copied", "rows_shown")
THEMES = ("auto", "light", "dark")


def page(title: str, said: Texts, *, head: str, contents: str, main: Iterable[str]) -> Iterator[bytes]:
    """Yield a page, piece by piece; head, contents and main are HTML, the title is any text."""
    yield _opening(title, said, head, contents).encode()
    for piece in main:
        yield piece.encode()
    yield (
        f"</main></div><footer><p>{escaped(said('page_of', version=__version__))}</p>"
        f'<p><a href="#top">{escaped(said("to_top"))}</a></p></footer>'
        f"<script>{_part('document.js')}</script></body></html>\n"
    ).encode()


def of_result(result: pa.Table, zone: tzinfo, language: str = "en") -> Iterator[bytes]:
    """Yield a page that holds a result and nothing else."""
    said = texts(language)
    title = said("of_result")
    columns = as_they_are(result)
    shown = table(result, said, zone, name="result", title=title, most=MOST_ROWS, columns=columns)
    more = escaped(said("first_rows", shown=f"{MOST_ROWS:,}", count=f"{result.num_rows:,}"))
    note = f'<p class="more">{more} <code>--format csv</code></p>' if result.num_rows > MOST_ROWS else ""
    main = f'<section class="report"><h2>{escaped(title)}</h2>{note}{shown}</section>'
    return page(title, said, head=f"<h1>{escaped(title)}</h1>", contents="", main=[main])


def _opening(title: str, said: Texts, head: str, contents: str) -> str:
    themes = "".join(f'<option value="{each}">{escaped(said(f"theme_{each}"))}</option>' for each in THEMES)
    spoken = "".join(f' data-{key.replace("_", "-")}="{escaped(said.pattern(key))}"' for key in SAID)
    navigation = f'<nav aria-label="{escaped(said("contents"))}">{contents}</nav>' if contents else ""
    return (
        f'<!DOCTYPE html><html lang="{TAGS[said.language]}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:image/svg+xml,{quote(ICON)}">'
        f"<title>{escaped(title)}</title><style>{style()}</style></head>"
        f'<body id="top"{spoken}><a class="skip" href="#main">{escaped(said("skip"))}</a>'
        f'<header class="top"><div>{head}</div><div class="controls" hidden>'
        f'<label>{escaped(said("theme"))} <select id="theme">{themes}</select></label>'
        f'<button type="button" id="print">{escaped(said("print"))}</button></div></header>'
        f'<div class="{"page" if contents else "page alone"}">{navigation}<main id="main" tabindex="-1">'
    )


@cache
def _policy() -> str:
    """What the page may do: be styled and run by what is written in it, and show its icon."""
    return (
        f"default-src 'none'; style-src '{_hash(style())}'; script-src '{_hash(_part('document.js'))}';"
        " img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


@cache
def style() -> str:
    """The style of a page: that of its figures, and that of the rest, which may say otherwise."""
    return _part("figures.css") + _part("document.css")


@cache
def style_within(name: str, dark: str) -> str:
    """The style of figures that stand in an element of this class, on the page of another program.

    `dark` are the selectors of what surrounds it where that page is dark. The colours are those of our own.
    """
    colours = dict(re.findall(r"^:root(\S*) \{\n(.*?)^\}", _part("document.css"), re.MULTILINE | re.DOTALL))
    pale, deep = colours[""], colours['[data-theme="dark"]']
    return f".{name} {{\n{pale}{_part('figures.css')}}}\n:is({dark}) .{name} {{\n{deep}}}\n"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _part(name: str) -> str:
    """The style or the script, as it stands on the page."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
