-- How many instances are in which status?
-- Grain: one row per project and status; null is an instance without a status.
-- Accelerators are those of running instances, where the flavor tells them.
with live as (
    select
        instances.project_id,
        instances.status,
        instances.user_id,
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
    live.status,
    count(*) as instance_count,
    count(distinct live.user_id) as user_count,
    cast(sum(live.accelerator_count) as bigint) as accelerator_count,
    count(*) filter (where live.accelerator_count is null) as unknown_flavor_count,
    min(live.created_at) as oldest_created_at
from live
group by
    live.project_id,
    live.status
order by live.project_id, instance_count desc, live.status nulls last
