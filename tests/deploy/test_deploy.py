"""The files of deploy/, run or checked by what they are for."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from conftest import DEMETER, DEPLOY, ROOT, run

UNITS = sorted((DEPLOY / "systemd").iterdir())
KUBERNETES = "1.34"


def commands(text: str) -> list[list[str]]:
    """The words after `demeter` in what a file runs."""
    return [shlex.split(words) for words in re.findall(r"/opt/demeter/bin/demeter ([^>\n]+)", text)]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_each_unit(unit: Path, tmp_path: Path) -> None:
    for each in UNITS:
        text = each.read_text().replace("/opt/demeter/bin/demeter", str(DEMETER))
        (tmp_path / each.name).write_text(text)
    named = tmp_path / unit.name.replace("@", "@project")
    (tmp_path / unit.name).rename(named)
    verified = run(["systemd-analyze", "verify", "--man=no", str(named)], tmp_path)
    assert (verified.returncode, verified.stdout) == (0, "")


@pytest.mark.parametrize("file", [*UNITS, DEPLOY / "cron/demeter"], ids=lambda file: file.name)
def test_demeter_knows_every_command_that_is_scheduled(file: Path, tmp_path: Path) -> None:
    found = commands(file.read_text())
    assert found or file.suffix == ".timer"
    for words in found:
        asked = run([str(DEMETER), *words, "--help"], tmp_path)
        assert (asked.returncode, asked.stdout.partition(" ")[0]) == (0, "Usage:")


def test_the_manifests_fit_the_schemas_of_kubernetes() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes/cronjob.yaml").read_text()))
    assert [each["kind"] for each in documents] == ["ConfigMap", "PersistentVolumeClaim", "CronJob"]
    for each in documents:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_the_settings_of_the_manifest_are_settings(tmp_path: Path) -> None:
    settings = next(yaml.safe_load_all((DEPLOY / "kubernetes/cronjob.yaml").read_text()))
    (tmp_path / "demeter.toml").write_text(settings["data"]["demeter.toml"].replace("/lake", "lake"))
    # A setting that is none would be told before.
    asked = run([str(DEMETER), "sql", "select 1"], tmp_path)
    assert asked.stdout.startswith("demeter: there is no lake at"), asked.stdout


def test_a_linter_has_nothing_to_say_about_the_container(tmp_path: Path) -> None:
    linter = str(Path(sys.executable).with_name("hadolint"))
    found = run([linter, "--no-color", str(DEPLOY / "container/Containerfile")], tmp_path)
    assert (found.returncode, found.stdout) == (0, "")
    (tmp_path / "Bad").write_text("FROM debian\nRUN cd /tmp && sudo apt-get install x\n")
    assert "DL3004" in run([linter, "--no-color", str(tmp_path / "Bad")], tmp_path).stdout


def test_the_steps_of_the_container_make_a_demeter_that_runs(tmp_path: Path) -> None:
    text = (DEPLOY / "container/Containerfile").read_text().replace("\\\n", " ")
    _, build, final = re.split(r"^FROM ", text, flags=re.MULTILINE)
    wheels = list((ROOT / "dist").glob("demeter_etl-*.whl"))
    assert len(wheels) == 1
    steps = []
    for line in build.splitlines():
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            steps.append(f"mkdir -p {target} && cp {' '.join(sources)} {target}")
        elif line.startswith("RUN "):
            steps.append(line.removeprefix("RUN "))
    assert len(steps) == 4
    script = (
        "\n".join(steps)
        .replace("/opt/demeter", str(tmp_path / "opt"))
        .replace("/build", str(tmp_path / "build"))
    )
    built = run(["bash", "-euc", script], ROOT)
    assert built.returncode == 0, built.stdout
    assert re.search(r'^ENTRYPOINT \["demeter"\]$', final, re.MULTILINE)
    tried = run([f"{tmp_path}/opt/bin/demeter", "--version"], tmp_path)
    assert tried.stdout.startswith("demeter, version"), tried.stdout


def test_airflow_sweeps_each_project_and_one_that_fails_stops_no_other(
    service: dict[str, str], tmp_path: Path
) -> None:
    projects = {"good": service["DEMETER_PROJECT_ID"], "wrong": "f" * 32}
    for name, project_id in projects.items():
        folder = tmp_path / "projects" / name
        folder.mkdir(parents=True)
        (folder / "demeter.toml").write_text(
            f'lake = "{tmp_path}/lake"\nendpoint = "{service["DEMETER_ENDPOINT"]}"\n'
            f'project_id = "{project_id}"\nattempts = 1\n'
        )
    environment = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOY / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "DEMETER_COMMAND": str(DEMETER),
        "DEMETER_PROJECTS": str(tmp_path / "projects"),
        "DEMETER_TOKEN": service["DEMETER_TOKEN"],
    }
    airflow = str(ROOT / ".venv-deploy/bin/airflow")
    migrated = run([airflow, "db", "migrate"], tmp_path, **environment)
    assert migrated.returncode == 0, migrated.stdout
    ran = run([airflow, "dags", "test", "demeter_sweeps", "2026-11-01"], tmp_path, **environment)
    assert "exit status 5" in ran.stdout, ran.stdout
    query = "select project_id, verdict from sweeps"
    swept = run([str(DEMETER), "--lake", str(tmp_path / "lake"), "sql", query, "--format", "csv"], tmp_path)
    assert f"{projects['good']},complete" in swept.stdout, (swept.stdout, ran.stdout)
