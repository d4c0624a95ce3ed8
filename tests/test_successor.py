"""The successor API as a second source: the same tables, one history, and nothing lost between the two."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import (
    OBSERVED_AT,
    Row,
    committed,
    document,
    environment_for,
    one_line,
    rows_of,
    run,
    settings_for,
    swept,
    tables_of,
    views_of,
)

from bench.kept import spread as spread_parts
from etl import apis, correspondence, raw, sqlfiles
from etl.build import build
from etl.checks import check_data
from etl.cli import main
from etl.dictionary import kept
from etl.emulator import ERRORS, Emulator, Faults, Fleet, FleetSettings, notebooks
from etl.errors import UsageError
from etl.flatten import Staging, relations
from etl.lake import Lake
from etl.page import read_page
from etl.pseudonyms import pseudonym
from etl.raw import RawPage
from etl.replay import replay
from etl.scope import Scope
from etl.settings import Settings

QUARTER_US = 900_000_000
FLAVORS = "/notebooks/flavors"


def notebook(number: int = 1, **fields: Any) -> Row:
    """A small running instance as the successor shows it."""
    plain = {
        "id": f"DE-{number:08d}-aaaa-11f0-8000-0255ac10003b",
        "name": f"notebook-{number}",
        "status": "RUNNING",
        "create_at": 1760227200000 + number,
        "update_at": 1760227200000 + number,
        "flavor": "modelarts.vm.cpu.2u",
        "user": {"id": "user-1", "name": "li"},
    }
    return {**plain, **fields}


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([notebook(1), notebook(2)]) as emulator:
        yield emulator


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def row_of(service: Emulator, lake: Lake, **fields: Any) -> Row:
    """The row of an instance with these fields after a sweep."""
    service.documents = [notebook(1, **fields)]
    assert swept(service, lake, api="notebooks").verdict == "complete"
    (row,) = rows_of(lake, "instances")
    return row


def asked(service: Emulator) -> list[tuple[str, dict[str, str]]]:
    """The last part of the path, and the parameters, of each request for a page."""
    found = [each for each in service.requests if "/v1/" in each.path]
    return [(each.path.partition("/notebooks")[2], each.params) for each in found]


# What is asked for.


def test_the_instances_of_all_are_listed_and_the_free_ones_too(service: Emulator, lake: Lake) -> None:
    service.documents = [notebook(1), notebook(2, feature="DEFAULT")]
    found = swept(service, lake, api="notebooks")
    assert (found.verdict, found.counts["instance_count"]) == ("complete", 2)
    oldest_first = {"sort_key": "create_at", "sort_dir": "ASC", "offset": "0", "limit": "50"}
    assert asked(service)[0] == ("/flavors", {})
    assert sorted(asked(service)[1:], key=str) == [
        ("/all", {"feature": feature, **oldest_first}) for feature in ("DEFAULT", "NOTEBOOK")
    ]


def test_filters_have_the_names_that_the_successor_knows(service: Emulator, lake: Lake) -> None:
    scope = Scope(("RUNNING",), ("pool-1",), ("ws-1",), show_self=True)
    swept(service, lake, scope, api="notebooks")
    path, params = asked(service)[1]
    assert path == ""
    assert {"status": "RUNNING", "pool_id": "pool-1", "workspaceId": "ws-1"}.items() <= params.items()
    assert rows_of(lake, "sweeps")[0]["scope"] == (
        "api=notebooks&show_self=true&status=RUNNING&pool_id=pool-1&workspace_id=ws-1"
    )


def test_ai_projects_are_no_part_of_it(service: Emulator, lake: Lake) -> None:
    with pytest.raises(UsageError, match="leave --ai-project out, or set api to demanager"):
        swept(service, lake, Scope(ai_projects=("p",)), api="notebooks")


@pytest.mark.parametrize(("limit", "sizes"), [(500, {50}), (49, {20}), (3, {10})])
def test_pages_are_of_a_size_that_the_successor_takes(
    limit: int, sizes: set[int], service: Emulator, lake: Lake
) -> None:
    service.documents = [notebook(number) for number in range(130)]
    found = swept(service, lake, api="notebooks", limit=limit)
    assert (found.verdict, found.counts["instance_count"]) == ("complete", 130)
    assert {int(params["limit"]) for path, params in asked(service) if path == "/all"} == sizes


def test_a_split_sweep_counts_the_instances_of_both_features(service: Emulator, lake: Lake) -> None:
    service.documents = [notebook(number, feature=apis.FEATURES[number % 2]) for number in range(30)]
    found = swept(service, lake, Scope(split=True), api="notebooks")
    assert (found.verdict, found.counts["instance_count"]) == ("complete", 30)
    assert all("status=" in row["filter"] for row in rows_of(lake, "slices") if row["slice"] > 0)


def test_a_service_that_rounds_its_offsets_is_walked_twice(service: Emulator, lake: Lake) -> None:
    service.documents = [notebook(number) for number in range(200)]
    service.faults = Faults(page_aligned=True)
    found = swept(service, lake, api="notebooks")
    assert (found.verdict, found.counts["instance_count"]) == ("complete", 200)
    (slice_,) = (row for row in rows_of(lake, "slices") if "NOTEBOOK" in row["filter"])
    assert (slice_["pass_count"], slice_["total_count_last"]) == (2, 200)


# What is said.


def test_a_lease_that_runs_from_the_creation_does_not_tell_when_a_run_began(
    service: Emulator, lake: Lake
) -> None:
    lease = {"create_at": 1760227200001, "duration": 90_000_000, "enable": True}
    row = row_of(service, lake, lease=lease, current_time=1760230800001)
    told = ("auto_stop_enabled", "auto_stop_seconds", "auto_stop_remaining_seconds", "run_started_at")
    assert [row[name] for name in told] == [True, 90_000, 86_400, None]
    assert row["stop_at"].isoformat() == "2025-10-13T01:00:00.001000+00:00"


@pytest.mark.parametrize(
    "fields", [{"status": "STOPPED"}, {"lease": {"type": "IDLE"}}, {"lease": {"enable": False}}], ids=str
)
def test_nothing_is_said_of_a_stop_that_no_lease_will_bring(
    fields: Row, service: Emulator, lake: Lake
) -> None:
    lease = {"create_at": 1760227200001, "duration": 3_600_000, "enable": True, **fields.get("lease", {})}
    row = row_of(service, lake, **{**fields, "lease": lease})
    assert (row["stop_at"], row["auto_stop_seconds"]) == (None, 3600)


def test_what_is_known_and_has_no_column_breaks_no_contract(service: Emulator, lake: Lake) -> None:
    service.documents = [notebook(1, billing_items=["ALL"], tags=[{"key": "a"}], status="FROZEN")]
    assert swept(service, lake, api="notebooks").breaches == ()
    service.documents = [notebook(1, data_volumes=[{"ownership": "MANAGED", "shape": "round"}])]
    assert [each.name for each in swept(service, lake, api="notebooks").breaches] == ["data_volumes[].shape"]


def test_the_meter_knows_what_the_statuses_of_the_successor_mean() -> None:
    text = sqlfiles.text("marts", "sightings")
    assert dict(re.findall(r"when '(\w+)' then '(\w+)'", text)) == apis.MEANINGS


def test_every_field_of_the_table_has_a_place_and_a_way_to_it() -> None:
    kinds = {"same", "seconds", "kib", "lower", "sale", "promo", "image", "volumes", "read", "extra"}
    assert {each.kind for each in correspondence.fields()} == kinds
    assert [each.path for each in correspondence.fields() if not each.meaning] == []
    columns = {column.field for table in kept() for column in table.columns}
    maps = ("profile.labels.", "flavor_details.params.", "profile.provision.spec.params")
    strays = []
    for each in correspondence.fields():
        target = f"flavor_details.{each.target}" if each.list == "flavor" else each.target
        if each.target and each.kind != "volumes" and target not in columns and not target.startswith(maps):
            strays.append(each.path)
    assert strays == []


def flat(body: bytes, flavors: bytes) -> dict[str, list[Row]]:
    """The tidy relations of a page of the successor."""
    staging = Staging()
    pages = [(flavors, apis.TERMS), (body, apis.SUCCESSORS)]
    read = [
        RawPage(number, 1, read_page(page, OBSERVED_AT, staging.connection.cursor(), resource))
        for number, (page, resource) in enumerate(pages)
    ]
    staging.add(read)
    staging.settle()
    spread_parts(staging.connection)
    relations(staging.connection)
    found = {table.name: staging.connection.sql(f"from tidy_{table.name}") for table in kept()}
    return {
        name: sorted((dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()), key=repr)
        for name, relation in found.items()
    }


def test_a_page_that_cannot_be_read_without_loss_gives_the_same_rows() -> None:
    fleet = Fleet(FleetSettings(instances=60, swapped_numbers_share=0.3))
    rows = [notebooks.body(row, fleet.start_us) for row in fleet.source().rows_at(fleet.start_us)]
    flavors = b'{"data":[' + b",".join(notebooks.flavors()) + b'],"total":9}'
    plain = b'{"data":[' + b",".join(rows) + b'],"total":60}'
    found = flat(plain, flavors)
    assert len(found["instances"]) == 60
    assert found == flat(plain.replace(b'],"total"', b'],"size":50.0,"total"'), flavors)


def test_a_document_without_a_usable_id_is_kept_as_it_came(service: Emulator, lake: Lake) -> None:
    came = {b'{"name":"nobody","lease":{"enable":1.5}}': "no usable id", b'"text"': "not an object"}
    for text, reason in came.items():
        service.documents = [notebook(1), text]
        found = swept(service, lake, api="notebooks")
        assert (found.verdict, found.counts["instance_count"]) == ("complete", 1)
        (row,) = rows_of(lake, "quarantine")
        assert (row["field"], row["reason"], row["document"]) == (None, reason, text.decode())


# What it is billed as.


def test_units_of_the_billing_code_are_what_an_hour_costs(tmp_path: Path) -> None:
    book = tmp_path / "prices.csv"
    head = "sku,region,kind,unit,currency,unit_price,valid_from,valid_to\n"
    book.write_text(f"{head}modelarts.kat1.xlarge,,compute,hour,CNY,11.5,,\n", encoding="utf-8")
    documents = [notebook(1, flavor="modelarts.bm.snt9.xlarge.2")]
    with Emulator.of_documents(documents) as service:
        lake = Lake(tmp_path / "lake")
        committed(service, lake, api="notebooks")
        service.clock.advance(hours=1)
        committed(service, lake, api="notebooks")
        build(settings_for(service, lake.path, prices=str(book), tz="UTC"), lake)
    (cost,) = [row for row in rows_of(lake, "cost_daily") if row["charge"] == "compute"]
    told = (cost["sku"], float(cost["quantity"]), float(cost["list_cost"]))
    assert told == ("modelarts.kat1.xlarge", 2.0, 23.0)


def test_a_listing_without_the_terms_of_its_flavors_is_not_complete(service: Emulator, lake: Lake) -> None:
    swept(service, lake, api="notebooks")
    before = rows_of(lake, "billing")
    service.clock.advance(minutes=15)
    service.answer_with(ERRORS["no_permission"].body, 403, path=FLAVORS)
    found = swept(service, lake, api="notebooks")
    assert (found.verdict, found.counts["instance_count"]) == ("failed", 2)
    assert "the user needs modelarts:notebook:list" in str(found.error)
    assert rows_of(lake, "billing") == before != []


# From one API to the other.


def settings_of(service: Emulator, lake: Lake, api: str) -> Settings:
    return settings_for(service, lake.path, api=api, tz="UTC")


@pytest.mark.long
def test_an_instance_that_moves_keeps_one_history_and_is_metered_on(lake: Lake, tmp_path: Path) -> None:
    fleet = Fleet(FleetSettings(instances=40, days=1.5, reappear_share=0, free_share=0.0))
    start, sweeps, each_us = fleet.start_us, 24, QUARTER_US * 2
    with Emulator(fleet) as service:
        for number in range(sweeps):
            api = "demanager" if number < sweeps // 2 else "notebooks"
            assert committed(service, lake, api=api).verdict == "complete"
            service.clock.advance(seconds=each_us / 1e6)
        build(settings_of(service, lake, "notebooks"), lake)
    found = views_of(lake, "instance_history", "usage_daily", "coverage")
    assert {row["change"] for row in found["instance_history"]} <= {"new", "changed", "keyframe", "gone"}
    news = [row["instance_id"] for row in found["instance_history"] if row["change"] == "new"]
    assert len(news) == len(set(news))
    (day,) = found["coverage"]
    assert day["largest_gap_seconds"] * 1_000_000 == each_us
    end = start + (sweeps - 1) * each_us
    truths = {
        one.instance_id: fleet.running_microseconds(one.instance_id, start, end) for one in fleet.instances
    }
    columns = ("running_seconds_min", "running_seconds_max")
    usage = {name: [0.0, 0.0] for name in truths}
    for row in found["usage_daily"]:
        bounds = usage[row["instance_id"]]
        bounds[:] = [before + float(row[column]) for before, column in zip(bounds, columns, strict=True)]
    assert sum(truths.values()) > 40 * 3600 * 1_000_000
    for name, truth in truths.items():
        least, most = usage[name]
        assert least - 1 <= truth / 1e6 <= most + 1, name
    assert not [finding for finding in check_data(lake) if finding.status != "ok"]


@pytest.mark.long
def test_what_only_the_old_api_had_is_unlisted_and_metered_no_further(lake: Lake) -> None:
    with Emulator.of_documents([document(1), document(2)]) as service:
        committed(service, lake, api="demanager")
        service.clock.advance(hours=1)
        committed(service, lake, api="demanager")
        service.documents = [document(1)]
        for _ in range(5):
            service.clock.advance(hours=1)
            found = committed(service, lake, api="notebooks")
            assert found.counts["gone_count"] == 0
        build(settings_of(service, lake, "notebooks"), lake)
        changes = [(row["instance_id"][3:11], row["change"]) for row in rows_of(lake, "instance_history")]
        assert sorted(changes) == [
            ("00000001", "keyframe"),
            ("00000001", "new"),
            ("00000002", "new"),
            ("00000002", "unlisted"),
        ]
        assert [row["name"] for row in rows_of(lake, "instances")] == ["notebook-1"]
        usage = {row["instance_id"][3:11]: row for row in rows_of(lake, "usage_daily")}
        names = ("running_seconds_min", "running_seconds_max")
        assert [float(usage["00000001"][name]) for name in names] == [21600, 21600]
        assert [float(usage["00000002"][name]) for name in names] == [3600, 7200]
        service.documents = [document(1), document(2)]
        service.clock.advance(hours=1)
        assert committed(service, lake, api="demanager").counts["new_count"] == 1
        assert len(rows_of(lake, "instances")) == 2
    assert not [finding for finding in check_data(lake) if finding.status == "fail"]


def test_one_that_is_deleted_after_the_move_is_gone(lake: Lake) -> None:
    with Emulator.of_documents([document(1), document(2)]) as service:
        for api in ("demanager", "notebooks"):
            committed(service, lake, api=api)
            service.clock.advance(hours=1)
        service.documents = [document(1)]
        assert committed(service, lake, api="notebooks").counts["gone_count"] == 1


def test_an_incomplete_sweep_of_the_other_api_takes_nothing_away(lake: Lake) -> None:
    with Emulator.of_documents([document(1), document(2)]) as service:
        committed(service, lake, api="demanager")
        service.clock.advance(hours=1)
        service.documents, service.faults = [document(1)], Faults(total_count=7)
        assert committed(service, lake, api="notebooks").verdict == "incomplete"
        assert len(rows_of(lake, "instances")) == 2


# What is shared with the other API.


@pytest.mark.long
def test_a_replay_of_sweeps_by_both_apis_changes_nothing(lake: Lake) -> None:
    with Emulator(Fleet(FleetSettings(instances=30))) as service:
        for api in ("demanager", "notebooks", "notebooks", "demanager"):
            committed(service, lake, api=api)
            service.clock.advance(hours=6)
        before = tables_of(lake)
        (done,) = replay(settings_of(service, lake, "notebooks"), lake)
        assert (len(done.sweep_ids), done.left, done.changed) == (4, [], [])
    assert tables_of(lake) == before


def test_a_sweep_whose_plan_is_lost_is_left_as_it_is(service: Emulator, lake: Lake) -> None:
    found = committed(service, lake, api="notebooks")
    before = tables_of(lake)
    (lake.raw(service.project_id) / found.sweep_id / raw.PLAN).remove()
    (done,) = replay(settings_of(service, lake, "notebooks"), lake)
    assert (done.left, done.changed) == ([found.sweep_id], [])
    assert tables_of(lake) == before


def test_a_broken_sweep_is_resumed_from_its_pages(lake: Lake) -> None:
    from bench.faults import swept as swept_once

    with Emulator.of_documents([notebook(number) for number in range(400)]) as service:
        settings = replace(settings_of(service, lake, "notebooks"), concurrency=1)
        service.faults = Faults(fail_at_request=dict.fromkeys(range(6, 200), ERRORS["gateway"]))
        assert swept_once(settings).verdict == "failed"
        service.faults = Faults()
        service.requests.clear()
        found = swept_once(settings, resume=True)
        assert (found.verdict, found.counts["instance_count"]) == ("complete", 400)
        offsets = [int(params["offset"]) for path, params in asked(service) if "NOTEBOOK" in params.values()]
        assert offsets == [192, 240, 288, 336, 384]


def test_no_credential_of_a_notebook_is_written_anywhere(tmp_path: Path) -> None:
    with Emulator(Fleet(FleetSettings(instances=30))) as service:
        environment = environment_for(service, tmp_path / "lake", DEMETER_API="notebooks")
        result = run(environment, "-v")
    assert result.exit_code == 0, result.output
    assert "PLANTED" not in result.output
    pages = [
        line["body"]
        for project in Lake(tmp_path / "lake").place("raw").folders()
        for folder in project.folders()
        for n in range(3)
        for line in raw.lines(folder, n)
    ]
    assert len(pages) == 3
    assert not [page for page in pages if "PLANTED" in page]
    tables = tables_of(Lake(tmp_path / "lake"))
    assert "PLANTED" not in repr(tables)
    assert "[redacted]" in repr(tables)


def test_persons_have_one_pseudonym_in_both_apis(lake: Lake) -> None:
    key = "a key that nobody guesses"
    with Emulator.of_documents([document(1)]) as service:
        committed(service, lake, api="demanager", pseudonym_key=key)
        service.clock.advance(hours=1)
        committed(service, lake, api="notebooks", pseudonym_key=key)
    found = rows_of(lake, "users")
    assert [(row["user_id"], row["user_name"]) for row in found] == [
        (pseudonym(key, "user-1"), pseudonym(key, "li"))
    ]
    assert "emulated-domain" not in repr(tables_of(lake))
    assert "user_id" not in [row["path"] for row in rows_of(lake, "extras")]


def test_a_person_named_as_a_key_of_the_pages_is_forgotten_and_the_pages_stay(lake: Lake) -> None:
    with Emulator.of_documents(
        [notebook(1, user={"id": "user-9", "name": "data"}, user_id="user-9")]
    ) as service:
        found = committed(service, lake, api="notebooks")
        settings = settings_of(service, lake, "notebooks")
    folder = lake.raw(settings.project_id) / found.sweep_id
    environment = {"DEMETER_LAKE": str(lake.path)}
    assert CliRunner().invoke(main, ["forget", "user-9"], env=environment).exit_code == 0
    (body,) = [line["body"] for line in raw.lines(folder, 1)]
    assert "user-9" not in body
    assert '"data":[' in body
    (user,) = rows_of(lake, "users")
    assert user["user_id"].startswith("forgotten-")


def checked(environment: dict[str, str]) -> Result:
    return CliRunner().invoke(main, ["check"], env=environment)


def test_check_asks_the_api_that_is_set(service: Emulator, tmp_path: Path) -> None:
    environment = environment_for(service, tmp_path / "lake", DEMETER_API="notebooks")
    assert run(environment).exit_code == 0
    service.requests.clear()
    assert checked(environment).exit_code == 0
    assert [path for path, _ in asked(service)] == ["/flavors", "/all"]
    service.answer_with(ERRORS["no_permission"].body, 403, path="/notebooks/all")
    refused = checked(environment)
    assert refused.exit_code == 4
    assert "grant it modelarts:notebook:listAllNotebooks on the whole project" in refused.output


def test_an_api_that_there_is_not_is_refused(service: Emulator, tmp_path: Path) -> None:
    result = run(environment_for(service, tmp_path / "lake", DEMETER_API="notebook"))
    assert result.exit_code == 2
    assert "one of demanager, notebooks" in one_line(result)


def test_saving_an_image_is_a_part_of_the_run(lake: Lake) -> None:
    with Emulator.of_documents([notebook(1)]) as service:
        for status in ("RUNNING", "SNAPSHOTTING", "RUNNING"):
            service.documents = [notebook(1, status=status)]
            committed(service, lake, api="notebooks")
            service.clock.advance(hours=1)
        build(settings_of(service, lake, "notebooks"), lake)
    (usage,) = rows_of(lake, "usage_daily")
    assert float(usage["running_seconds_min"]) == float(usage["running_seconds_max"]) == 7200
    statuses = {row["status"] for row in rows_of(lake, "instance_history")}
    assert statuses == {"RUNNING", "SNAPSHOTTING"}
