-- What ran in a period, what did it cost, and how well is that known?
-- Grain: one row per answer. Costs are those of what has a price, and that of priced
-- pools comes on top. Sweeps and metered days are summed over the projects.
with charged as (
    select
        *,
        is_waived and coalesce(lower(promo_type) = 'free', false) as is_free
    from charges
    where usage_date >= $from and usage_date < $to
),

instances_counted as (
    select count(*) as instance_count
    from (
        select distinct
            project_id,
            instance_id
        from charged
    ) as seen
),

totals as (
    select
        max(currency) as currency,
        count(distinct user_id) as user_count,
        count(distinct project_id) as project_count,
        coalesce(sum(running_hours_min), 0) as running_hours_min,
        coalesce(sum(running_hours), 0) as running_hours,
        coalesce(sum(running_hours_max), 0) as running_hours_max,
        case when count(*) > 0 then sum(accelerator_hours) else 0 end
            as accelerator_hours,
        coalesce(sum(unknown_accelerator_hours), 0) as unknown_accelerator_hours,
        sum(list_cost) as list_cost,
        sum(billed_cost_min) as billed_cost_min,
        sum(billed_cost) as billed_cost,
        sum(billed_cost_max) as billed_cost_max,
        sum(list_cost - billed_cost) as saved_cost,
        sum(case when is_free then list_cost end) as free_value,
        sum(case when is_waived and not is_free then list_cost end) as dedicated_value,
        coalesce(sum(unpriced_hours), 0) as unpriced_hours,
        case when count(*) > 0 then sum(unpriced_gb_hours) else 0 end as unpriced_gb_hours
    from charged
),

pools_billed as (
    select sum(cost) as pool_cost
    from pool_cost_daily
    where usage_date >= $from and usage_date < $to
),

covered as (
    select
        sum(metered_seconds) as metered_seconds,
        cast(sum(complete_sweep_count) as bigint) as complete_sweep_count,
        cast(sum(incomplete_sweep_count) as bigint) as incomplete_sweep_count,
        cast(sum(failed_sweep_count) as bigint) as failed_sweep_count,
        cast(sum(expected_sweep_count) as bigint) as expected_sweep_count,
        max(largest_gap_seconds) as largest_gap_seconds,
        sum(running_us_min) as running_us_min,
        sum(running_us) as running_us,
        sum(running_us_max) as running_us_max,
        sum(midpoint_us) as midpoint_us,
        min(usage_date) as first_date,
        max(usage_date) as last_date
    from coverage
    where usage_date >= $from and usage_date < $to
)

select
    totals.currency,
    totals.running_hours_min,
    totals.running_hours,
    totals.running_hours_max,
    totals.accelerator_hours,
    totals.unknown_accelerator_hours,
    totals.list_cost,
    totals.billed_cost_min,
    totals.billed_cost,
    totals.billed_cost_max,
    totals.saved_cost,
    totals.free_value,
    totals.dedicated_value,
    pools_billed.pool_cost,
    totals.unpriced_hours,
    six_decimals(
        100
        * cast(totals.unpriced_hours as double)
        / nullif(cast(totals.running_hours as double), 0)
    ) as unpriced_percent,
    totals.unpriced_gb_hours,
    instances_counted.instance_count,
    totals.user_count,
    totals.project_count,
    six_decimals(cast(covered.metered_seconds as double) / 86400)
        as metered_days,
    covered.complete_sweep_count,
    covered.incomplete_sweep_count,
    covered.failed_sweep_count,
    covered.expected_sweep_count,
    six_decimals(
        100
        * cast(
            least(covered.complete_sweep_count, covered.expected_sweep_count) as double
        )
        / nullif(covered.expected_sweep_count, 0)
    ) as complete_percent,
    six_decimals(cast(covered.largest_gap_seconds as double) / 3600)
        as largest_gap_hours,
    six_decimals(
        100
        * cast(covered.running_us_max - covered.running_us_min as double)
        / nullif(covered.running_us, 0)
    ) as bounds_percent,
    six_decimals(
        100 * cast(covered.midpoint_us as double) / nullif(covered.running_us, 0)
    ) as midpoint_percent,
    covered.first_date,
    covered.last_date
from totals
cross join instances_counted
cross join pools_billed
cross join covered
order by totals.currency
