"""What a monitor wants to know of a lake, as a file for Prometheus' textfile collector."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import write_to_textfile

from etl import views
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


def write(lake: Lake, path: Path) -> None:
    """Replace the file by the gauges of every project in the lake.

    UsageError where it cannot be written.
    """
    registry = CollectorRegistry()
    of_last = {
        column: Gauge(name, said, ["project_id"], registry=registry)
        for name, (said, column) in OF_LAST_SWEEP.items()
    }
    by_verdict = ["project_id", "verdict"]
    sweeps = Gauge("demeter_sweeps", "Sweeps in the lake.", by_verdict, registry=registry)
    ended = Gauge(
        "demeter_last_sweep_timestamp_seconds", "When the last sweep ended.", by_verdict, registry=registry
    )
    connection = views.connect(lake)
    for row in connection.sql(_LAST).to_arrow_table().to_pylist():
        for column, gauge in of_last.items():
            gauge.labels(row["project_id"]).set(row[column])
    for project, verdict, count, last_seconds in connection.execute(_ENDS).fetchall():
        sweeps.labels(project, verdict).set(count)
        ended.labels(project, verdict).set(last_seconds)
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        said = error.strerror or error
        raise UsageError(f"metrics_file {path} cannot be written: {said}; name another file") from None
