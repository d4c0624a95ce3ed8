-- How long did each instance run in each hour, in hours that sum to those of `charges`?
-- Grain: one row per row of usage_hourly. Each has what all of its day have so far,
-- less what all before had: so they sum to what was charged, to the last decimal.
with kinds as (
    select
        project_id,
        flavor,
        max_by(type, observed_at) as type
    from flavor_history
    where type is not null
    group by project_id, flavor
),

-- A ten-thousand-millionth of an hour is 9/25 of a microsecond: whole hours, and all else
-- that nine divides, need no rounding, nor change how others are rounded.
split as (
    select
        *,
        coalesce(
            running_us_min % 9 = 0 and running_us % 9 = 0 and running_us_max % 9 = 0,
            false
        ) as is_exact
    from usage_hourly
),

so_far as (
    select
        *,
        sum(running_us_min) over day_so_far as so_far_us_min,
        sum(running_us) over day_so_far as so_far_us,
        sum(running_us_max) over day_so_far as so_far_us_max
    from split
    where not is_exact
    window day_so_far as (
        partition by
            project_id,
            usage_date,
            instance_id,
            user_id,
            pool_id,
            workspace_id,
            ai_project_id,
            flavor,
            sku,
            promo_type,
            billing_flavor,
            billing_ratio,
            accelerator_count,
            cpu_count,
            memory_bytes
        order by hour_from_us
        rows between unbounded preceding and current row
    )
),

timed as (
    select
        project_id,
        instance_id,
        flavor,
        usage_date,
        hour_from_us,
        hour_of_day,
        accelerator_count,
        cast(round(so_far_us_min * 25 / 9) as bigint)
        - cast(round((so_far_us_min - running_us_min) * 25 / 9) as bigint) as ticks_min,
        cast(round(so_far_us * 25 / 9) as bigint)
        - cast(round((so_far_us - running_us) * 25 / 9) as bigint) as ticks,
        cast(round(so_far_us_max * 25 / 9) as bigint)
        - cast(round((so_far_us_max - running_us_max) * 25 / 9) as bigint) as ticks_max
    from so_far
    union all
    select
        project_id,
        instance_id,
        flavor,
        usage_date,
        hour_from_us,
        hour_of_day,
        accelerator_count,
        cast(round(running_us_min * 25 / 9) as bigint) as ticks_min,
        cast(round(running_us * 25 / 9) as bigint) as ticks,
        cast(round(running_us_max * 25 / 9) as bigint) as ticks_max
    from split
    where is_exact
)

select
    timed.project_id,
    timed.instance_id,
    timed.usage_date,
    timed.hour_from_us,
    timed.hour_of_day,
    cast(cast(timed.ticks_min as decimal(18, 0)) * 0.0000000001 as decimal(20, 10))
        as running_hours_min,
    cast(cast(timed.ticks as decimal(18, 0)) * 0.0000000001 as decimal(20, 10))
        as running_hours,
    cast(cast(timed.ticks_max as decimal(18, 0)) * 0.0000000001 as decimal(20, 10))
        as running_hours_max,
    try_cast(
        case
            when upper(kinds.type) = 'CPU' then coalesce(timed.accelerator_count, 0)
            else timed.accelerator_count
        end as decimal(9, 0)
    ) as card_count
from timed
left join kinds
    on timed.project_id = kinds.project_id and timed.flavor = kinds.flavor
