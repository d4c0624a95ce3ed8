"""What instances cost, for the days, users, pools and flavors that one chooses."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Costs")


@app.cell
def _():
    import marimo as mo

    from etl.errors import UsageError
    from etl.explore import opened
    from etl.reports import with_shared

    lake = opened()
    return UsageError, lake, mo, with_shared


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # Costs

    What was billed, with its bounds: running time is known from sightings, and so is what it costs. Bounds
    stand below the figure that they bound. Costs of several currencies are never added up, and what has no
    price is not in a cost: it is counted beside it.
    """)
    return


@app.cell(hide_code=True)
def _(UsageError, lake, mo):
    # Of a lake that is not built yet there is nothing to show, and this says what to do.
    try:
        lake.report("summary")
        metered = lake.sql("select min(usage_date) as first, max(usage_date) as last from coverage").rows()[0]
        missing = ""
    except UsageError as error:
        metered, missing = {}, str(error)
    mo.stop(bool(missing), mo.callout(mo.plain_text(missing), kind="warn"))
    built = lake
    return built, metered


@app.cell(hide_code=True)
def _(built):
    def choices(query, absent):
        """The values to choose from, by what they are called; of several with one name, with their ids."""
        rows = built.sql(query).rows()
        names = [row["name"] or row["id"] or absent for row in rows]
        return {
            name if names.count(name) == 1 else f"{name} ({row['id']})": row["id"] or ""
            for name, row in zip(names, rows, strict=True)
        }

    users = choices(
        """
        select charged.user_id as id, max_by(user_history.user_name, user_history.observed_at) as name
        from (select distinct user_id from cost_daily) as charged
        left join user_history on charged.user_id = user_history.user_id
        group by charged.user_id
        order by name nulls last, id
        """,
        "without a user",
    )
    pools = choices(
        """
        select charged.pool_id as id, max_by(pool_history.name, pool_history.observed_at) as name
        from (select distinct pool_id from cost_daily) as charged
        left join pool_history on charged.pool_id = pool_history.pool_id
        group by charged.pool_id
        order by name nulls last, id
        """,
        "in no pool",
    )
    flavors = choices(
        "select distinct flavor as id, flavor as name from cost_daily order by name nulls last",
        "disks, and no flavor",
    )
    return flavors, pools, users


@app.cell(hide_code=True)
def _(flavors, metered, mo, pools, users):
    days = mo.ui.date_range(
        metered["first"],
        metered["last"],
        value=(metered["first"], metered["last"]),
        label="Days, both included",
    )
    user = mo.ui.multiselect(users, label="Users")
    pool = mo.ui.multiselect(pools, label="Pools")
    flavor = mo.ui.multiselect(flavors, label="Flavors")
    by = mo.ui.dropdown(
        {
            "user": ["user_id", "user_name"],
            "pool": ["pool_id", "pool_name"],
            "flavor": ["flavor"],
            "SKU": ["sku"],
            "workspace": ["workspace_id"],
            "AI project": ["ai_project_id"],
        },
        value="user",
        label="Broken down by",
    )
    mo.vstack(
        [
            mo.hstack([days, by], justify="start", gap=2),
            mo.hstack([user, pool, flavor], justify="start", gap=2),
            mo.md(
                "Where nothing is chosen, all are meant. A disk has no flavor. The first and the last day "
                "may have been metered in part."
            ),
        ]
    )
    return by, days, flavor, pool, user


@app.cell
def _(days, flavor, lake, pool, user, with_shared):
    def charged(columns, order):
        """What is chosen of `charges`, which the reports on usage are made of: summed by some columns, and
        always by currency."""
        names = [*columns, "currency"]
        query = f"""
            select
                {", ".join(names)},
                sum(running_hours_min) as running_hours_min,
                sum(running_hours) as running_hours,
                sum(running_hours_max) as running_hours_max,
                sum(list_cost) as list_cost,
                sum(billed_cost_min) as billed_cost_min,
                sum(billed_cost) as billed_cost,
                sum(billed_cost_max) as billed_cost_max,
                sum(unpriced_hours) as unpriced_hours
            from charges
            left join (
                select project_id, user_id, max_by(user_name, observed_at) as user_name
                from user_history group by project_id, user_id
            ) using (project_id, user_id)
            left join (
                select project_id, pool_id, max_by(name, observed_at) as pool_name
                from pool_history group by project_id, pool_id
            ) using (project_id, pool_id)
            left join (
                select project_id, instance_id, max_by(name, observed_at) as name
                from instance_history group by project_id, instance_id
            ) using (project_id, instance_id)
            where usage_date between $first and $last
                and (len($users) = 0 or list_contains($users, coalesce(user_id, '')))
                and (len($pools) = 0 or list_contains($pools, coalesce(pool_id, '')))
                and (len($flavors) = 0 or list_contains($flavors, coalesce(flavor, '')))
            group by {", ".join(names)}
            order by {order}
        """
        first, last = days.value
        chosen = {"users": list(user.value), "pools": list(pool.value), "flavors": list(flavor.value)}
        return lake.sql(with_shared(query), first=first, last=last, **chosen)

    return (charged,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## In all
    """)
    return


@app.cell
def _(charged):
    totals = charged([], "currency nulls last")
    totals
    return (totals,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Day by day
    """)
    return


@app.cell
def _(charged):
    by_day = charged(["usage_date"], "usage_date, currency nulls last")
    by_day.charts("usage_by_day")
    return (by_day,)


@app.cell
def _(by_day):
    by_day
    return


@app.cell(hide_code=True)
def _(by, mo):
    mo.md(f"""
    ## By {by.selected_key}
    """)
    return


@app.cell
def _(by, charged):
    breakdown = charged(
        by.value, f"billed_cost desc nulls last, running_hours desc, {by.value[0]} nulls last"
    )
    breakdown.charts("usage_by_user")
    return (breakdown,)


@app.cell
def _(breakdown):
    breakdown
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## The dearest instances
    """)
    return


@app.cell
def _(charged):
    dearest = charged(
        ["instance_id", "name", "flavor"],
        "billed_cost desc nulls last, running_hours desc, instance_id, flavor",
    )
    dearest.charts("usage_by_instance")
    return (dearest,)


@app.cell
def _(dearest):
    dearest
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What is not in these costs

    Hours and disks without a price, and dedicated pools, which are billed as a whole: of all users, pools
    and flavors in these days.
    """)
    return


@app.cell
def _(days, lake):
    import datetime

    period = {"from_": days.value[0], "to": days.value[1] + datetime.timedelta(1)}
    lake.report("price_coverage", **period)
    return (period,)


@app.cell
def _(lake, period):
    lake.report("pool_cost", **period)
    return


if __name__ == "__main__":
    app.run()
