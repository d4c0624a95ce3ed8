"""A person who is forgotten is in no file of the lake, and nothing else is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lakes import ASCEND, PRICES, VOLUME, instance
from support import Row, document, environment_for, run, swept, views_of
from test_secrets import in_files

from etl import focus, forget, raw
from etl.build import build
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.errors import LakeBusy, UsageError
from etl.lake import Lake
from etl.marts import STORED
from etl.places import Place
from etl.replay import replay
from etl.settings import Settings

ANN = {"id": "u-77aa-annabel", "name": "Annabel Qz王"}
BO = {"id": "u-78bb", "name": "Bo"}
MAIL, GIT = "annabel.qz@example.com", "annabel_git"
THEIRS = {"id": ANN["id"], "name": "Annabel Qz", "mail": MAIL, "git": GIT}
KEPT = {"other id": BO["id"], "like": "u-77aa-anna", "label": "plain-label"}


LABELLED = {"profile": {"id": "p", "labels": {"a": "plain-label"}}}


def documents(hour: int) -> list[Row]:
    """What is listed: two persons, and the one who will be forgotten wherever a name can be."""
    repository = {"id": "r-ann", "user_name": GIT, "user_email": MAIL, "type": "GitHub"}
    shared = {"id": "r-both", "user_name": "build-robot", "user_email": "robot@example.com"}
    status = "RUNNING" if hour < 12 else "STOPPED"
    return [
        instance(1, status, user=ANN, **ASCEND, repository=repository, spec=VOLUME),
        instance(
            2,
            "RUNNING",
            user=BO,
            **ASCEND,
            repository=shared,
            profile={"id": "p", "labels": {"a": "plain-label"}},
        ),
        instance(3, status, user=ANN, repository=shared, description=f"lent by\n{ANN['name']} <{MAIL}>"),
        instance(4, user=BO, contact={"to": ANN["name"], "user": ANN}, note=KEPT["like"]),
        instance(5, user=BO, latest_update_timestamp=f"by {ANN['name']}"),
        {"user": ANN, "name": "no id"},
    ]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A built lake with a month that is closed; tests only read it."""
    directory = tmp_path_factory.mktemp("persons")
    lake = Lake(directory / "lake")
    with Emulator.of_documents([], Clock.at("2026-10-30T00:00:00Z")) as service:
        for hour in (0, 72):
            service.documents = documents(hour)
            found = swept(service, lake)
            assert found.error is None
            service.clock.advance(hours=72)
    (directory / "prices.csv").write_text(PRICES, encoding="utf-8")
    build(Settings(tz="UTC", prices=str(directory / "prices.csv")), lake)
    assert focus.export(lake, Settings(), "2026-10", directory).content.is_closed
    return lake


def copied(lake: Lake, path: Path) -> Lake:
    """A copy of the lake, in which there are raw pages of a killed sweep, too."""
    shutil.copytree(lake.path, path)
    last = max((path / "raw").glob("*/*"))
    shutil.copytree(last, last.with_name("killed"))
    pages = last.with_name("killed") / "slice-00000.jsonl.zst"
    pages.write_bytes(pages.read_bytes()[:-9])
    return Lake(path)


@pytest.fixture
def lake(before: Lake, tmp_path: Path) -> Lake:
    return copied(before, tmp_path / "lake")


@pytest.fixture(scope="module")
def after(before: Lake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, str]:
    """The lake without her, and who she is now; tests only read it."""
    path = tmp_path_factory.mktemp("forgotten") / "lake"
    token = forget.forget(Settings(), copied(before, path), ANN["name"]).token
    return Lake(path), token


def contents(lake: Lake, token: str = "") -> dict[str, list[str]]:
    """All that readers see, with her own words in the place of the pseudonym of now."""
    names = ["instance_history", "user_history", "repository_history", "extra_history", "quarantine_history"]
    found = views_of(lake, *names, *STORED, "sweeps")
    text = {
        name: [json.dumps(row, default=str, ensure_ascii=False) for row in rows]
        for name, rows in found.items()
    }
    words = [ANN["id"], ANN["name"], MAIL, GIT]
    for word in words:
        text = {name: [row.replace(word, "SHE") for row in rows] for name, rows in text.items()}
    return {name: sorted(row.replace(token or "SHE", "SHE") for row in rows) for name, rows in text.items()}


@pytest.mark.long
def test_nothing_of_a_forgotten_person_is_in_any_file(before: Lake, after: tuple[Lake, str]) -> None:
    lake, _ = after
    assert {where for _, where in in_files(before.path, THEIRS)} == set(THEIRS)
    assert {file.split("/")[0] for file, _ in in_files(before.path, THEIRS)} == {
        "raw",
        "tables",
        "marts",
        "exports",
    }
    assert in_files(lake.path, THEIRS) == []
    assert not (lake.path / forget.NOTE).exists()


def test_all_else_stays_and_what_was_theirs_joins_under_one_pseudonym(
    before: Lake, after: tuple[Lake, str]
) -> None:
    lake, token = after
    assert {where for _, where in in_files(lake.path, KEPT)} == set(KEPT)
    old, new = contents(before), contents(lake, token)
    fingerprints = [len(rows.pop("quarantine_history")) for rows in (old, new)]
    assert new == old
    assert fingerprints[0] == fingerprints[1]


def test_nothing_has_changed_for_a_build_a_replay_and_the_export_of_a_closed_month(
    after: tuple[Lake, str], tmp_path: Path
) -> None:
    lake, token = after
    assert build(Settings(tz="UTC"), lake).rows == {}
    (done,) = replay(Settings(), lake)
    assert (done.changed, len(done.sweep_ids)) == ([], 2)
    focus.export(lake, Settings(), "2026-10", tmp_path)
    assert token in (tmp_path / "focus-1.2-2026-10.csv").read_text()


class Killed(BaseException):
    """What ends a run as a kill does: nothing catches it."""


def killed_at(step: int, lake: Lake) -> bool:
    """Forget her, and end before the step of that number; whether it came so far."""
    steps = iter(range(1_000))

    def or_die(real: Callable[..., Any]) -> Callable[..., Any]:
        def do_or_die(*arguments: Any, **named: Any) -> Any:
            if next(steps) == step:
                raise Killed
            return real(*arguments, **named)

        return do_or_die

    with pytest.MonkeyPatch.context() as patch:
        for name in ("build", "_drop_files", "_drop_log"):
            patch.setattr(forget, name, or_die(getattr(forget, name)))
        patch.setattr(Place, "replace", or_die(Place.replace))
        patch.setattr(raw, "change", or_die(raw.change))
        patch.setattr(forget.deltalake, "write_deltalake", or_die(forget.deltalake.write_deltalake))
        try:
            forget.forget(Settings(), Lake(lake.path), ANN["id"])
        except Killed:
            return True
    return False


@pytest.mark.long
def test_a_run_that_was_killed_is_finished_by_the_next_under_the_same_pseudonym(lake: Lake) -> None:
    # Before the note, in the raw pages, between two tables, before the build, and as the past goes.
    for step in (0, 2, 7, 40, 18, 10):
        assert killed_at(step, lake)
    token = forget.forget(Settings(), Lake(lake.path), ANN["id"]).token
    assert in_files(lake.path, THEIRS) == []
    found = views_of(Lake(lake.path), "user_history", "instance_history", "usage_daily")
    assert {row["user_id"] for rows in found.values() for row in rows} - {None} == {BO["id"], token}


def test_readers_see_the_tables_before_or_after_whatever_was_written_meanwhile(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, seen = forget.deltalake.write_deltalake, set()

    def persons() -> str:
        found = views_of(Lake(lake.path), "user_history", "instance_history", "repository_history")
        return json.dumps({name: sorted(map(str, rows)) for name, rows in found.items()})

    def write_and_look(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        seen.add(persons())

    before = persons()
    monkeypatch.setattr(forget.deltalake, "write_deltalake", write_and_look)
    monkeypatch.setattr(forget, "build", lambda *arguments, **named: seen.add(persons()))
    forget.forget(Settings(), lake, ANN["id"])
    assert seen == {before, persons()}
    assert ANN["id"] in before


def test_a_lake_goes_on_after_somebody_was_forgotten(lake: Lake) -> None:
    forget.forget(Settings(), lake, ANN["id"])
    lake = Lake(lake.path)
    with Emulator.of_documents(documents(72)[1:2], Clock.at("2026-11-03T00:00:00Z")) as service:
        assert swept(service, lake).verdict == "complete"
    assert [row["instance_id"] for row in views_of(lake, "instances")["instances"]] == ["DE-2"]
    assert build(Settings(tz="UTC"), lake).rows


def test_a_name_that_is_a_word_of_the_service_is_erased_only_where_persons_stand(tmp_path: Path) -> None:
    user = {"id": "u-of-gpu", "name": "RUNNING"}
    with Emulator.of_documents(
        [document(1, user=user), document(2, user={"id": "li", "name": "li"})]
    ) as service:
        environment = environment_for(service, tmp_path / "lake")
        assert run(environment).exit_code == 0
    for who in ("RUNNING", "li"):
        assert CliRunner().invoke(main, ["forget", who], env=environment).exit_code == 0
    found = views_of(Lake(tmp_path / "lake"), "instances", "users")
    assert {row["status"] for row in found["instances"]} == {"RUNNING"}
    assert all(row["user_id"] == row["user_name"] for row in found["users"])
    assert {row["user_id"] for row in found["users"]} == {row["user_id"] for row in found["instances"]}


def test_one_who_is_kept_under_a_pseudonym_is_forgotten_by_name_where_the_key_is_there(
    tmp_path: Path,
) -> None:
    key = "a key that nobody guesses"
    with Emulator.of_documents([document(1, user=ANN)]) as service:
        assert swept(service, Lake(tmp_path), pseudonym_key=key).error is None
    with pytest.raises(UsageError, match="nobody is known"):
        forget.forget(Settings(), Lake(tmp_path), ANN["name"])
    forget.forget(Settings(pseudonym_key=key), Lake(tmp_path), ANN["name"])
    assert [row["user_id"][:10] for row in views_of(Lake(tmp_path), "instances")["instances"]] == [
        "forgotten-"
    ]


def test_a_name_of_several_needs_an_id(tmp_path: Path) -> None:
    users = [document(n, user={"id": f"u-{n}", "name": "Annabel"}) for n in (1, 2)]
    with Emulator.of_documents(users) as service:
        swept(service, Lake(tmp_path))
    with pytest.raises(UsageError, match="give one of their ids, u-1, u-2"):
        forget.forget(Settings(), Lake(tmp_path), "Annabel")


def test_nobody_is_forgotten_while_a_sweep_is_at_work(before: Lake) -> None:
    (project,) = {path.parent.name for path in (before.path / "raw").glob("*/*")}
    with before.lock(f"sweep-{project}"), pytest.raises(LakeBusy):
        forget.forget(Settings(), before, ANN["id"])
