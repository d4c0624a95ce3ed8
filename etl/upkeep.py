"""The upkeep of a lake: merge small files, expire raw pages, remove what nothing refers to any more.

Every chore first says which files it is about, so that a dry run tells what a run would do. Files are
removed one by one, the oldest first, and nothing refers to them: a run that is killed leaves the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path
from urllib.parse import unquote

from etl import damage, marts, rewrite, viewfile
from etl.compaction import crowded
from etl.damage import table_at
from etl.dictionary import TABLES
from etl.errors import LakeBusy, UsageError
from etl.lake import Lake
from etl.places import Found, Place
from etl.settings import Settings
from etl.sweep import RESUMABLE, began

# Delta keeps no longer in mind when a file was removed from a table.
LONGEST_VACUUM_HOURS = 168
# After so long a temporary file is no longer that of a run.
ABANDONED = timedelta(hours=24)
# So long entries of a log stay that a checkpoint sums up: whoever opens a table looks through all.
LONGEST_LOG = timedelta(hours=24)
# So long after the next checkpoint was written, nobody is about to read the one before it.
SETTLED = timedelta(hours=1)

_TEMPORARY = re.compile(r"\..+\.[0-9]+")
_STAGED = re.compile(r".+#[0-9]+|_commit_.+\.tmp")
_SWEEP = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{6}")
_LOG_FILE = re.compile(r"([0-9]{20})\.(json|checkpoint\.parquet)")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Chore:
    """What was done to one part of the lake, or would be: so many things, and the bytes they have."""

    name: str
    verb: str
    thing: str
    count: int
    size_bytes: int

    def line(self, dry_run: bool = False) -> str:
        """What was done, or would be, in a line."""
        verb = f"would {self.verb}" if dry_run else f"{self.verb}d"
        return f"{self.name}: {verb} {self.count:,} {self.thing}, {_size(self.size_bytes)}"


def maintain(
    settings: Settings,
    lake: Lake,
    *,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> list[Chore]:
    """Look after a lake and say what was done; `dry_run` changes nothing and says what would be.

    Raises LakeBusy where another one is at it, and UsageError where the lake cannot be written.
    """
    lake.check()
    if settings.vacuum_hours > LONGEST_VACUUM_HOURS:
        raise UsageError(
            f"vacuum_hours is {settings.vacuum_hours}: set it to at most {LONGEST_VACUUM_HOURS}, for "
            "that is as long as a table knows what was removed from it"
        )
    chores = _Chores(settings, lake, not dry_run)
    found = []
    with lake.writing(), nullcontext() if dry_run else lake.lock("maintain"):
        # Nothing is merged, and nobody is told that all is well, where rows cannot be read.
        damage.check_footers(lake.root)
        # What needs no space comes first: it makes room for the rest.
        for number, chore in enumerate(chores.all(), start=1):
            found.append(chore())
            progress(number, len(chores.all()))
    return found


class _Chores:
    """The chores of one run; `acts` says that it is none that only tells."""

    def __init__(self, settings: Settings, lake: Lake, acts: bool) -> None:
        self.settings, self.lake, self.acts = settings, lake, acts
        self.now = datetime.now(UTC)

    def all(self) -> list[Callable[[], Chore]]:
        """The chores, each after those that it relies on."""
        return [self.raw, self.temporary, self.killed, self.tables, self.marts, self.vacuum, self.logs]

    def raw(self) -> Chore:
        """Remove the raw pages of old sweeps."""
        expired = list(self._expired())
        pages = chain.from_iterable(folder.sizes().values() for folder in expired)
        found = Chore("raw", "remove", "sweeps", len(expired), sum(each.size for each in pages))
        if self.acts:
            for folder in expired:
                folder.clear()
        return found

    def temporary(self) -> Chore:
        """Remove the files that runs which were killed had not finished."""
        written = self.lake.root.sizes(deep=False)
        for part in ("locks", "marts", "prices", "tables"):
            written |= self.lake.place(part).sizes()
        old = self.now - ABANDONED
        unfinished = {
            place: found
            for place, found in written.items()
            if found.modified_at < old and any(each.fullmatch(place.name) for each in (_TEMPORARY, _STAGED))
        }
        chore = self._remove("temporary", unfinished)
        spilled = [
            path
            for path in self.lake.spill("queries").glob("**/*")
            if path.is_file() and _is_older(path, old)
        ]
        size = chore.size_bytes + sum(map(_bytes_of, spilled))
        for path in spilled if self.acts else ():
            path.unlink(missing_ok=True)
        return replace(chore, count=chore.count + len(spilled), size_bytes=size)

    def killed(self) -> Chore:
        """Remove the rows, and the spilled files, of sweeps that were killed."""
        left = [each for each in self.lake.projects() if not self.lake.is_held(f"sweep-{each}")]
        killed = [project for project in left if self.lake.killed(project)]
        spilled = sum(_bytes_below(self.lake.spill(project)) for project in left)
        if self.acts:
            rewrite.mend(self.lake)
        for project in left if self.acts else ():
            # A sweep that began just now cleans up by itself.
            with suppress(LakeBusy), self.lake.lock(f"sweep-{project}"):
                self.lake.clean_up(project)
        return Chore("killed", "remove", "sweeps", len(killed), spilled)

    def tables(self) -> Chore:
        """Make one of the files of each past day."""
        days = chain.from_iterable(crowded(self.lake.delta(each.name)).values() for each in TABLES)
        found = self._merged("tables", chain.from_iterable(days))
        if self.acts:
            self.lake.keep_house()
        return found

    def marts(self) -> Chore:
        """The same for the marts, between two builds."""
        found = self._merged("marts", marts.crowded_files(self.lake))
        if self.acts:
            with self.lake.lock("build", wait=True):
                marts.keep(self.lake)
        return found

    def vacuum(self) -> Chore:
        """Remove files to which no table refers, and has not for as long as readers may take."""
        if self.acts:
            # Whoever opens the file of the views from now on reads none of them.
            viewfile.refresh(self.lake)
        unused: dict[Place, Found] = {}
        for location, version in self._deltas():
            unused |= self._unused(location, version)
        return self._remove("vacuum", unused)

    def logs(self) -> Chore:
        """Remove from the logs what came before a checkpoint that is old enough, and those after it but for
        the last."""
        past: dict[Place, Found] = {}
        for location, version in self._deltas():
            past |= self._past(location / "_delta_log", version)
        return self._remove("logs", past)

    def _remove(self, name: str, files: Mapping[Place, Found]) -> Chore:
        found = Chore(name, "remove", "files", len(files), sum(each.size for each in files.values()))
        for place in files if self.acts else ():
            place.remove()
        return found

    def _merged(self, name: str, uris: Iterable[str]) -> Chore:
        """The chore of making fewer of these files."""
        listed = list(uris)
        return Chore(name, "merge", "files", len(listed), sum(map(self._bytes_at, listed)))

    def _bytes_at(self, uri: str) -> int:
        try:
            return self.lake.size(uri)
        except FileNotFoundError:
            return 0

    def _expired(self) -> Iterator[Place]:
        """The folders of the sweeps whose raw pages nobody needs any more; no link is followed."""
        ended = self.lake.delta("sweeps").to_pyarrow_table(columns=["sweep_id", "verdict"]).to_pylist()
        done = {row["sweep_id"] for row in ended if row["verdict"] != "failed"}
        for folder in _folders(self.lake.place("raw"), 2):
            if _SWEEP.fullmatch(folder.name):
                age = self.now - began(folder.name)
                resumable = age <= RESUMABLE and folder.name not in done
                if age > timedelta(days=self.settings.raw_days) and not resumable:
                    yield folder

    def _deltas(self) -> Iterator[tuple[Place, int | None]]:
        """The folders of all tables and marts; with the version that readers keep to, if to one."""
        rewritten = rewrite.current(self.lake).versions
        for each in TABLES:
            yield self.lake.location(each.name), rewritten.get(each.name)
        built = marts.published(self.lake)
        versions = built.versions if built else {}
        for name, location in marts.locations(self.lake).items():
            yield location, versions.get(name)

    def _unused(self, location: Place, version: int | None) -> dict[Place, Found]:
        """The files of a table that belong to no version which is read, and are old enough."""
        names = table_at(location).vacuum(
            self.settings.vacuum_hours,
            dry_run=True,
            enforce_retention_duration=False,
            full=True,
            keep_versions=None if version is None else [version],
        )
        unused = {location / unquote(name) for name in names}
        return {place: found for place, found in location.sizes().items() if place in unused}

    def _past(self, log: Place, version: int | None) -> dict[Place, Found]:
        """The files of a log that no version needs which is read, or was the last one a while ago."""
        files = {
            place: (int(named.group(1)), found)
            for place, found in log.sizes(deep=False).items()
            if (named := _LOG_FILE.fullmatch(place.name))
        }
        written = {
            number: found.modified_at
            for place, (number, found) in files.items()
            if place.name.endswith(".parquet")
            and (version is None or number <= version)
            and damage.is_whole(place)
        }
        summed_up = sorted(written)
        old = self.now - min(timedelta(hours=self.settings.vacuum_hours), LONGEST_LOG)
        # A log that was cut begins at a checkpoint, without which no entry after it can be read.
        is_cut = all(number for number, _ in files.values())
        base = summed_up[0] if summed_up and is_cut else 0
        first = max((number for number in summed_up if written[number] < old), default=base)
        # Any version since the first one can be had without those between, once nobody reads them.
        settled = self.now - SETTLED
        passed_over = {
            number
            for number, next_one in pairwise(summed_up)
            if first < number and written[next_one] < settled
        }
        return {
            place: found
            for place, (number, found) in files.items()
            if number < first or (number in passed_over and place.name.endswith(".parquet"))
        }


def _folders(above: Place, depth: int) -> Iterator[Place]:
    """The folders so many levels below one; neither it nor they are links."""
    if above.is_link():
        return
    if depth == 0:
        yield above
        return
    for folder in above.folders():
        yield from _folders(folder, depth - 1)


def _is_older(path: Path, than: datetime) -> bool:
    """Whether a file, not a link, was last written before that time."""
    return path.is_file() and not path.is_symlink() and path.stat().st_mtime < than.timestamp()


def _bytes_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _bytes_below(directory: Path) -> int:
    """The bytes of all files in a directory."""
    return sum(_bytes_of(path) for path in directory.rglob("*"))


def _size(count: int) -> str:
    """Bytes as people read them."""
    size, units = float(count), iter(("kB", "MB", "GB", "TB"))
    if count < 1000:
        return f"{count} bytes"
    unit = ""
    while size >= 999.95:
        size, unit = size / 1000, next(units)
    return f"{size:,.1f} {unit}"
