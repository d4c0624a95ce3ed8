-- How long did each instance run in each hour of the billing time zone?
-- Grain: one row per hour, instance, SKU and what else changed within the hour.
with priced as (
    select
        stretches.*,
        coalesce(terms.sku, stretches.flavor) as sku,
        terms.promo_type,
        terms.billing_flavor,
        terms.billing_ratio,
        terms.accelerator_count,
        terms.cpu_count,
        terms.memory_bytes
    from stretches
    left join terms
        on
        stretches.project_id = terms.project_id
        and stretches.flavor = terms.flavor
        and stretches.max_from_us >= terms.from_us
        and stretches.max_from_us < terms.to_us
    where stretches.max_to_us > stretches.max_from_us
),

-- The days that each lies on: most lie within the day that they are of.
dated as (
    select
        priced.*,
        calendar.usage_date as hours_date
    from priced
    inner join calendar
        on
        priced.usage_date = calendar.usage_date
        and priced.max_from_us >= calendar.day_from_us
        and priced.max_to_us <= calendar.day_to_us
    union all
    select
        priced.*,
        days.usage_date as hours_date
    from priced
    inner join calendar as own
        on
        priced.usage_date = own.usage_date
        and (
            priced.max_from_us < own.day_from_us
            or priced.max_to_us > own.day_to_us
        )
    inner join days
        on priced.max_from_us < days.day_to_us and priced.max_to_us > days.day_from_us
),

clipped as (
    select
        dated.*,
        hours.hour_from_us,
        hours.hour_to_us,
        hours.hour_of_day,
        greatest(
            least(dated.min_to_us, hours.hour_to_us)
            - greatest(dated.min_from_us, hours.hour_from_us),
            0
        ) as min_us,
        greatest(
            least(dated.to_us, hours.hour_to_us)
            - greatest(dated.from_us, hours.hour_from_us),
            0
        ) as running_us,
        greatest(
            least(dated.max_to_us, hours.hour_to_us)
            - greatest(dated.max_from_us, hours.hour_from_us),
            0
        ) as max_us
    from dated
    inner join hours
        on
        dated.hours_date = hours.usage_date
        and dated.max_from_us < hours.hour_to_us
        and dated.max_to_us > hours.hour_from_us
)

select
    hours_date as usage_date,
    hour_from_us,
    hour_of_day,
    project_id,
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
    memory_bytes,
    cast(sum(min_us) as bigint) as running_us_min,
    cast(sum(running_us) as bigint) as running_us,
    cast(sum(max_us) as bigint) as running_us_max,
    cast(sum(case when evidence = 'midpoint' then running_us else 0 end) as bigint)
        as midpoint_us
from clipped
group by
    hours_date,
    hour_from_us,
    hour_of_day,
    project_id,
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
