"""The benchmarks measure what they say: small runs of them, and tables made of known figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import flames, growth, measure, pages, performance
from bench.measure import Run, Service
from bench.performance import AIMS, DLT, FIRST, FLOOR, REPEATED, SWEEP, Results

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def fleet() -> Iterator[Service]:
    with measure.service(60) as service:
        yield service


def results(**seconds: float) -> Results:
    """Results of one run each, which took so long in all its figures."""
    found = Results()
    names = {"floor": FLOOR, "demeter": SWEEP, "dlt": DLT}
    for name, each in seconds.items():
        for case in (FIRST, REPEATED[0.0]):
            found.runs[case][names[name].name].append(Run(each, each, each, 10**8))
    return found


def lake(folder: Path) -> dict[str, str]:
    return {"DEMETER_LAKE": str(folder / "lake")}


def changes(folder: Path) -> list[tuple[int, int, int]]:
    """The instances, and those of them new and changed, of each sweep of the lake."""
    from etl import views
    from etl.lake import Lake

    with views.connect(Lake(str(folder / "lake"))) as connection:
        query = "select instance_count, new_count, changed_count from sweeps order by started_at"
        return connection.execute(query).fetchall()


def test_the_floor_and_a_sweep_list_the_same_fleet(fleet: Service, tmp_path: Path) -> None:
    runs = [measure.run(each.command, lake(tmp_path), fleet) for each in (FLOOR, SWEEP)]
    assert changes(tmp_path) == [(60, 60, 0)]
    assert all(0 < each.work_seconds < each.seconds and each.peak_bytes > 10**7 for each in runs)


def test_as_many_instances_change_as_the_service_is_told(tmp_path: Path) -> None:
    with measure.service(60) as service:
        for changed in (0, 7, 30):
            service.ask(minutes=15, changed=changed)
            measure.run(SWEEP.command, lake(tmp_path), service)
    assert [changed for _, _, changed in changes(tmp_path)] == [0, 7, 30]


def test_a_command_that_fails_is_no_figure(fleet: Service) -> None:
    with pytest.raises(measure.Failed, match="ended with 1"):
        measure.run((measure.OWN, "-m", "bench.ours", "sweep", "--nothing"), {}, fleet)


def test_a_listing_that_is_not_whole_is_no_figure(fleet: Service) -> None:
    code = "import json; print(json.dumps({'seconds': 1, 'instances': 59}))"
    with pytest.raises(measure.Failed, match="saw 59 instances of 60"):
        measure.run((measure.OWN, "-c", code), {}, fleet)


def test_an_aim_is_met_or_not_by_what_was_measured() -> None:
    rows = {row[0]: row[2:] for row in (aim.row(results(floor=1, demeter=2, dlt=11)) for aim in AIMS)}
    assert rows["first sweep of 20,000: dlt takes"] == ["5.50 ×", "5.50 ×", "5.50 ×", "**no**"]
    assert rows["first sweep of 20,000, to the floor"] == ["2.00 ×", "2.00 ×", "2.00 ×", "yes"]
    assert rows["peak memory with 200,000"] == ["–", "–", "–", "not measured"]


def test_what_cannot_end_in_time_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = results(floor=1000, demeter=2)
    monkeypatch.setattr(performance, "run", lambda *_: Run(2, 2, 2, 10**8))
    for contestant in (FLOOR, SWEEP):
        found.take(FIRST, contestant, tmp_path)
    assert {name: len(runs) for name, runs in found.runs[FIRST].items()} == {"floor": 1, "demeter": 2}


def test_a_text_takes_the_place_of_the_one_before_and_of_nothing_else() -> None:
    page = "# A\n<!-- begin: one -->\nold\n<!-- end -->\nB\n<!-- begin: two -->\nother\n<!-- end -->\n"
    assert pages.replaced(page, "one", "new") == page.replace("\nold\n", "\n\nnew\n\n")
    with pytest.raises(ValueError, match="three"):
        pages.replaced(page, "three", "new")


def test_the_tables_of_the_page_are_those_that_are_made() -> None:
    page = (pages.DOCS / "performance.md").read_text(encoding="utf-8")
    written = pages.written(page, performance.COMMAND).splitlines()
    names = [line.split(" | ")[0].removeprefix("| ") for line in written if line.startswith("| ")]
    assert [aim.work for aim in AIMS] == names[1 : 1 + len(AIMS)]
    assert {FIRST, *REPEATED.values()} <= set(names)


def test_the_service_tells_what_it_has_used(fleet: Service) -> None:
    before = fleet.ask()
    measure.run(FLOOR.command, {}, fleet)
    after = fleet.ask()
    assert after["requests"] - before["requests"] == 1
    assert after["cpu_seconds"] >= before["cpu_seconds"]


@pytest.mark.parametrize("name", ["flame-sweep.svg", "flame-build.svg"])
def test_a_picture_refers_to_nothing_outside_and_is_small(name: str) -> None:
    picture = (pages.DOCS / name).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"'<\s]+", picture)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script" not in picture
    assert len(picture) < 300_000


def test_a_flame_is_as_wide_as_it_was_often_seen() -> None:
    found = flames.stacks_of("a (etl/a.py:1);<frozen b>;b (c.py:2) 3\na (etl/a.py:1) 1\n")
    assert found == {("a (etl/a.py:1)", "b (c.py:2)"): 3, ("a (etl/a.py:1)",): 1}
    picture = flames.svg("<both>", flames.tree(found))
    assert "&lt;both&gt;" in picture
    assert re.findall(r"<title>(.*?)</title><rect x=\"0.0\" y=\"\d+\" width=\"([\d.]+)\"", picture) == [
        ("a (etl/a.py:1), 100.0%", "1199.7"),
        ("b (c.py:2), 75.0%", "899.7"),
    ]


def test_what_is_young_is_told_from_what_is_old() -> None:
    runs = {
        name: [Run(each, each, each, 1)] for name, each in {"old": 2.4, "young": 2.0, "floor": 1.0}.items()
    }
    days = [growth.Day(995, 1.0, 1.0, 100, 10, 10, 10, 2500)]
    said = growth.aims(growth.Growth(days, runs["old"], runs["young"], runs["floor"], 500)).splitlines()
    assert said[2] == "| sweep number 1,000 to number 10 | ≤ 1.1 × | 1.20 × | 1.20 × | **no** |"
    assert said[3] == "| tables to every sweep stored whole | ≤ 1/20 | 1/25 | – | yes |"
