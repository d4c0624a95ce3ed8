"""A tour of the tables of a lake, for who wants to ask it questions of their own."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Tour of the tables")


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # Tour of the tables

    A lake holds what sweeps of a ModelArts project saw, and what was worked out from that. This notebook
    asks it one question after the other, from what is there now to what it cost. Each cell can be copied:
    the only thing that it needs is an open lake.

    It is about the lake that `--lake` or `DEMETER_LAKE` names, and else about that of the demo.
    """)
    return


@app.cell
def _():
    import marimo as mo

    from etl.explore import opened

    # Anywhere else: import etl, and lake = etl.open_lake("path/of/the/lake")
    lake = opened()
    lake
    return lake, mo


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What there is

    Tables show what is there now; each has a view of all its versions. Those from `stretches` on are worked
    out by `demeter build`.
    """)
    return


@app.cell
def _(lake):
    lake.tables()
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    Every column says its type, its unit, what it means and which field of the API it is.
    """)
    return


@app.cell
def _(lake):
    lake.columns("instances")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Instances

    How many are there, and in which status?
    """)
    return


@app.cell
def _(lake):
    statuses = lake.sql("""
        select status, count(*) as instance_count
        from instances
        group by status
        order by instance_count desc, status
    """)
    statuses
    return (statuses,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    What an instance refers to is a row of another table, by `project_id` and its id. Who holds accelerators
    in running instances?
    """)
    return


@app.cell
def _(lake):
    holders = lake.sql("""
        select
            users.user_name,
            count(*) as instance_count,
            cast(sum(flavors.accelerator_count) as bigint) as accelerator_count
        from instances
        left join users
            on instances.project_id = users.project_id and instances.user_id = users.user_id
        left join flavors
            on instances.project_id = flavors.project_id and instances.flavor = flavors.flavor
        where instances.status = 'RUNNING'
        group by users.user_name
        order by accelerator_count desc nulls last, users.user_name
    """)
    holders
    return (holders,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What happened

    A row is stored when it is new or changed, and once a day (`keyframe`). `valid_from` is the sweep that
    saw it first. So what changed its status, from what to what?
    """)
    return


@app.cell
def _(lake):
    steps = lake.sql("""
        with steps as (
            select
                name,
                lag(status) over (
                    partition by project_id, instance_id order by observed_at, sweep_id
                ) as status_before,
                status,
                valid_from
            from instance_history
            where change <> 'gone'
        )

        select * from steps
        where status_before <> status
        order by valid_from desc, name
        limit 20
    """)
    steps
    return (steps,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## How sure that is

    A sweep is `complete` only when its listing was proven so. Nothing is called gone by any other sweep.
    """)
    return


@app.cell
def _(lake):
    sweeps = lake.sql("""
        select
            verdict,
            count(*) as sweep_count,
            min(observed_from) as first_at,
            max(observed_to) as last_at
        from sweeps
        group by verdict
        order by verdict
    """)
    sweeps
    return (sweeps,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Running time

    Nobody tells how long an instance ran: it follows from sightings, and so has bounds. `_min` and `_max`
    are shown below the figure that they bound.
    """)
    return


@app.cell
def _(lake):
    hours = lake.sql("""
        select
            usage_date,
            cast(sum(running_seconds_min) / 3600 as decimal(18, 2)) as running_hours_min,
            cast(sum(running_seconds) / 3600 as decimal(18, 2)) as running_hours,
            cast(sum(running_seconds_max) / 3600 as decimal(18, 2)) as running_hours_max,
            bool_and(is_complete) as is_complete
        from usage_daily
        group by usage_date
        order by usage_date
    """)
    hours
    return (hours,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    What a figure rests on is in `stretches`: `demeter explain` shows it for one instance and day.
    """)
    return


@app.cell
def _(lake):
    lake.sql("""
        select evidence, count(*) as stretch_count
        from stretches
        group by evidence
        order by stretch_count desc, evidence
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Cost

    `cost_daily` has a row for each day, instance and charge. Costs of several currencies are never added
    up. What has no price is null, and not free: `is_priced` tells.
    """)
    return


@app.cell
def _(lake):
    costs = lake.sql("""
        select
            usage_date,
            currency,
            sum(billed_cost_min) as billed_cost_min,
            sum(billed_cost) as billed_cost,
            sum(billed_cost_max) as billed_cost_max,
            count(*) filter (where not is_priced) as unpriced_count
        from cost_daily
        group by usage_date, currency
        order by usage_date, currency
    """)
    costs
    return (costs,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Reports

    The usual questions have an answer already: `lake.reports()` lists them, and `lake.report(...)` takes
    what `demeter report` takes. Results of reports can be drawn.
    """)
    return


@app.cell
def _(lake):
    by_day = lake.report("usage", by="day")
    by_day.charts()
    return (by_day,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    In pandas no digit is lost: a cost is Python's `Decimal`. For statistics, make floats of it.
    """)
    return


@app.cell
def _(by_day):
    frame = by_day.df()
    frame[["usage_date", "currency", "running_hours", "billed_cost"]]
    return (frame,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Go on

    `demeter schema` has all columns, the analyst's page more queries, and the notebooks on costs and on the
    fleet's health go deeper into both.
    """)
    return


if __name__ == "__main__":
    app.run()
