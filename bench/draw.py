"""The growth curves as a picture: `python -m bench.draw RESULTS PICTURE`, in the environment of the bench."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot

Day = Mapping[str, float]
MEGABYTE = 1e6
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # Texts stay texts.
    "svg.hashsalt": "demeter",
}
PANELS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("CPU seconds of a sweep", "linear", (("sweep_seconds", "sweep", "#1f6f8b"),)),
    ("CPU seconds of the day's build", "linear", (("build_seconds", "build", "#b5651d"),)),
    (
        "Size in MB",
        "log",
        (
            ("table_bytes", "tables", "#1f6f8b"),
            ("mart_bytes", "marts", "#b5651d"),
            ("log_bytes", "logs", "#5b8c3e"),
            ("whole_bytes", "every sweep\nstored whole", "#777777"),
        ),
    ),
)


def picture(days: Sequence[Day]) -> str:
    """Three panels over the number of sweeps, as SVG that refers to nothing outside."""
    with mpl.rc_context(STYLE):
        figure, panels = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
        for panel, (title, scale, curves) in zip(panels, PANELS, strict=True):
            for name, label, colour in curves:
                values = [day[name] / (MEGABYTE if name.endswith("_bytes") else 1) for day in days]
                panel.plot([day["sweeps"] for day in days], values, color=colour, marker="o", markersize=3)
                if len(curves) > 1:
                    panel.annotate(
                        label,
                        (days[-1]["sweeps"], values[-1]),
                        xytext=(5, 0),
                        textcoords="offset points",
                        ha="left",
                        va="center",
                        color=colour,
                    )
            panel.set(title=title, xlabel="sweeps", yscale=scale)
            panel.set_xlim(left=0)
            if scale == "linear":
                panel.set_ylim(bottom=0)
        out = StringIO()
        figure.savefig(out, metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    return plain(out.getvalue())


def plain(svg: str) -> str:
    """A picture without what it says of itself, which names other places."""
    return re.sub(r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def main() -> None:
    """Draw what was measured."""
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(picture(found["days"]), encoding="utf-8")


if __name__ == "__main__":
    main()
