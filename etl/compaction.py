"""The files and the log of a Delta table: fewer of the ones, and a short way through the other."""

from __future__ import annotations

from urllib.parse import unquote

import deltalake

from etl.dictionary import Table
from etl.places import Place

FILES_OF_TODAY = 24  # in one table, before they are made one
COMMITS_BEFORE_CHECKPOINT = 20
ROW_GROUP_ROWS = 32_768

# A row group is held in memory while it is written, and is what a reader may skip.
WRITER = deltalake.WriterProperties(
    compression="ZSTD", compression_level=3, max_row_group_size=ROW_GROUP_ROWS
)
# After a commit Delta would cut logs by itself, which knows nothing of the versions that readers keep to.
HOOKS = deltalake.PostCommitHookProperties(cleanup_expired_logs=False)


def merge(delta: deltalake.DeltaTable, column: str | None = None) -> None:
    """Make one of the files of each day that has too many, its rows sorted by a column if one is given."""
    for day in crowded(delta):
        chosen = [(delta.metadata().partition_columns[0], "=", day)] if day else None
        if column:
            delta.optimize.z_order(
                [column],
                partition_filters=chosen,
                writer_properties=WRITER,
                post_commithook_properties=HOOKS,
            )
        else:
            delta.optimize.compact(
                partition_filters=chosen, writer_properties=WRITER, post_commithook_properties=HOOKS
            )


def sorted_by(table: Table) -> str | None:
    """The column by which the rows of a merged file lie, so that what stays the same lies together."""
    return next((key for key in table.keys if key.endswith("_id")), next(iter(table.keys), None))


def crowded(delta: deltalake.DeltaTable) -> dict[str, list[str]]:
    """The days whose files should become one, with them: past days soon, the present one at times."""
    days: dict[str, list[str]] = {}
    for uri in delta.file_uris():
        days.setdefault(day_of(uri), []).append(unquote(uri))
    newest = max(days, default="")
    return {
        day: files for day, files in days.items() if len(files) >= (FILES_OF_TODAY if day == newest else 2)
    }


def checkpoint(delta: deltalake.DeltaTable, location: Place) -> None:
    """Sum up the log of a table where many commits have come since that was last done."""
    if is_long(delta, location):
        delta.create_checkpoint()


def is_long(delta: deltalake.DeltaTable, location: Place) -> bool:
    """Whether many commits have come since the log of a table was last summed up."""
    if delta.version() < COMMITS_BEFORE_CHECKPOINT:
        return False
    try:
        last = int((location / "_delta_log" / "_last_checkpoint").json()["version"])
    except (OSError, ValueError, KeyError):
        last = 0
    return delta.version() - last >= COMMITS_BEFORE_CHECKPOINT


def day_of(uri: str) -> str:
    """The day that a file belongs to; empty in a table without days."""
    return uri.rpartition("_date=")[2].partition("/")[0] if "_date=" in uri else ""
