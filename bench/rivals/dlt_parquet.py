"""The listing as Parquet files by dlt: `python -m bench.rivals.dlt_parquet FOLDER [SETTING]`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt

from bench import floor

# What its documentation has to say of speed: pages and not rows are handed over, by a session that keeps its
# connection, and read by orjson; and more than one process normalizes once there is more than one file.
SETTINGS: dict[str, dict[str, Any]] = {
    "one process": {},
    "two processes": {"normalize.workers": 2, "data_writer.file_max_items": 5000},
    "nested left as JSON": {},
}


@dlt.resource
def instances() -> Iterator[list[dict[str, Any]]]:
    """The instances, a page at a time."""
    yield from floor.instances()


def main() -> None:
    """List everything once into the folder."""
    folder, setting = Path(sys.argv[1]).resolve(), sys.argv[2]
    began = time.perf_counter()
    for key, value in SETTINGS[setting].items():
        dlt.config[key] = value
    pipeline = dlt.pipeline(
        "instances",
        destination=dlt.destinations.filesystem(str(folder / "files")),
        dataset_name="listed",
        pipelines_dir=str(folder / "pipelines"),
    )
    source = instances()
    if setting == "nested left as JSON":
        source.max_table_nesting = 0
    pipeline.run(source, loader_file_format="parquet")
    floor.tell(began, pipeline.last_trace.last_normalize_info.row_counts["instances"])


if __name__ == "__main__":
    main()
