-- How does a period compare with the one of the same length before it?
-- Grain: one row per project. What is said of the period before is null where nothing was
-- metered then; metered days tell whether the two can be compared.
with periods as (
    select
        project_id,
        sum(case when usage_date >= $from then metered_seconds else 0 end)
            as metered_seconds,
        sum(case when usage_date < $from then metered_seconds else 0 end)
            as metered_seconds_before
    from coverage
    where usage_date >= $before and usage_date < $to
    group by project_id
),

compared as (
    select
        project_id,
        max(currency) as currency,
        count(distinct case when usage_date >= $from then instance_id end)
            as instance_count,
        count(distinct case when usage_date < $from then instance_id end)
            as instance_count_before,
        count(distinct case when usage_date >= $from then user_id end) as user_count,
        count(distinct case when usage_date < $from then user_id end)
            as user_count_before,
        sum(case when usage_date >= $from then running_hours else 0 end)
            as running_hours,
        sum(case when usage_date < $from then running_hours else 0 end)
            as running_hours_before,
        sum(case when usage_date >= $from then list_cost end) as list_cost,
        sum(case when usage_date < $from then list_cost end) as list_cost_before,
        sum(case when usage_date >= $from then billed_cost end) as billed_cost,
        sum(case when usage_date < $from then billed_cost end) as billed_cost_before,
        sum(case when usage_date >= $from then unpriced_hours else 0 end)
            as unpriced_hours,
        sum(case when usage_date < $from then unpriced_hours else 0 end)
            as unpriced_hours_before
    from charges
    where usage_date >= $before and usage_date < $to
    group by project_id
),

known as (
    select
        periods.project_id,
        compared.currency,
        coalesce(compared.instance_count, 0) as instance_count,
        coalesce(compared.user_count, 0) as user_count,
        case
            when periods.metered_seconds > 0 then coalesce(compared.running_hours, 0)
        end as running_hours,
        case
            when periods.metered_seconds_before > 0
                then coalesce(compared.running_hours_before, 0)
        end as running_hours_before,
        case
            when periods.metered_seconds_before > 0
                then coalesce(compared.instance_count_before, 0)
        end as instance_count_before,
        case
            when periods.metered_seconds_before > 0
                then coalesce(compared.user_count_before, 0)
        end as user_count_before,
        compared.list_cost,
        compared.list_cost_before,
        compared.billed_cost,
        compared.billed_cost_before,
        coalesce(compared.unpriced_hours, 0) as unpriced_hours,
        case
            when periods.metered_seconds_before > 0
                then coalesce(compared.unpriced_hours_before, 0)
        end as unpriced_hours_before,
        six_decimals(cast(periods.metered_seconds as double) / 86400)
            as metered_days,
        six_decimals(cast(periods.metered_seconds_before as double) / 86400)
            as metered_days_before
    from periods
    left join compared on periods.project_id = compared.project_id
)

select
    project_id,
    currency,
    metered_days,
    metered_days_before,
    instance_count,
    instance_count_before,
    user_count,
    user_count_before,
    running_hours,
    running_hours_before,
    running_hours - running_hours_before as running_hours_change,
    six_decimals(
        100
        * cast(running_hours - running_hours_before as double)
        / nullif(cast(running_hours_before as double), 0)
    ) as running_hours_change_percent,
    list_cost,
    list_cost_before,
    billed_cost,
    billed_cost_before,
    billed_cost - billed_cost_before as billed_cost_change,
    six_decimals(
        100
        * cast(billed_cost - billed_cost_before as double)
        / nullif(cast(billed_cost_before as double), 0)
    ) as billed_cost_change_percent,
    unpriced_hours,
    unpriced_hours_before
from known
order by project_id
