"""Charts as SVG: plain shapes, coloured by classes of the page, each with its figures as a tooltip."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from etl.markup import cut, escaped, number

Number = Decimal | int | float
WIDTH = 600
LABEL_WIDTH = (60, 200)
ROW_HEIGHT = 26
LONGEST_LABEL = 26
UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


@dataclass(frozen=True)
class Point:
    """A figure with its label and, where they are known, its bounds; None where there is no figure."""

    label: str
    value: Number | None
    low: Number | None = None
    high: Number | None = None

    def told(self) -> str:
        """What a tooltip says of it."""
        if self.value is None:
            return f"{self.label}: —"
        between = f" ({short(self.low)} – {short(self.high)})" if self._is_wide() else ""
        return f"{self.label}: {short(self.value)}{between}"

    def _is_wide(self) -> bool:
        return self.low is not None and self.high is not None and self.low != self.high


def short(value: Number | None) -> str:
    """A figure as a chart has room for it: whole from a hundred on, else to two places."""
    if value is None:
        return "—"
    is_whole = not -100 < value < 100 or float(value).is_integer()
    return number(value, 0 if is_whole else 2)


def compact(value: float) -> str:
    """A figure on an axis: 1.5k, 2M."""
    for size, unit in UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def ticks(most: float, count: int = 4) -> list[float]:
    """Round numbers from zero on, the last of them at or above the most."""
    if not math.isfinite(most) or most <= 0:
        return [0.0, 1.0]
    rough = most / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * (1 - 1e-9))
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def bars(
    points: Sequence[Point], caption: str, *, absent: str = "—", outline: bool = False, width: int = WIDTH
) -> str:
    """Bars below each other; a line over each goes from the lower to the upper bound.

    With an outline, what is high is the room that the bar stands in.
    """
    most = _most(points)
    left = _label_width([point.label for point in points])
    span = width - left - 90
    parts = []
    for place, point in enumerate(points):
        top = place * ROW_HEIGHT
        middle = top + ROW_HEIGHT / 2
        label = escaped(cut(point.label, LONGEST_LABEL))
        parts.append(f"<g><title>{escaped(cut(point.told()))}</title>")
        parts.append(_text(left - 8, middle + 4, label, "end"))
        if point.value is None:
            parts.append(f"{_text(left + 4, middle + 4, escaped(absent), 'start', 'faint')}</g>")
            continue
        length = _scaled(point.value, most, span)
        end = length
        if outline and point.high is not None:
            end = _scaled(point.high, most, span)
            parts.append(_rect(left, top + 4, end, ROW_HEIGHT - 8, "room"))
        parts.append(_rect(left, top + 4, length, ROW_HEIGHT - 8, "bar"))
        if not outline and point.low is not None and point.high is not None and point.low != point.high:
            end = max(length, _scaled(point.high, most, span))
            parts.append(_whisker(left + _scaled(point.low, most, span), left + end, middle))
        beside = f" / {short(point.high)}" if outline and point.high is not None else ""
        parts.append(f"{_text(left + end + 8, middle + 4, short(point.value) + beside, 'start')}</g>")
    return _svg(len(points) * ROW_HEIGHT + 4, caption, parts, width)


def band(points: Sequence[Point], caption: str, *, width: int = WIDTH, height: int = 200) -> str:
    """A line along the points before the band of their bounds; it breaks where a figure is missing."""
    frame = _Frame(width, height, len(points), _most(points))
    parts = frame.axes([point.label for point in points])
    for run in _runs(points):
        upper = [(frame.x(place), frame.y(_or(point.high, point.value))) for place, point in run]
        lower = [(frame.x(place), frame.y(_or(point.low, point.value))) for place, point in run]
        line = [(frame.x(place), frame.y(point.value)) for place, point in run if point.value is not None]
        if len(run) > 1:
            parts.append(f'<path class="band" d="{_path([*upper, *reversed(lower)])}Z"/>')
            parts.append(f'<path class="line" d="{_path(line)}"/>')
        else:
            (x, top), (_, bottom) = upper[0], lower[0]
            parts.append(f'<path class="whisker" d="{_path([(x, top), (x, bottom)])}"/>')
    parts.extend(_dots(frame, points, "dot"))
    return _svg(height, caption, parts, width)


def lines(labels: Sequence[str], series: Sequence[tuple[str, Sequence[Number | None]]], caption: str) -> str:
    """Lines along the same labels, each with its name above them."""
    height = 230
    every = [Point(labels[0], value) for _, values in series for value in values if value is not None]
    frame = _Frame(WIDTH, height, len(labels), _most(every), top=26)
    parts = frame.axes(labels)
    for kind, (name, values) in enumerate(series):
        points = [Point(label, value) for label, value in zip(labels, values, strict=True)]
        named = [Point(f"{name}, {point.label}", point.value) for point in points]
        for run in _runs(points):
            along = [(frame.x(place), frame.y(_or(point.value, 0))) for place, point in run]
            parts.append(f'<path class="line s{kind}" d="{_path(along)}"/>')
        parts.extend(_dots(frame, named, f"dot s{kind}"))
        left = frame.left + kind * 120
        parts.append(
            f'<path class="line s{kind}" d="M{left} 10h22"/>{_text(left + 28, 14, escaped(name), "start")}'
        )
    return _svg(height, caption, parts)


def ranges(rows: Sequence[tuple[str, Sequence[Number | None]]], names: Sequence[str], caption: str) -> str:
    """Rows of marks on one scale, as the median and what few go beyond; the marks are named above."""
    most = _most([Point(label, value) for label, values in rows for value in values])
    start = _label_width([label for label, _ in rows])
    span = WIDTH - start - 90
    parts = []
    for kind, name in enumerate(names):
        left = start + kind * 120
        parts.append(f'<circle class="mark m{kind}" cx="{left + 6}" cy="11" r="5"/>')
        parts.append(_text(left + 16, 15, escaped(name), "start"))
    for place, (label, values) in enumerate(rows):
        middle = 26 + place * ROW_HEIGHT + ROW_HEIGHT / 2
        known = [(kind, value) for kind, value in enumerate(values) if value is not None]
        told = ", ".join(f"{names[kind]} {short(value)}" for kind, value in known)
        parts.append(f"<g><title>{escaped(cut(f'{label}: {told or chr(8212)}'))}</title>")
        parts.append(_text(start - 8, middle + 4, escaped(cut(label, LONGEST_LABEL)), "end"))
        marks = [(kind, start + 6 + _scaled(value, most, span)) for kind, value in known]
        if marks:
            parts.append(_whisker(marks[0][1], marks[-1][1], middle, 0))
            end = max(x for _, x in marks)
            parts.append(_text(end + 12, middle + 4, short(known[-1][1]), "start"))
        parts.extend(f'<circle class="mark m{kind}" cx="{x:.1f}" cy="{middle}" r="5"/>' for kind, x in marks)
        parts.append("</g>")
    return _svg(30 + len(rows) * ROW_HEIGHT, caption, parts)


def heat(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[Number | None]], caption: str
) -> str:
    """A field for each row and column, from the palest for the least to the darkest for the most.

    One that is not known has an outline alone.
    """
    left, height = 54, 24
    width = (WIDTH - left - 4) / max(len(columns), 1)
    known = [float(value) for line in values for value in line if value is not None]
    least, span = min(known, default=0.0), (max(known, default=0.0) - min(known, default=0.0)) or 1.0
    parts = [
        _text(left + (place + 0.5) * width, 12, escaped(label), "middle", "faint")
        for place, label in enumerate(columns)
        if place % 2 == 0
    ]
    for line, label in enumerate(rows):
        top = 20 + line * height
        parts.append(_text(left - 8, top + height / 2 + 4, escaped(label), "end"))
        for place, value in enumerate(values[line]):
            told = escaped(f"{label} {columns[place]}: {short(value)}")
            shade = (
                "" if value is None else f' fill-opacity="{0.1 + 0.9 * (float(value) - least) / span:.3f}"'
            )
            kind = "unknown" if value is None else "heat"
            x, y = left + place * width + 1, top + 1
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width - 2:.1f}" height="{height - 2}"'
                f' rx="3"{shade}><title>{told}</title></rect>'
            )
    return _svg(24 + len(rows) * height, caption, parts)


class _Frame:
    """Where the points of a chart along an axis stand."""

    def __init__(self, width: int, height: int, count: int, most: float, top: int = 10) -> None:
        self.left, self.right = 52, width - 20
        self.top, self.bottom = top, height - 26
        self.count = count
        self.ticks = ticks(most, 4 if height > 150 else 2)

    def x(self, place: int) -> float:
        """Where a point stands, by its number."""
        if self.count == 1:
            return (self.left + self.right) / 2
        return self.left + 8 + place * (self.right - self.left - 16) / (self.count - 1)

    def y(self, value: Number) -> float:
        """How high a value stands."""
        share = float(value) / self.ticks[-1]
        return self.bottom - share * (self.bottom - self.top)

    def axes(self, labels: Sequence[str]) -> list[str]:
        """The lines of the scale, and as many labels below as there is room for."""
        parts = []
        for tick in self.ticks:
            y = self.y(tick)
            parts.append(f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>')
            parts.append(_text(self.left - 8, y + 4, compact(tick), "end", "faint"))
        room = max(1, int((self.right - self.left) / 60))
        step = math.ceil(len(labels) / room)
        for place in range(0, len(labels), step):
            parts.append(
                _text(self.x(place), self.bottom + 18, escaped(_axis_label(labels[place])), "middle", "faint")
            )
        return parts


def _label_width(labels: Sequence[str]) -> float:
    """How wide the labels before the bars may be: as the longest of them, within reason."""
    widest = max(
        (sum(2 if ord(letter) > 0x2E80 else 1 for letter in cut(label, LONGEST_LABEL)) for label in labels),
        default=0,
    )
    return min(max(LABEL_WIDTH[0], 14 + 7.4 * widest), LABEL_WIDTH[1])


def _axis_label(label: str) -> str:
    """A label as an axis has room for it: a day without its year."""
    return label[5:] if re.fullmatch(r"\d{4}-\d{2}-\d{2}", label) else cut(label, 12)


def _runs(points: Sequence[Point]) -> Iterable[list[tuple[int, Point]]]:
    """The stretches of points that have a figure, with their numbers."""
    run: list[tuple[int, Point]] = []
    for place, point in enumerate(points):
        if point.value is not None:
            run.append((place, point))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _dots(frame: _Frame, points: Sequence[Point], kind: str) -> Iterable[str]:
    for place, point in enumerate(points):
        if point.value is not None:
            x, y = frame.x(place), frame.y(point.value)
            told = escaped(cut(point.told()))
            yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{told}</title></circle>'


def _most(points: Iterable[Point]) -> float:
    found = [each for point in points for each in (point.value, point.high) if each is not None]
    return float(max(found, default=0))


def _or(value: Number | None, other: Number | None) -> Number:
    return value if value is not None else other if other is not None else 0


def _scaled(value: Number, most: float, span: float) -> float:
    return max(0.0, float(value)) / most * span if most > 0 else 0.0


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _whisker(left: float, right: float, middle: float, end: int = 4) -> str:
    ends = f"M{left:.1f} {middle - end}v{2 * end}M{right:.1f} {middle - end}v{2 * end}" if end else ""
    return f'<path class="whisker" d="M{left:.1f} {middle}H{right:.1f}{ends}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width:.1f}" height="{height}" rx="3"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{text}</text>'


def _svg(height: float, caption: str, parts: Sequence[str], width: int = WIDTH) -> str:
    return (
        f'<svg role="img" aria-label="{escaped(caption)}" viewBox="0 0 {width} {height:g}"'
        f' width="{width}" height="{height:g}">{"".join(parts)}</svg>'
    )
