-- How many gigabyte-hours of disk did each instance hold on each day (billing zone)?
-- Grain: one row per day, instance, volume and whose it was; null where a size is not
-- known.
with named as (
    select case when count(*) > 0 then 'evs' else 'modelarts.storage.volume' end as sku
    from prices
    where kind = 'storage' and sku = 'evs'
),

metered as (
    select
        project_id,
        min(first_us) as first_us,
        max(last_us) as last_us
    from sweep_steps
    group by project_id
),

clipped as (
    select
        days.usage_date,
        days.day_from_us,
        days.day_to_us,
        lives.project_id,
        lives.instance_id,
        lives.user_id,
        lives.pool_id,
        lives.workspace_id,
        lives.ai_project_id,
        sizes.volume,
        sizes.min_bytes,
        sizes.size_bytes,
        sizes.max_bytes,
        greatest(
            least(lives.min_to_us, sizes.to_us, days.day_to_us)
            - greatest(lives.min_from_us, sizes.from_us, days.day_from_us),
            0
        ) as min_us,
        greatest(
            least(lives.kept_to_us, sizes.to_us, days.day_to_us)
            - greatest(lives.kept_from_us, sizes.from_us, days.day_from_us),
            0
        ) as kept_us,
        least(lives.max_to_us, sizes.to_us, days.day_to_us)
        - greatest(lives.max_from_us, sizes.from_us, days.day_from_us) as max_us
    from storage_lives as lives
    inner join storage_sizes as sizes
        on
        lives.project_id = sizes.project_id
        and lives.instance_id = sizes.instance_id
        and lives.max_from_us < sizes.to_us
        and lives.max_to_us > sizes.from_us
    inner join days
        on lives.max_from_us < days.day_to_us and lives.max_to_us > days.day_from_us
),

summed as (
    select
        usage_date,
        day_from_us,
        day_to_us,
        project_id,
        instance_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        volume,
        size_bytes,
        try_cast(cast(min_bytes as decimal(19, 0)) * 0.000000001 as decimal(18, 9))
            as min_gb,
        try_cast(cast(size_bytes as decimal(19, 0)) * 0.000000001 as decimal(18, 9))
            as size_gb,
        try_cast(cast(max_bytes as decimal(19, 0)) * 0.000000001 as decimal(18, 9))
            as max_gb,
        cast(sum(min_us) as bigint) as min_us,
        cast(sum(kept_us) as bigint) as kept_us,
        cast(sum(max_us) as bigint) as max_us
    from clipped
    where max_us > 0
    group by
        usage_date,
        day_from_us,
        day_to_us,
        project_id,
        instance_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        volume,
        min_bytes,
        size_bytes,
        max_bytes
),

timed as (
    select
        *,
        -- To ten decimals, of which a microsecond is 25 / 9: so none lies halfway.
        cast(
            cast(cast(round(min_us * 25 / 9) as bigint) as decimal(18, 0)) * 0.0000000001
            as decimal(18, 10)
        ) as min_hours,
        cast(
            cast(cast(round(kept_us * 25 / 9) as bigint) as decimal(18, 0)) * 0.0000000001
            as decimal(18, 10)
        ) as kept_hours,
        cast(
            cast(cast(round(max_us * 25 / 9) as bigint) as decimal(18, 0)) * 0.0000000001
            as decimal(18, 10)
        ) as max_hours
    from summed
),

measured as (
    select
        usage_date,
        day_from_us,
        day_to_us,
        project_id,
        instance_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        volume,
        max(size_bytes) as size_bytes,
        case when count(*) = count(max_gb) then sum(min_gb * min_hours) end
            as quantity_min,
        case when count(*) = count(max_gb) then sum(size_gb * kept_hours) end
            as quantity,
        case when count(*) = count(max_gb) then sum(max_gb * max_hours) end
            as quantity_max
    from timed
    group by
        usage_date,
        day_from_us,
        day_to_us,
        project_id,
        instance_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        volume
)

select
    measured.usage_date,
    measured.project_id,
    measured.instance_id,
    measured.user_id,
    measured.pool_id,
    measured.workspace_id,
    measured.ai_project_id,
    measured.volume,
    named.sku,
    measured.size_bytes,
    case
        when
            measured.quantity_max <= 9999999
            then cast(measured.quantity_min as decimal(20, 10))
    end
        as quantity_min,
    case
        when
            measured.quantity_max <= 9999999
            then cast(measured.quantity as decimal(20, 10))
    end
        as quantity,
    case
        when
            measured.quantity_max <= 9999999
            then cast(measured.quantity_max as decimal(20, 10))
    end
        as quantity_max,
    coalesce(
        metered.first_us <= measured.day_from_us
        and metered.last_us >= measured.day_to_us,
        false
    ) as is_complete
from measured
cross join named
left join metered on measured.project_id = metered.project_id
