"""How the fleet is, and how well that is known: coverage, queues, forgotten instances, failures."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Health of the fleet")


@app.cell
def _():
    import marimo as mo

    from etl.errors import UsageError
    from etl.explore import opened

    lake = opened()
    return UsageError, lake, mo


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # Health of the fleet

    How far are the figures to be trusted, who waits, what was forgotten, and what fails? What is about now
    is as of the last sweep; the rest is about the days that are chosen.
    """)
    return


@app.cell(hide_code=True)
def _(UsageError, lake, mo):
    # Of a lake that is not built yet there is nothing to show, and this says what to do.
    try:
        metered_days = len(lake.report("data_quality", last=3650).arrow()["usage_date"].unique())
        missing = ""
    except UsageError as error:
        metered_days, missing = 0, str(error)
    mo.stop(bool(missing), mo.callout(mo.plain_text(missing), kind="warn"))
    return (metered_days,)


@app.cell(hide_code=True)
def _(metered_days, mo):
    last = mo.ui.slider(1, metered_days, value=min(30, metered_days), label="Complete days", show_value=True)
    hours = mo.ui.slider(1, 168, value=24, label="Forgotten after hours", show_value=True)
    mo.hstack([last, hours], justify="start", gap=2)
    return hours, last


@app.cell(hide_code=True)
def _(hours, lake, last, mo):
    quality = lake.report("data_quality", last=last.value)
    verdicts = lake.report("sweep_verdicts")
    forgotten = lake.report("forgotten", hours=hours.value)
    unstopped = lake.report("running_without_auto_stop")
    waiting = lake.report("queue_now")
    failed = lake.report("failed_instances")

    def worst(measure, choose):
        """The worst of the days, to one place; a dash where none is known."""
        known = [row[measure] for row in quality if row[measure] is not None]
        return f"{choose(known):.1f}" if known else "—"

    seen = [row["observed_to"] for row in verdicts if row["verdict"] == "complete"]
    facts = {
        "Last complete sweep (UTC)": f"{max(seen):%Y-%m-%d %H:%M}" if seen else "none",
        "Complete sweeps, worst day, %": worst("complete_percent", min),
        "Width of the bounds, worst day, %": worst("bounds_percent", max),
        "Largest gap, minutes": worst("largest_gap_minutes", max),
        "Forgotten": f"{len(forgotten):,}",
        "Nothing will stop": f"{len(unstopped):,}",
        "Waiting in a queue": f"{len(waiting):,}",
        "Failed": f"{len(failed):,}",
    }
    mo.hstack(
        [mo.stat(value, label=label, bordered=True) for label, value in facts.items()],
        wrap=True,
        justify="start",
    )
    return facts, failed, forgotten, quality, unstopped, verdicts, waiting


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## How well is each day known?
    """)
    return


@app.cell
def _(quality):
    quality.charts()
    return


@app.cell
def _(quality):
    quality
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What was not proven, not read, or not priced?

    Sweeps that were not proven complete, if any; then values and fields that found no place; then prices.
    """)
    return


@app.cell
def _(lake):
    doubtful = lake.sql("""
        select sweep_id, observed_from, observed_to, verdict, instance_count
        from sweeps
        where verdict <> 'complete'
        order by sweep_id desc
    """)
    doubtful
    return (doubtful,)


@app.cell
def _(lake):
    lake.report("quarantine_by_reason")
    return


@app.cell
def _(lake):
    lake.report("unknown_fields")
    return


@app.cell
def _(lake, last):
    lake.report("price_coverage", last=last.value)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Queues
    """)
    return


@app.cell
def _(lake, last):
    waits = lake.report("queue_waits", last=last.value)
    waits.charts()
    return (waits,)


@app.cell
def _(waits):
    waits
    return


@app.cell
def _(waiting):
    waiting
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Forgotten instances
    """)
    return


@app.cell
def _(forgotten):
    forgotten.charts()
    return


@app.cell
def _(forgotten):
    forgotten
    return


@app.cell
def _(unstopped):
    unstopped
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Failures and starts
    """)
    return


@app.cell
def _(lake):
    reasons = lake.report("failures_by_reason")
    reasons.charts()
    return (reasons,)


@app.cell
def _(reasons):
    reasons
    return


@app.cell
def _(failed):
    failed
    return


@app.cell
def _(lake, last):
    latency = lake.report("start_latency", last=last.value)
    latency.charts()
    return (latency,)


@app.cell
def _(latency):
    latency
    return


if __name__ == "__main__":
    app.run()
