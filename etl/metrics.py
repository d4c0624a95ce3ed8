"""What a monitor wants to know of a lake: its gauges, also as a file for Prometheus' textfile collector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client import Gauge as PrometheusGauge
from prometheus_client.exposition import write_to_textfile

from etl import views
from etl.directory import to_replace
from etl.errors import UsageError
from etl.lake import Lake

# Each gauge by its name: what it says, and the column of the last sweep that it shows.
OF_LAST_SWEEP = {
    "demeter_sweep_instances": ("Instances that the last sweep saw.", "instance_count"),
    "demeter_sweep_quarantined": ("Values and rows of the last sweep in quarantine.", "quarantined_count"),
    "demeter_sweep_requests": ("Requests that the last sweep sent.", "request_count"),
    "demeter_sweep_retries": ("Requests that the last sweep sent again.", "retry_count"),
    "demeter_sweep_received_bytes": ("Bytes that the last sweep received.", "received_bytes"),
    "demeter_sweep_duration_seconds": ("How long the last sweep took.", "seconds"),
}

_LAST = """
select *, epoch(finished_at - started_at) as seconds from sweeps
qualify row_number() over (partition by project_id order by started_at desc, sweep_id desc) = 1
order by project_id
"""

_ENDS = """
select project_id, verdict, count(*) as sweep_count, max(epoch(finished_at)) as last_seconds
from sweeps group by project_id, verdict order by project_id, verdict
"""

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Gauge:
    """A gauge: its name, what it says, and its value under each set of labels."""

    name: str
    said: str
    values: list[tuple[Labels, float]]


def gauges(lake: Lake) -> Iterator[Gauge]:
    """The gauges of every project in the lake."""
    with views.connect(lake) as connection:
        last = connection.sql(_LAST).to_arrow_table().to_pylist()
        ends = connection.execute(_ENDS).fetchall()
    for name, (said, column) in OF_LAST_SWEEP.items():
        yield Gauge(name, said, [({"project_id": row["project_id"]}, float(row[column])) for row in last])
    labels = [{"project_id": project, "verdict": verdict} for project, verdict, *_ in ends]
    counts, times = ([float(row[number]) for row in ends] for number in (2, 3))
    yield Gauge("demeter_sweeps", "Sweeps in the lake.", list(zip(labels, counts, strict=True)))
    name = "demeter_last_sweep_timestamp_seconds"
    yield Gauge(name, "When the last sweep ended.", list(zip(labels, times, strict=True)))


def write(lake: Lake, path: Path) -> None:
    """Replace the file by the gauges of the lake; UsageError where it cannot be written."""
    registry = CollectorRegistry()
    for each in gauges(lake):
        names = list(each.values[0][0]) if each.values else []
        gauge = PrometheusGauge(each.name, each.said, names, registry=registry)
        for labels, value in each.values:
            gauge.labels(**labels).set(value)
    try:
        write_to_textfile(str(to_replace(path)), registry)
    except OSError as error:
        said = error.strerror or error
        raise UsageError(f"metrics_file {path} cannot be written: {said}; name another file") from None
