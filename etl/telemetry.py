"""Tells an OpenTelemetry collector how a run went: its stages as a trace, and the gauges of the lake.

All of it is sent at the end of the run, so nothing waits for the collector meanwhile. Where it is, and what
it wants, is set by the standard variables of the environment (OTEL_*) and by nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from etl import __version__, stages
from etl.errors import DemeterError
from etl.failures import Unreached, explained
from etl.lake import Lake
from etl.metrics import Gauge, Labels, gauges
from etl.stages import Stage

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger("demeter")

ENDPOINT = "OTEL_EXPORTER_OTLP_{}ENDPOINT"
SIGNALS = ("TRACES", "METRICS")
MOST_SECONDS = 5.0  # for all that is sent of a run
SENT = range(200, 300)
UNUSABLE = "check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_CERTIFICATE, which cannot be used"
PREFIX = "demeter."
UNITS = {"_seconds": "s", "_bytes": "By"}


@contextmanager
def told(path: str) -> Iterator[None]:
    """Tell the collector, if there is one, how the run inside went; `path` is that of its lake.

    Nothing that goes wrong with it fails the run: it costs a warning, and a few seconds at most.
    """
    run = stages.present()
    signals = list(wanted(os.environ))
    try:
        yield
    except Exception as error:
        if run:
            run.error = str(error)
        stages.note(exit_status=error.exit_status if isinstance(error, DemeterError) else 1)
        raise
    else:
        stages.note(exit_status=0)
    finally:
        if run and signals:
            try:
                _send(run, path, signals)
            except ImportError:
                log.warning(
                    "OpenTelemetry is not told of this run, for the extra is missing: pip install "
                    "'demeter-etl[otel]', or set OTEL_SDK_DISABLED=true"
                )
            except Exception as error:
                log.warning("nothing was sent to OpenTelemetry (%s)", type(error).__name__)
                log.info("why nothing was sent:", exc_info=error)


def wanted(environment: Mapping[str, str]) -> Iterator[str]:
    """What is to be sent, of traces and metrics: that for which an endpoint is named."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    for signal in SIGNALS:
        named = environment.get(ENDPOINT.format("")) or environment.get(ENDPOINT.format(f"{signal}_"))
        if named and environment.get(f"OTEL_{signal}_EXPORTER", "otlp") != "none":
            yield signal


def _send(run: Stage, path: str, signals: list[str]) -> None:
    """Send the signals side by side, and warn of each that did not get there in time."""
    from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter  # noqa: F401
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    own = Resource.create({"service.name": "demeter", "service.version": __version__})
    resource = own.merge(OTELResourceDetector().detect())
    # One warning of our own says what it would say in many.
    logging.getLogger("opentelemetry").propagate = False
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    ended_ns = time.time_ns()
    known = [*_of_lake(path), *_of_run(run, ended_ns)]
    sends: dict[str, Callable[[_Session], None]] = {
        "TRACES": lambda session: _send_trace(run, ended_ns, resource, session),
        "METRICS": lambda session: _send_metrics(known, resource, session),
    }
    sessions = {signal: _Session() for signal in signals}
    threads = [
        threading.Thread(target=_attempt, args=(sends[signal], session), daemon=True)
        for signal, session in sessions.items()
    ]
    until = time.monotonic() + MOST_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    for signal, session in sessions.items():
        if session.outcome:
            what = f"the {signal.lower()} of this run"
            log.warning("%s were not sent to OpenTelemetry: %s", what, session.outcome)


class _Session(requests.Session):
    """A session that notes what became of its last request: nothing to tell, or words that hold no URL."""

    outcome = "the collector did not answer in time"

    def request(self, method: Any, url: Any, *others: Any, **options: Any) -> requests.Response:
        try:
            response = super().request(method, url, *others, **options)
        except Exception as error:
            found = explained(error, str(url))
            self.outcome = str(found) if isinstance(found, Unreached) else UNUSABLE
            raise
        status = response.status_code
        self.outcome = "" if status in SENT else f"the collector answered {status}"
        return response

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: what is sent, with its headers, goes nowhere else."""


def _attempt(send: Callable[[_Session], None], session: _Session) -> None:
    try:
        send(session)
    except Exception as error:
        if session.outcome == _Session.outcome:
            session.outcome = f"check the variables OTEL_* ({type(error).__name__})"


def _send_trace(run: Stage, ended_ns: int, resource: Resource, session: _Session) -> None:
    """Send a span for each stage of the run, up to now."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    _add_span(provider.get_tracer("demeter", __version__), run, None, ended_ns)
    if sampled := spans.get_finished_spans():
        OTLPSpanExporter(session=session).export(sampled)
    else:
        session.outcome = ""


def _add_span(tracer: Tracer, each: Stage, within: Span | None, ended_ns: int) -> None:
    """Add the span of a stage inside that of another, and those of its parts; one that goes on ends now."""
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    context = set_span_in_context(within) if within else None
    values = {f"{PREFIX}{name}": value for name, value in (each.about | each.found).items()}
    span = tracer.start_span(each.name, context, attributes=values, start_time=each.began_ns)
    for part in each.parts:
        _add_span(tracer, part, span, ended_ns)
    if each.error:
        span.set_status(Status(StatusCode.ERROR, each.error))
    span.end(each.ended_ns or ended_ns)


def _send_metrics(known: list[Gauge], resource: Resource, session: _Session) -> None:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], resource, shutdown_on_exit=False).get_meter("demeter", __version__)
    for each in known:
        unit = next((unit for ending, unit in UNITS.items() if each.name.endswith(ending)), "1")
        gauge = meter.create_gauge(each.name, unit, each.said)
        for labels, value in each.values:
            gauge.set(value, dict(labels))
    if data := reader.get_metrics_data():
        OTLPMetricExporter(session=session).export(data)


def _of_lake(path: str) -> list[Gauge]:
    """The gauges of the lake; none where there is no lake, or none that can be read, as the run will say."""
    try:
        lake = Lake(path)
        return list(gauges(lake)) if lake.is_there() else []
    except Exception as error:
        log.info("the gauges of the lake are not told: %s", error)
        return []


def _of_run(run: Stage, ended_ns: int) -> Iterator[Gauge]:
    """How long the run took until now, how long each of its stages, and how it ended."""
    known = ("command", "project_id")
    labels: Labels = {name: str(run.about[name]) for name in known if name in run.about}
    status, seconds = float(run.about.get("exit_status", 1)), (ended_ns - run.began_ns) / 1e9
    yield Gauge("demeter_run_exit_status", "Exit status of the last run.", [(labels, status)])
    yield Gauge("demeter_run_duration_seconds", "How long the last run took.", [(labels, seconds)])
    took: dict[str, float] = defaultdict(float)
    for each in _below(run):
        took[each.name] += (each.ended_ns - each.began_ns) / 1e9
    values: list[tuple[Labels, float]] = [({**labels, "stage": name}, took[name]) for name in took]
    yield Gauge("demeter_stage_duration_seconds", "How long each stage of the last run took.", values)


def _below(run: Stage) -> Iterator[Stage]:
    for part in run.parts:
        yield part
        yield from _below(part)


def _keep_quiet() -> None:
    """Leave it to one warning of our own to say what OpenTelemetry would say in many."""
    for name in ("opentelemetry", "urllib3"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
