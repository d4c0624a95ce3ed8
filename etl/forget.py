"""Erase a person from a lake: from raw pages, tables, marts and what was exported, and from their past.

In the person's place comes one pseudonym that leads nowhere, so that totals stay and histories join. A
note keeps what is to be erased until all of it is, so that a run which is killed can be run again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import date

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq

from etl import damage, marts, raw, rewrite, viewfile
from etl.build import build
from etl.columns import quoted
from etl.compaction import HOOKS, WRITER
from etl.damage import Damaged, table_at
from etl.dictionary import TABLES, Table
from etl.lake import Lake
from etl.person import Person, find, kept_as
from etl.places import Place
from etl.pseudonyms import FIELDS
from etl.settings import Settings

NOTE = "forgetting.json"

Change = Callable[[str], str]


def forget(settings: Settings, lake: Lake, who: str) -> Person:
    """Erase the person whose id or name this is; UsageError where nobody, or several, are known by it."""
    lake.check()
    with lake.writing(), _alone(lake):
        rewrite.mend(lake)
        person = _noted(lake)
        if person is None or not {who, kept_as(settings, who)} & {*person.persons, person.token}:
            if person:
                _erase(settings, lake, person)
            person = find(lake, settings, who)
            lake.place(NOTE).replace(json.dumps(asdict(person)) + "\n")
        _erase(settings, lake, person)
    return person


@contextmanager
def _alone(lake: Lake) -> Iterator[None]:
    """Hold the locks of all who write, but of a build, which is a part of this."""
    sweeps = lake.delta("sweeps").to_pyarrow_table(columns=["project_id"])["project_id"].to_pylist()
    projects = {*sweeps, *(each.name for each in lake.place("raw").folders())}
    with ExitStack() as locks:
        for project in sorted(projects):
            locks.enter_context(lake.lock(f"sweep-{project}"))
            lake.clean_up(project)
        for other in ("exports", "maintain"):
            locks.enter_context(lake.lock(other, wait=True))
        yield


def _noted(lake: Lake) -> Person | None:
    """Whom a run that was killed had begun to erase."""
    try:
        return damage.read(lake.place(NOTE), lambda values: Person(**values))
    except FileNotFoundError:
        return None


def _erase(settings: Settings, lake: Lake, person: Person) -> None:
    """Erase a person from every file, and take the note away."""
    _erase_raw(lake, person)
    with rewrite.at_once(lake):
        for each in TABLES:
            _erase_table(lake, each, person)
    _erase_exports(lake, person)
    published = marts.published(lake)
    if published:
        # With the prices that are kept, whatever book the settings name by now.
        chosen = replace(settings, tz=published.tz, prices="", exchange_rates="")
        build(chosen, lake, full=True)
    viewfile.refresh(lake)
    with lake.lock("build", wait=True), lake.lock("house", wait=True):
        _forget_the_past(lake)
    lake.place(NOTE).remove()


def _erase_raw(lake: Lake, person: Person) -> None:
    pages = list(lake.place("raw").files())
    for place in pages:
        if place.name.startswith(".slice-"):
            place.remove()  # of a run that was killed here
    for place in pages:
        if raw.SLICE.fullmatch(place.name):
            try:
                raw.change(place, person.json)
            except OSError as error:
                if error.errno == errno.EIO:
                    raise Damaged(place, error) from error
                raise


def _erase_table(lake: Lake, table: Table, person: Person) -> None:
    """Write the days of a table anew that the person is in."""
    delta = lake.delta(table.name)
    changes = _changes(table, person)
    days = {uri.rpartition("observed_date=")[2].partition("/")[0] for uri in delta.file_uris()}
    for day in sorted(days) if table.owner != "log" else [""]:
        chosen = [("observed_date", "=", date.fromisoformat(day))] if day else None
        before = delta.to_pyarrow_table(filters=chosen)
        after = _changed(before, changes)
        if not after.equals(before):
            lake.store.fence()
            deltalake.write_deltalake(
                delta,
                after,
                mode="overwrite",
                predicate=f"observed_date = {quoted(day)}" if day else None,
                writer_properties=WRITER,
                post_commithook_properties=HOOKS,
            )


def _changes(table: Table, person: Person) -> dict[str, Change]:
    """How the values of each column of text are changed."""
    found: dict[str, Change] = {}
    for column in table.columns:
        if column.sql_type == "varchar":
            stands = set(column.field.split(".")) & set(FIELDS)
            found[column.name] = person.person if stands else person.text
    if table.name in ("extras", "quarantine"):
        found |= dict.fromkeys(("value", "document"), person.json)
    return found


def _changed(rows: pa.Table, changes: dict[str, Change]) -> pa.Table:
    """Rows with the values of these columns changed."""
    for name in [name for name in changes if name in rows.column_names]:
        rows = _with_values(rows, name, name, changes[name])
    if "fingerprint" in rows.column_names:
        # It would tell whether one has guessed a value that is gone.
        rows = _with_values(rows, "document", "fingerprint", _fingerprint)
    return rows


def _with_values(rows: pa.Table, source: str, name: str, change: Change) -> pa.Table:
    """Rows with a column that is worked out from the distinct values of another."""
    column = rows[source].combine_chunks().cast(pa.string()).dictionary_encode()
    values = [change(value) for value in column.dictionary.to_pylist()]
    new = pa.array(values, pa.string()).take(column.indices)
    return rows.set_column(
        rows.column_names.index(name), rows.schema.field(name), new.cast(rows.schema.field(name).type)
    )


def _fingerprint(document: str) -> str:
    """What `quarantine` tells documents apart by."""
    return hashlib.md5(document.encode(), usedforsecurity=False).hexdigest()


def _erase_exports(lake: Lake, person: Person) -> None:
    """Erase a person from the months that were closed."""
    exported = list(lake.place("exports").files())
    for place in (each for each in exported if each.name.endswith(".json")):
        before = place.read().decode()
        if (after := person.json(before)) != before:
            place.replace(after)
    for place in (each for each in exported if each.name.endswith(".parquet")):
        with place.open() as file:
            rows = pq.ParquetFile(file).read()
        texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
        changes: dict[str, Change] = {
            name: person.person if name.startswith("x_user") else person.text for name in texts
        }
        changed = _changed(rows, changes)
        if not changed.equals(rows):
            with place.drafted() as path:
                pq.write_table(changed, path, compression="zstd")


def _forget_the_past(lake: Lake) -> None:
    """Remove the files and the log of all versions but the last of every table."""
    for each in TABLES:
        _drop_log(lake.location(each.name), _drop_files(lake.location(each.name)))
    tag, published = marts.tag(lake), marts.published(lake)
    tables = list(marts.locations(lake).values())
    versions = {place.name: _drop_files(place) for place in tables}
    if published:
        now = {name: versions.get(name, version) for name, version in published.versions.items()}
        marts.publish(lake, replace(published, versions=now), tag)
    for place in tables:
        _drop_log(place, versions[place.name])


def _drop_files(location: Place) -> int:
    """Remove the files that the last version of a table does not have, and sum that version up."""
    delta = table_at(location)
    delta.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    delta = table_at(location)
    delta.create_checkpoint()
    return delta.version()


def _drop_log(location: Place, version: int) -> None:
    """Remove what the log says of the versions before one that is summed up; it tells values of columns."""
    for place in (location / "_delta_log").files(deep=False):
        if re.match(r"\d{20}\.", place.name) and int(place.name[:20]) < version:
            place.remove()
