-- What has a month cost so far, and where will it end at this rate?
-- Grain: one row per answer. Costs are what is billed, and priced pools. The rate is that
-- of the days metered in the month, and goes on to its end. What has no price is not in
-- it; without a budget, what compares with one is null.
with aged as (
    select
        project_id,
        usage_date,
        metered_seconds,
        lead(usage_date) over life is null as is_last
    from coverage
    window life as (partition by project_id order by usage_date)
),

metered as (
    select
        project_id,
        cast(sum(metered_seconds) as double) / 86400 as metered_days,
        -- The rest of the last day, and all days after it.
        max(
            case
                when is_last
                    then
                        greatest(
                            $month_days - extract(day from usage_date)
                            + 1 - cast(metered_seconds as double) / 86400,
                            0
                        )
                else 0
            end
        ) as open_days
    from aged
    where usage_date >= $month_from and usage_date < $month_to
    group by project_id
),

charged as (
    select
        project_id,
        currency,
        billed_cost_min,
        billed_cost,
        billed_cost_max,
        unpriced_hours
    from charges
    where usage_date >= $month_from and usage_date < $month_to
    union all
    select
        project_id,
        currency,
        cost as billed_cost_min,
        cost as billed_cost,
        cost as billed_cost_max,
        cast(0 as decimal(20, 10)) as unpriced_hours
    from pool_cost_daily
    where usage_date >= $month_from and usage_date < $month_to
),

spent as (
    select
        project_id,
        max(currency) as currency,
        sum(billed_cost_min) as cost_min,
        sum(billed_cost) as cost,
        sum(billed_cost_max) as cost_max,
        sum(unpriced_hours) as unpriced_hours
    from charged
    group by project_id
),

rated as (
    select
        spent.*,
        metered.metered_days,
        metered.open_days,
        1 + metered.open_days / nullif(metered.metered_days, 0) as growth
    from metered
    left join spent on metered.project_id = spent.project_id
),

totals as (
    select
        max(currency) as currency,
        count(*) as project_count,
        sum(metered_days) as metered_days,
        max(open_days) as open_days,
        sum(cost_min) as cost_min,
        sum(cost) as cost,
        sum(cost_max) as cost_max,
        sum(cast(cost as double) / nullif(metered_days, 0)) as cost_per_day,
        sum(cast(cost_min as double) * growth) as month_end_cost_min,
        sum(cast(cost as double) * growth) as month_end_cost,
        sum(cast(cost_max as double) * growth) as month_end_cost_max,
        coalesce(sum(unpriced_hours), 0) as unpriced_hours,
        cast($budget as decimal(18, 4)) as budget
    from rated
)

select
    currency,
    cost_min,
    cost,
    cost_max,
    six_decimals(cost_per_day)
        as cost_per_day,
    six_decimals(month_end_cost_min) as month_end_cost_min,
    six_decimals(month_end_cost)
        as month_end_cost,
    six_decimals(month_end_cost_max) as month_end_cost_max,
    budget,
    budget - cost as budget_left,
    six_decimals(100 * cast(cost as double) / nullif(cast(budget as double), 0))
        as budget_used_percent,
    six_decimals(month_end_cost - cast(budget as double))
        as month_end_over_budget,
    unpriced_hours,
    project_count,
    six_decimals(metered_days)
        as metered_days,
    six_decimals(open_days)
        as open_days,
    $month_from as month_from
from totals
order by currency
