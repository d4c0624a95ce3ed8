-- Which stopped instances keep disks, and what do those cost a day?
-- Grain: one row per stopped instance with a disk that is charged for, the dearest first.
-- Costs are at the last price that its disks had; null where there was none.
with last_days as (
    select
        project_id,
        instance_id,
        volume,
        max(usage_date) as usage_date
    from cost_daily
    where charge = 'storage'
    group by project_id, instance_id, volume
),

charged as (
    select
        cost_daily.project_id,
        cost_daily.instance_id,
        cost_daily.volume,
        currency,
        unit_price,
        row_number() over (
            partition by cost_daily.project_id, cost_daily.instance_id, cost_daily.volume
            order by user_id nulls last, pool_id nulls last
        ) as age
    from cost_daily
    inner join last_days
        on
        cost_daily.project_id = last_days.project_id
        and cost_daily.instance_id = last_days.instance_id
        and cost_daily.volume = last_days.volume
        and cost_daily.usage_date = last_days.usage_date
    where charge = 'storage'
),

latest as (
    select *
    from charged
    where age = 1
),

kept as (
    select
        storage.project_id,
        storage.instance_id,
        latest.currency,
        latest.unit_price,
        try_cast(
            cast(storage.size_bytes as decimal(19, 0)) * 0.000000001 as decimal(18, 9)
        ) as size_gb
    from storage
    left join latest
        on
        storage.project_id = latest.project_id
        and storage.instance_id = latest.instance_id
        and storage.volume = latest.volume
    where storage.type = 'evs'
),

summed as (
    select
        project_id,
        instance_id,
        max(currency) as currency,
        count(*) as disk_count,
        sum(size_gb) as size_gb,
        sum(try_cast(24 * size_gb as decimal(18, 9)) * unit_price) as billed_cost_per_day,
        count(*) filter (where size_gb is null or unit_price is null)
            as unpriced_disk_count
    from kept
    group by project_id, instance_id
),

billed as (
    select
        project_id,
        instance_id,
        sum(billed_cost) as billed_cost_so_far
    from cost_daily
    where charge = 'storage'
    group by project_id, instance_id
),

stopped as (
    select
        project_id,
        instance_id,
        max_by(coalesce(turn_us, seen_us), seen_us) as stopped_us
    from state_starts
    group by project_id, instance_id
    having
        max_by(status, seen_us) filter (where status is not null) = 'STOPPED'
)

select
    instances.project_id,
    instances.instance_id,
    instances.user_id,
    instances.name,
    users.user_name,
    instances.flavor,
    summed.currency,
    summed.disk_count,
    summed.size_gb,
    summed.billed_cost_per_day,
    billed.billed_cost_so_far,
    summed.unpriced_disk_count,
    to_timestamp(cast(floor(stopped.stopped_us / 1000000) as bigint)) as stopped_at,
    instances.created_at
from instances
inner join summed
    on
    instances.project_id = summed.project_id
    and instances.instance_id = summed.instance_id
left join billed
    on
    instances.project_id = billed.project_id
    and instances.instance_id = billed.instance_id
left join stopped
    on
    instances.project_id = stopped.project_id
    and instances.instance_id = stopped.instance_id
left join users
    on instances.project_id = users.project_id and instances.user_id = users.user_id
where instances.status = 'STOPPED'
order by
    summed.billed_cost_per_day desc nulls last,
    summed.size_gb desc nulls last,
    instances.project_id,
    instances.instance_id
