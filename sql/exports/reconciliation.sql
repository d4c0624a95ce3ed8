-- Does a bill that a user brings agree with what was metered?
-- Grain: one row per billed period of a resource, and per time without one in which it
-- cost something. Ours is the sum of whole days, and of hours where a day is cut.
with rated as (
    select
        cost_daily.*,
        days.day_from_us,
        days.day_to_us,
        cast(
            case when cost_daily.is_waived then 0 else cost_daily.unit_price end as double
        )
        * case
            when cost_daily.billing_flavor is null then 1 else cost_daily.billing_ratio
        end
            as hourly_price
    from cost_daily
    inner join days on cost_daily.usage_date = days.usage_date
),

touched as (
    select
        billed_periods.from_us,
        billed_periods.to_us,
        rated.*,
        rated.day_from_us >= billed_periods.from_us
        and rated.day_to_us <= billed_periods.to_us as is_whole
    from billed_periods
    inner join rated
        on
        billed_periods.resource_id = rated.instance_id
        and billed_periods.to_us > rated.day_from_us
        and billed_periods.from_us < rated.day_to_us
),

ran as (
    select
        touched.*,
        usage_hourly.running_us_min,
        usage_hourly.running_us,
        usage_hourly.running_us_max,
        hours.hour_to_us - hours.hour_from_us as hour_us,
        least(touched.to_us, hours.hour_to_us)
        - greatest(touched.from_us, hours.hour_from_us) as shared_us
    from touched
    inner join usage_hourly
        on
        touched.usage_date = usage_hourly.usage_date
        and touched.project_id = usage_hourly.project_id
        and touched.instance_id = usage_hourly.instance_id
        and touched.user_id is not distinct from usage_hourly.user_id
        and touched.pool_id is not distinct from usage_hourly.pool_id
        and touched.workspace_id is not distinct from usage_hourly.workspace_id
        and touched.ai_project_id is not distinct from usage_hourly.ai_project_id
        and touched.flavor is not distinct from usage_hourly.flavor
        and touched.sku is not distinct from usage_hourly.sku
        and touched.promo_type is not distinct from usage_hourly.promo_type
        and touched.billing_flavor is not distinct from usage_hourly.billing_flavor
        and touched.billing_ratio is not distinct from usage_hourly.billing_ratio
        and touched.accelerator_count is not distinct from usage_hourly.accelerator_count
        and touched.cpu_count is not distinct from usage_hourly.cpu_count
        and touched.memory_bytes is not distinct from usage_hourly.memory_bytes
    inner join hours
        on
        usage_hourly.hour_from_us = hours.hour_from_us
        and touched.to_us > hours.hour_from_us
        and touched.from_us < hours.hour_to_us
    where touched.charge = 'compute' and not touched.is_whole
),

pieces as (
    select
        instance_id,
        from_us,
        project_id,
        currency,
        is_priced,
        billed_cost_min as cost_min,
        billed_cost as cost,
        billed_cost_max as cost_max
    from touched
    where is_whole
    union all
    -- Of an hour that is cut, all may have run in the other part, or none of it.
    select
        instance_id,
        from_us,
        project_id,
        currency,
        is_priced,
        cast(
            hourly_price
            * greatest(running_us_min - (hour_us - shared_us), 0)
            / 3600000000 as decimal(32, 22)
        ),
        cast(
            hourly_price
            * running_us
            * shared_us
            / hour_us
            / 3600000000 as decimal(32, 22)
        ),
        cast(
            hourly_price
            * least(running_us_max, shared_us)
            / 3600000000 as decimal(32, 22)
        )
    from ran
    union all
    select
        instance_id,
        from_us,
        project_id,
        currency,
        is_priced,
        cast(billed_cost_min * share as decimal(32, 22)),
        cast(billed_cost * share as decimal(32, 22)),
        cast(billed_cost_max * share as decimal(32, 22))
    from (
        select
            *,
            (least(to_us, day_to_us) - greatest(from_us, day_from_us))
            / (day_to_us - day_from_us) as share
        from touched
        where charge <> 'compute' and not is_whole
    ) as cut
),

ours as (
    select
        instance_id,
        from_us,
        any_value(project_id) as project_id,
        case when min(currency) = max(currency) then min(currency) end as currency,
        count_if(not is_priced) as unpriced_count,
        cast(sum(cost_min) as decimal(28, 10)) as cost_min,
        cast(sum(cost) as decimal(28, 10)) as cost,
        cast(sum(cost_max) as decimal(28, 10)) as cost_max
    from pieces
    group by instance_id, from_us
),

-- A first day is metered to its end, and a last day from its beginning.
metered as (
    select
        coverage.project_id,
        arg_min(
            days.day_to_us - cast(coverage.metered_seconds * 1000000 as bigint),
            days.usage_date
        ) as first_us,
        arg_max(
            days.day_from_us + cast(coverage.metered_seconds * 1000000 as bigint),
            days.usage_date
        ) as last_us
    from coverage
    inner join days on coverage.usage_date = days.usage_date
    group by coverage.project_id
),

compared as (
    select
        billed_periods.*,
        ours.* exclude (from_us, currency),
        ours.currency as our_currency,
        exists(
            select 1
            from metered
            where
                metered.project_id = coalesce(ours.project_id, metered.project_id)
                and metered.first_us <= billed_periods.from_us
                and metered.last_us >= billed_periods.to_us
        ) as is_covered
    from billed_periods
    left join ours
        on
        billed_periods.resource_id = ours.instance_id
        and billed_periods.from_us = ours.from_us
)

select
    case
        when cost is null and coalesce(unpriced_count, 0) = 0 then 'only theirs'
        when unpriced_count > 0 then 'unpriced'
        when line_count = 0 then 'only ours'
        when amount is null or currency <> our_currency then 'other currency'
        when
            amount between cost_min - rounding and cost_max + rounding
            then 'within bounds'
        else 'outside bounds'
    end as status,
    resource_id,
    coalesce(currency, our_currency) as currency,
    line_count,
    first_line,
    unpriced_count,
    amount as billed_amount,
    cost_min,
    cost,
    cost_max,
    case when currency = our_currency then amount - cost end as difference,
    is_covered,
    make_timestamptz(from_us) as period_start,
    make_timestamptz(to_us) as period_end
from compared
where line_count > 0 or cost > 0 or unpriced_count > 0
order by status, resource_id, period_start
