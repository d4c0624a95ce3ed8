-- How long did each instance run on each day of the billing time zone?
-- Grain: one row per day, instance, SKU and what else changed within the day.
with summed as (
    select
        usage_date,
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
        cast(sum(running_us_min) as bigint) as running_us_min,
        cast(sum(running_us) as bigint) as running_us,
        cast(sum(running_us_max) as bigint) as running_us_max,
        cast(sum(midpoint_us) as bigint) as midpoint_us
    from usage_hourly
    group by
        usage_date,
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
),

metered as (
    select
        project_id,
        min(first_us) as first_us,
        max(last_us) as last_us
    from sweep_steps
    group by project_id
)

select
    summed.usage_date,
    summed.project_id,
    summed.instance_id,
    summed.user_id,
    summed.pool_id,
    summed.workspace_id,
    summed.ai_project_id,
    summed.flavor,
    summed.sku,
    summed.promo_type,
    summed.billing_flavor,
    summed.billing_ratio,
    cast(summed.running_us_min as decimal(20, 0)) * 0.000001 as running_seconds_min,
    cast(summed.running_us as decimal(20, 0)) * 0.000001 as running_seconds,
    cast(summed.running_us_max as decimal(20, 0)) * 0.000001 as running_seconds_max,
    cast(summed.running_us * summed.accelerator_count as decimal(20, 0)) * 0.000001
        as accelerator_seconds,
    cast(summed.running_us * summed.cpu_count as decimal(20, 0))
    * 0.000001 as core_seconds,
    summed.accelerator_count,
    summed.cpu_count,
    summed.memory_bytes,
    summed.running_us_min,
    summed.running_us,
    summed.running_us_max,
    summed.midpoint_us,
    coalesce(
        metered.first_us <= days.day_from_us and metered.last_us >= days.day_to_us, false
    )
        as is_complete
from summed
inner join days on summed.usage_date = days.usage_date
left join metered on summed.project_id = metered.project_id
