"""Where the time of a sweep and of a build goes, as flame graphs: `make flames` draws them into docs/."""

from __future__ import annotations

import argparse
import logging
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from bench.growth import settings_of, swept
from bench.measure import OTHERS, OWN, ROOT, service
from bench.pages import DOCS
from bench.performance import ENVIRONMENT, folder

RATE = 200
FLEET = 20_000
# A small fleet over a day and a half: enough for every step of a build.
BUILT_FLEET, SWEEPS, MINUTES = 2000, 36, 60
WIDTH, ROW, TOP = 1200.0, 16, 24
LEAST = 0.001  # Of the whole: what is narrower is left out.
# By whose code it is: demeter's own, what it is built on, and Python's.
COLOURS = {"etl/": "#7fb3d5", "bench/": "#d5d8dc", "": "#f0b27a"}

Stacks = Counter[tuple[str, ...]]


@dataclass
class Frame:
    """A function that was seen at work, so many times; the functions that it had called."""

    name: str
    count: int = 0
    called: dict[str, Frame] = field(default_factory=dict)


def main() -> None:
    """Record both, and draw them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=FLEET)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with folder() as place:
        with service(given.instances) as fleet:
            around = {**ENVIRONMENT, **fleet.environment, "DEMETER_LAKE": str(place / "swept")}
            draw("sweep", f"A first sweep of {given.instances:,} instances", around, place)
        with service(BUILT_FLEET, "--days", "3") as fleet:
            settings = settings_of(fleet, place / "built")
            for _ in range(SWEEPS):
                swept(settings)
                fleet.ask(minutes=MINUTES)
            title = f"A first build of {SWEEPS} hourly sweeps of {BUILT_FLEET:,} instances"
            draw("build", title, {**ENVIRONMENT, "DEMETER_LAKE": settings.lake}, place)


def draw(command: str, title: str, environment: Mapping[str, str], place: Path) -> None:
    """Record one run of a command of demeter, and draw what it did."""
    stacks = recorded(command, environment, place / "recorded")
    picture = DOCS / f"flame-{command}.svg"
    picture.write_text(svg(title, tree(stacks)), encoding="utf-8")
    print(
        f"{picture.name}: {sum(stacks.values())} samples, {picture.stat().st_size / 1000:.0f} kB", flush=True
    )


def recorded(command: str, environment: Mapping[str, str], output: Path) -> Stacks:
    """The stacks of one run, each with how often it was seen; threads that wait are left out."""
    py_spy = Path(OTHERS).with_name("py-spy")
    options = ["record", "--format", "raw", "--rate", str(RATE), "--output", str(output)]
    words = [str(py_spy), *options, "--", OWN, "-m", "bench.ours", command]
    subprocess.run(words, cwd=ROOT, env=dict(environment), check=True, capture_output=True)  # noqa: S603 -- ours
    return stacks_of(output.read_text(encoding="utf-8"))


def stacks_of(text: str) -> Stacks:
    """The stacks of lines as py-spy writes them, without the machinery of imports and of the start."""
    found: Stacks = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        found[tuple(frame for frame in stack.split(";") if "<frozen " not in frame)] += int(count)
    return found


def tree(stacks: Stacks) -> Frame:
    """All stacks, from the outermost function on."""
    root = Frame("all")
    for stack, count in stacks.items():
        root.count += count
        frame = root
        for name in stack:
            frame = frame.called.setdefault(name, Frame(name))
            frame.count += count
    return root


def svg(title: str, root: Frame) -> str:
    """The picture: a row for each level, the outermost on top, as wide as it was often seen."""
    shapes = list(boxes(root, root.count, 0.0, 0))
    height = TOP + ROW * (1 + max((level for level, _ in shapes), default=0)) + 4
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height}" '
        'font-family="monospace" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="4" y="16">{escape(title)}</text>'
    )
    return "\n".join([head, *(shape for _, shape in shapes), "</svg>\n"])


def boxes(frame: Frame, whole: int, left: float, level: int) -> Iterator[tuple[int, str]]:
    """The boxes of what a function had called, and of all below, with their levels."""
    for each in sorted(frame.called.values(), key=lambda called: called.name):
        width = WIDTH * each.count / whole
        if each.count >= LEAST * whole:
            yield level, box(each, each.count / whole, left, width, TOP + ROW * level)
            yield from boxes(each, whole, left, level + 1)
        left += width


def box(frame: Frame, share: float, left: float, width: float, top: int) -> str:
    """One box, and as much of its name as fits."""
    colour = next(shade for begin, shade in COLOURS.items() if begin in frame.name)
    shown = frame.name[: int(width / 6.7)] if width > 20 else ""
    text = f'<text x="{left + 2:.1f}" y="{top + 11}">{escape(shown)}</text>' if shown else ""
    return (
        f'<g><title>{escape(frame.name)}, {share:.1%}</title><rect x="{left:.1f}" y="{top}" '
        f'width="{max(width - 0.3, 0.1):.1f}" height="{ROW - 1}" fill="{colour}"/>{text}</g>'
    )


if __name__ == "__main__":
    main()
