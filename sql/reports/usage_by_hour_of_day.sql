-- At which hours of the day do instances run?
-- Grain: one row per project and hour of the day in the billing time zone; those in which
-- nothing ever ran are left out.
with kinds as (
    select
        project_id,
        flavor,
        max_by(type, observed_at) as type
    from flavor_history
    where type is not null
    group by project_id, flavor
),

so_far as (
    select
        *,
        sum(running_us_min) over day_so_far as so_far_us_min,
        sum(running_us) over day_so_far as so_far_us,
        sum(running_us_max) over day_so_far as so_far_us_max
    from usage_hourly
    where usage_date >= $from and usage_date < $to
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

-- What all have so far, less what all before had: so the hours of a day sum to what was
-- charged for it, to the last decimal.
timed as (
    select
        project_id,
        instance_id,
        flavor,
        hour_of_day,
        accelerator_count,
        cast(round(so_far_us_min * 25 / 9) as bigint)
        - cast(round((so_far_us_min - running_us_min) * 25 / 9) as bigint) as ticks_min,
        cast(round(so_far_us * 25 / 9) as bigint)
        - cast(round((so_far_us - running_us) * 25 / 9) as bigint) as ticks,
        cast(round(so_far_us_max * 25 / 9) as bigint)
        - cast(round((so_far_us_max - running_us_max) * 25 / 9) as bigint) as ticks_max
    from so_far
),

used as (
    select
        timed.project_id,
        timed.instance_id,
        timed.hour_of_day,
        cast(
            cast(timed.ticks_min as decimal(18, 0)) * 0.0000000001 as decimal(20, 10)
        ) as running_hours_min,
        cast(cast(timed.ticks as decimal(18, 0)) * 0.0000000001 as decimal(20, 10))
            as running_hours,
        cast(
            cast(timed.ticks_max as decimal(18, 0)) * 0.0000000001 as decimal(20, 10)
        ) as running_hours_max,
        try_cast(
            case
                when upper(kinds.type) = 'CPU' then coalesce(timed.accelerator_count, 0)
                else timed.accelerator_count
            end as decimal(9, 0)
        ) as card_count
    from timed
    left join kinds
        on timed.project_id = kinds.project_id and timed.flavor = kinds.flavor
)

select
    project_id,
    hour_of_day,
    count(distinct instance_id) as instance_count,
    sum(running_hours_min) as running_hours_min,
    sum(running_hours) as running_hours,
    sum(running_hours_max) as running_hours_max,
    sum(cast(running_hours * card_count as decimal(20, 10))) as accelerator_hours,
    sum(
        case
            when card_count is null then running_hours else cast(0 as decimal(20, 10))
        end
    ) as unknown_accelerator_hours
from used
group by project_id, hour_of_day
order by project_id, hour_of_day
