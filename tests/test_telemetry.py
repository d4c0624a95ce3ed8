"""An OpenTelemetry collector is told how a run went, and none that is ill harms a run."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lakes import MIDNIGHT, lives
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support import environment_for, one_line
from test_running import gauges as written_gauges

from etl import stages, telemetry
from etl.cli import main
from etl.emulator import Answer, Clock, Emulator
from etl.emulator.rows import Documents

pytestmark = pytest.mark.long

SECRET = "Zq9-collector-key"


class Collector:
    """A collector on loopback, which keeps what it is sent and answers with a status."""

    def __init__(self, status: int = 200, wait_seconds: float = 0.0, location: str = "") -> None:
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.resources: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.status, self.wait_seconds, self.location = status, wait_seconds, location
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, body, dict(self.headers))
                time.sleep(collector.wait_seconds)
                self.send_response(collector.status)
                if collector.location:
                    self.send_header("Location", collector.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        if path == "/v1/traces":
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(each.resource)
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append(each.resource)
                self.metrics += [metric for scope in each.scope_metrics for metric in scope.metrics]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, a resource or a point."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def tree(spans: list[Any]) -> dict[str, set[str]]:
    """The names of the spans inside each span, by its name; the outermost are those of ''."""
    names = {span.span_id: span.name for span in spans}
    found: dict[str, set[str]] = {}
    for span in spans:
        found.setdefault(names.get(span.parent_span_id, ""), set()).add(span.name)
    return found


def points(collector: Collector) -> dict[str, float]:
    """The gauges, named as in the file of Prometheus, without the project."""
    found = {}
    for metric in collector.metrics:
        for point in metric.gauge.data_points:
            labels = {name: value for name, value in attributes(point).items() if name != "project_id"}
            listed = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            found[metric.name + (f"{{{listed}}}" if listed else "")] = point.as_double
    return found


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as running:
        yield running


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def ran(service: Emulator, directory: Path, url: str, *command: str, **others: str) -> Result:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "DEMETER_TZ": "UTC",
        "DEMETER_REPORTS_DIRECTORY": str(directory / "reports"),
        "DEMETER_METRICS_FILE": str(directory / "demeter.prom"),
    }
    environment = environment_for(service, directory / "lake", **settings | others)
    return CliRunner().invoke(main, command or ["sweep"], env=environment)


def test_a_run_is_told_as_a_trace_of_its_stages(
    service: Emulator, collector: Collector, tmp_path: Path
) -> None:
    for _ in range(2):
        collector.spans.clear()
        result = ran(service, tmp_path, collector.url, "run", DEMETER_REPORTS="summary")
        service.clock.advance(hours=1)
    assert (result.exit_code, result.stderr) == (0, "")
    assert tree(collector.spans) == {
        "": {"demeter run"},
        "demeter run": {"sweep", "build", "reports"},
        "sweep": {"recall", "list", "compare", "commit", "views", "house"},
        "list": {"slice"},
        "build": {"choose", "work_out", "publish", "check", "views"},
    }
    spans = {span.name: span for span in collector.spans}
    [whole] = [span for span in collector.spans if span.name == "demeter run"]
    sweep_id = result.stdout.split()[1]
    said = attributes(whole)
    build_id = said.pop("demeter.build_id")
    assert (tmp_path / "lake" / "marts" / "memory" / build_id).is_dir()
    assert said == {
        "demeter.command": "run",
        "demeter.project_id": service.project_id,
        "demeter.sweep_id": sweep_id,
        "demeter.exit_status": 0,
    }
    found = attributes(spans["slice"])
    assert (found["demeter.row_count"], found["demeter.page_count"]) == (9, 1)
    assert attributes(spans["sweep"])["demeter.verdict"] == "complete"
    assert {span.trace_id for span in collector.spans} == {whole.trace_id}
    for span in collector.spans:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
    resource = attributes(collector.resources[0])
    assert (resource["service.name"], resource["telemetry.sdk.language"]) == ("demeter", "python")


def test_the_gauges_are_those_of_the_file_for_prometheus_and_those_of_the_run(
    service: Emulator, collector: Collector, tmp_path: Path
) -> None:
    assert ran(service, tmp_path, collector.url).exit_code == 0
    found, written = points(collector), written_gauges(tmp_path)
    assert {name: found.get(name) for name in written} == written
    assert written["demeter_sweep_requests"] > 0
    of_run = {name: value for name, value in found.items() if name not in written}
    assert of_run['demeter_run_exit_status{command="sweep"}'] == 0
    assert (
        of_run['demeter_run_duration_seconds{command="sweep"}']
        > of_run['demeter_stage_duration_seconds{command="sweep",stage="list"}']
        > 0
    )
    units = {metric.name: metric.unit for metric in collector.metrics}
    assert units["demeter_sweep_duration_seconds"] == "s"
    assert units["demeter_sweep_received_bytes"] == "By"


def test_a_build_is_told_too(service: Emulator, collector: Collector, tmp_path: Path) -> None:
    for _ in range(2):
        ran(service, tmp_path, "")
        service.clock.advance(hours=1)
    assert ran(service, tmp_path, collector.url, "build").exit_code == 0
    assert tree(collector.spans)["demeter build"] == {"build"}
    assert points(collector)['demeter_run_exit_status{command="build"}'] == 0


def test_a_run_that_fails_is_told_as_such(service: Emulator, collector: Collector, tmp_path: Path) -> None:
    service.faults.fail_next = [Answer(503, b"")] * 9
    result = ran(service, tmp_path, collector.url, "run")
    assert result.exit_code == 6
    failed = {span.name: span.status.message for span in collector.spans if span.status.code == 2}
    said = "the service gave out: the service answered 503; run again later, or look at its status"
    nothing = "there is nothing to build from: run `demeter sweep` first"
    assert failed == dict.fromkeys(("demeter run", "sweep", "slice"), said) | dict.fromkeys(
        ("build", "choose"), nothing
    )
    assert points(collector)['demeter_run_exit_status{command="run"}'] == 6


def test_a_run_whose_lake_cannot_be_read_is_told_without_its_gauges(
    service: Emulator, collector: Collector, tmp_path: Path
) -> None:
    ran(service, tmp_path, "")
    for path in (tmp_path / "lake" / "tables" / "sweeps").glob("*.parquet"):
        path.write_bytes(b"PAR1")
    result = ran(service, tmp_path, collector.url, "build")
    assert (result.exit_code, one_line(result)) == (2, collector.spans[-1].status.message)
    assert collector.spans[-1].name == "demeter build"
    assert points(collector)['demeter_run_exit_status{command="build"}'] == 2


def test_the_standard_variables_are_followed(service: Emulator, collector: Collector, tmp_path: Path) -> None:
    others = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}",
        "OTEL_SERVICE_NAME": "metering",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    assert ran(service, tmp_path, "", **others).stderr == ""
    assert (len(collector.headers), collector.metrics) == (1, [])
    assert {name.lower(): value for name, value in collector.headers[0].items()}["api-key"] == SECRET
    resource = attributes(collector.resources[0])
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("metering", "test")


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_nothing_is_sent_where_nothing_is_wanted(
    service: Emulator, collector: Collector, tmp_path: Path, variables: dict[str, str]
) -> None:
    assert ran(service, tmp_path, collector.url, **variables).stderr == ""
    assert collector.headers == []


def closed() -> str:
    """The URL of a port on which nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("ill", ["down", "silent", "refuses", "busy", "leads away"])
def test_a_collector_that_is_ill_costs_two_warnings_and_little_time(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector, ill: str
) -> None:
    monkeypatch.setattr(telemetry, "MOST_SECONDS", 2.0)
    ways = {
        "down": (Collector(), "the connection was refused"),
        "silent": (Collector(wait_seconds=30), "the collector did not answer in time"),
        "refuses": (Collector(401), "the collector answered 401"),
        "busy": (Collector(503), "the collector answered 503"),
        "leads away": (Collector(307, location=f"{collector.url}/v1/traces"), "the collector answered 307"),
    }
    one, said = ways[ill]
    with one:
        url = closed() if ill == "down" else one.url
        began = time.monotonic()
        headers = f"api-key={SECRET}"
        result = ran(
            service, tmp_path, f"{url}/{SECRET}-path?key={SECRET}", OTEL_EXPORTER_OTLP_HEADERS=headers
        )
        lasted = time.monotonic() - began
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert [line.partition(" of this run")[0] for line in lines] == [
        "demeter: the traces",
        "demeter: the metrics",
    ]
    assert all(said in line for line in lines)
    assert SECRET not in result.output
    assert collector.headers == []
    # What a run takes by itself, on a busy machine, and not the wait of the collector.
    assert lasted < 25


def test_a_variable_that_is_wrong_is_a_warning(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_send_metrics", lambda *_: float("soon"))
    result = ran(service, tmp_path, "collector")
    assert result.exit_code == 0
    assert [line.partition("OpenTelemetry: ")[2] for line in result.stderr.splitlines()] == [
        telemetry.UNUSABLE,
        "check the variables OTEL_* (ValueError)",
    ]


def test_without_the_extra_a_line_says_what_to_install(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    result = ran(service, tmp_path, closed())
    assert result.exit_code == 0
    assert one_line(result) == (
        "OpenTelemetry is not told of this run, for the extra is missing: pip install 'demeter-etl[otel]', "
        "or set OTEL_SDK_DISABLED=true"
    )


def test_a_run_that_is_not_told_loads_nothing_of_opentelemetry() -> None:
    program = "import etl.telemetry, sys; print([each for each in sys.modules if 'opentelemetry' in each])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert found.stdout.strip() == "[]"


def test_what_goes_wrong_in_telling_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", closed())
    monkeypatch.setattr(telemetry, "_send", lambda *_: 1 / 0)
    with stages.stage("run", command="run"), telemetry.told(str(tmp_path)):
        pass
    assert caplog.messages == ["nothing was sent to OpenTelemetry (ZeroDivisionError)"]
