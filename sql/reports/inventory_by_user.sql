-- Who has how many instances, and how many accelerators run for whom?
-- Grain: one row per project and user; null is an instance without a user.
-- Accelerators are those of running instances, where the flavor tells them.
-- Unknown auto-stop counts as off.
with live as (
    select
        instances.project_id,
        instances.user_id,
        instances.auto_stop_enabled,
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
    live.user_id,
    users.user_name,
    count(*) as instance_count,
    count(*) filter (where live.is_running) as running_count,
    count(*) filter (
        where live.is_running and live.auto_stop_enabled is not true
    ) as running_without_auto_stop_count,
    cast(sum(live.accelerator_count) as bigint) as accelerator_count,
    count(*) filter (where live.accelerator_count is null) as unknown_flavor_count,
    min(live.created_at) as oldest_created_at
from live
left join users
    on live.project_id = users.project_id and live.user_id = users.user_id
group by
    live.project_id,
    live.user_id,
    users.user_name
order by live.project_id, instance_count desc, live.user_id nulls last
