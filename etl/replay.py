"""Flatten the raw pages of past sweeps again, and put what comes out in the place of their rows.

What a sweep is by its listing stays: its id, its verdict and its times. Its rows, its counts and the
version that flattened it become what they would be, had this version flattened it then.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from functools import partial

from etl import engine, rewrite, viewfile
from etl.errors import UsageError
from etl.flatten import Staging
from etl.lake import Lake
from etl.reflatten import Flatten, Progress, Reflattening, Replay, one_by_one
from etl.settings import Settings
from etl.stages import stage


def replay(
    settings: Settings,
    lake: Lake,
    *,
    since: date | None = None,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> list[Replay]:
    """Replay the sweeps whose raw pages are there, of the project that is set or else of all.

    `since` leaves out the sweeps that ended before that UTC day. A dry run writes nothing.
    """
    lake.check()
    done = [
        _replay(settings, lake, project, since, dry_run, progress) for project in _projects(settings, lake)
    ]
    if not dry_run and any(each.changed for each in done):
        with lake.writing():
            viewfile.refresh(lake)
            lake.keep_house()
    return done


def lines(done: Replay, dry_run: bool) -> Iterator[str]:
    """What a replay did, or would do, for a person to read."""
    would = "would be " if dry_run else ""
    said = f"{len(done.changed)} {would}changed" if done.changed else "nothing changed"
    yield (
        f"{would}replayed {len(done.sweep_ids)} sweeps of {done.project_id}: {said}; "
        f"{done.quarantined_before} quarantined before, {done.quarantined_after} after"
    )
    for name, (came, went) in done.rows.items():
        yield f"{name}: {came} rows come, {went} go"
    if done.left:
        yield f"left as they are, for want of raw pages: {', '.join(done.left)}"


def _projects(settings: Settings, lake: Lake) -> list[str]:
    """The projects to replay."""
    found = [place.name for place in lake.place("raw").folders()]
    if settings.project_id:
        found = [each for each in found if each == settings.project_id]
    if not found:
        raise UsageError(f"{lake.place('raw')} has no raw pages of the project: check project_id")
    return found


def _flatten(settings: Settings, lake: Lake, project_id: str) -> Flatten:
    """What flattens the sweeps of a project, by the engine that is set."""
    if not engine.on_spark(settings):
        return one_by_one
    from etl import sparkreplay
    from etl.sparkviews import check_shared

    check_shared(lake)
    return partial(sparkreplay.flatten, settings, lake, lake.spill(project_id))


def _replay(
    settings: Settings, lake: Lake, project_id: str, since: date | None, dry_run: bool, progress: Progress
) -> Replay:
    with stage("replay", project_id=project_id), lake.writing(), lake.lock(f"sweep-{project_id}"):
        lake.clean_up(project_id)
        rewrite.mend(lake)
        staging = Staging(settings.memory_bytes, str(lake.spill(project_id)))
        lake.attach(staging.connection)
        run = Reflattening(lake, project_id, staging)
        try:
            run.flatten_again(since, progress, _flatten(settings, lake, project_id))
            if not dry_run and (rows := run.to_write()):
                rewrite.rewrite(lake, project_id, rows)
        finally:
            staging.connection.close()
            shutil.rmtree(lake.spill(project_id), ignore_errors=True)
    return run.done
