"""demeter: what ran in a ModelArts project, for how long, and at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from etl.frames import OpenLake

__version__ = "0.1.0"


def open_lake(path: str | Path | None = None) -> OpenLake:
    """Open a lake to ask it from Python; it can only be read.

    `path` is the directory, else the settings name it: DEMETER_LAKE, `demeter.toml`, ./lake. What is
    returned answers SQL (`sql`), has the reports as functions (`report`), and tells its tables (`tables`,
    `columns`); results become pandas (`df`), Arrow (`arrow`) or polars (`pl`). Raises
    etl.errors.UsageError, in one line, where there is no lake or it is of a newer demeter.
    """
    # Here, so that whoever imports etl alone waits for none of the libraries.
    from etl.frames import OpenLake

    return OpenLake(path)
