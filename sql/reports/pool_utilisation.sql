-- How much of each pool was in use?
-- Grain: one row per project and pool in which anything ran; null is no pool. The service
-- does not tell how large a pool is, so its use is set against the most that ran in it
-- at once, as a mean of an hour. Accelerators are those of flavors that tell them.
with named as (
    select
        project_id,
        pool_id,
        max_by(name, observed_at) filter (where name is not null) as pool_name,
        max_by(type, observed_at) filter (where type is not null) as pool_type
    from pool_history
    group by project_id, pool_id
),

metered as (
    select
        project_id,
        sum(metered_seconds) as metered_seconds
    from coverage
    where usage_date >= $from and usage_date < $to
    group by project_id
),

hourly as (
    select
        project_id,
        pool_id,
        hour_from_us,
        sum(running_us) as running_us,
        coalesce(sum(running_us * accelerator_count), 0) as accelerator_us
    from usage_hourly
    where usage_date >= $from and usage_date < $to
    group by project_id, pool_id, hour_from_us
),

used as (
    select
        project_id,
        pool_id,
        cast(sum(running_us) as double) as running_us,
        cast(sum(accelerator_us) as double) as accelerator_us,
        cast(max(running_us) as double) / 3600000000 as peak_instances,
        cast(max(accelerator_us) as double) / 3600000000 as peak_accelerators
    from hourly
    group by project_id, pool_id
),

averaged as (
    select
        used.*,
        used.running_us
        / nullif(cast(metered.metered_seconds as double) * 1000000, 0) as mean_instances,
        used.accelerator_us
        / nullif(cast(metered.metered_seconds as double) * 1000000, 0)
            as mean_accelerators
    from used
    left join metered on used.project_id = metered.project_id
)

select
    averaged.project_id,
    averaged.pool_id,
    named.pool_name,
    named.pool_type,
    six_decimals(averaged.running_us / 3600000000) as running_hours,
    six_decimals(averaged.accelerator_us / 3600000000) as accelerator_hours,
    six_decimals(averaged.mean_instances) as mean_running_instances,
    six_decimals(averaged.peak_instances) as peak_running_instances,
    six_decimals(averaged.mean_accelerators) as mean_running_accelerators,
    six_decimals(averaged.peak_accelerators) as peak_running_accelerators,
    six_decimals(100 * averaged.mean_instances / nullif(averaged.peak_instances, 0))
        as instance_use_percent,
    six_decimals(
        100 * averaged.mean_accelerators / nullif(averaged.peak_accelerators, 0)
    ) as accelerator_use_percent
from averaged
left join named
    on averaged.project_id = named.project_id and averaged.pool_id = named.pool_id
order by
    accelerator_hours desc,
    running_hours desc,
    averaged.project_id,
    averaged.pool_id nulls last
