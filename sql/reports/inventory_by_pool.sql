-- Which dedicated pools hold how many instances, and how many accelerators run?
-- Grain: one row per project and pool; null is the public pool.
-- Accelerators are those of running instances, where the flavor tells them.
with live as (
    select
        instances.project_id,
        instances.pool_id,
        instances.created_at,
        coalesce(instances.status = 'RUNNING', false) as is_running,
        case
            when instances.status = 'RUNNING' and upper(flavors.type) = 'CPU'
                then coalesce(flavors.accelerator_count, 0)
            when instances.status = 'RUNNING' then flavors.accelerator_count
            else 0
        end as accelerator_count
    from instances
    left join flavors
        on instances.project_id = flavors.project_id and instances.flavor = flavors.flavor
)

select
    live.project_id,
    live.pool_id,
    pools.name as pool_name,
    pools.type as pool_type,
    count(*) as instance_count,
    count(*) filter (where live.is_running) as running_count,
    cast(sum(live.accelerator_count) as bigint) as accelerator_count,
    count(*) filter (where live.accelerator_count is null) as unknown_flavor_count,
    min(live.created_at) as oldest_created_at
from live
left join pools
    on live.project_id = pools.project_id and live.pool_id = pools.pool_id
group by
    live.project_id,
    live.pool_id,
    pools.name,
    pools.type
order by live.project_id, instance_count desc, live.pool_id nulls last
