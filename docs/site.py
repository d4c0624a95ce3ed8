"""Build the pages into a site of plain files, `build/site`, which asks for nothing from anywhere.

`make docs` runs it. A page that is not in the menu, and a link that leads nowhere, end it with an error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from mkdocs.__main__ import cli

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build"

# The menu: what a group of readers looks for, by the name of its page.
MENU: dict[str, dict[str, str]] = {
    "Begin": {
        "What demeter is": "README.md",
        "For operators, step by step": "docs/tutorial-operator.md",
        "For analysts, step by step": "docs/tutorial-analyst.md",
        "For finance, step by step": "docs/tutorial-finance.md",
    },
    "Use": {
        "Operators": "docs/operator.md",
        "Object stores": "docs/object-stores.md",
        "Analysts": "docs/analyst.md",
        "Reports": "docs/reports.md",
        "Prices": "docs/prices.md",
        "FOCUS": "docs/focus.md",
        "On Spark": "docs/spark.md",
        "Reference": "docs/reference.md",
    },
    "Trust": {
        "How figures are made": "docs/metering.md",
        "Faults": "docs/faults.md",
        "Torture": "docs/torture.md",
        "Threats": "docs/threats.md",
        "Performance": "docs/performance.md",
        "Ten million instances": "docs/scale.md",
        "Compared with others": "docs/comparison.md",
    },
    "Develop": {
        "The emulated service": "docs/emulator.md",
        "Architecture": "ARCHITECTURE.md",
        "Developers": "docs/developer.md",
        "Changelog": "CHANGELOG.md",
    },
}
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?(?=\))")


def place_of(path: str) -> str:
    """Where a file of the repository stands among the pages; none of them is in a folder."""
    if path == "README.md":
        return "index.md"
    name = path.removeprefix("docs/")
    return name.lower() if name == path and name.endswith(".md") else name


def page(path: str) -> str:
    """A page with its links as they are on the site."""

    def moved(link: re.Match[str]) -> str:
        target = ((ROOT / path).parent / link[1]).resolve().relative_to(ROOT)
        return place_of(str(target)) + (link[2] or "")

    return LINK.sub(moved, (ROOT / path).read_text(encoding="utf-8"))


def write_pages(folder: Path) -> None:
    """Write all pages, and what they show, into a folder."""
    pages = [path for group in MENU.values() for path in group.values()]
    unlisted = {f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md")} - set(pages)
    if unlisted:
        raise SystemExit(f"docs/site.py has no place in its menu for {', '.join(sorted(unlisted))}")
    for path in pages:
        (folder / place_of(path)).write_text(page(path), encoding="utf-8")
    for image in (ROOT / "docs").glob("*.svg"):
        shutil.copy(image, folder)
    shutil.copytree(ROOT / "docs" / "images", folder / "images")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    shutil.copy(ROOT / "LICENSE", folder)


def configuration(source: Path, target: Path) -> dict[str, Any]:
    """What MkDocs is to make of the pages."""
    return {
        "site_name": "demeter",
        "docs_dir": str(source),
        "site_dir": str(target),
        "use_directory_urls": False,
        "strict": True,
        "nav": [
            {group: [{title: place_of(path)} for title, path in pages.items()]}
            for group, pages in MENU.items()
        ],
        "theme": {
            "name": "material",
            "font": False,
            "features": ["navigation.sections", "navigation.footer", "content.code.copy", "toc.follow"],
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default", "primary": "teal"},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "primary": "teal"},
            ],
        },
        "plugins": ["search"],
        "markdown_extensions": ["admonition", "tables", {"toc": {"permalink": True}}, "pymdownx.superfences"],
        "validation": {"links": {"anchors": "warn", "not_found": "warn", "unrecognized_links": "warn"}},
    }


def main() -> None:
    """Build the site."""
    source, target = PLACE / "pages", PLACE / "site"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    write_pages(source)
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # which is about a successor that cannot read these pages
    file = PLACE / "mkdocs.yml"
    file.write_text(json.dumps(configuration(source, target)), encoding="utf-8")
    cli(["build", "--strict", "--config-file", str(file)], standalone_mode=False)
    print(f"The site is in {target.relative_to(ROOT)}: open index.html.", file=sys.stderr)


if __name__ == "__main__":
    main()
