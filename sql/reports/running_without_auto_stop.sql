-- Which running instances will nothing ever stop, and since when do they run at least?
-- Grain: one row per running instance with auto-stop off or unknown, the longest first.
-- Each was seen running without a break since `running_since_at`; it may run for longer.
with breaks as (
    select
        project_id,
        instance_id,
        max(observed_at) as last_broken_at
    from instance_history
    where status is distinct from 'RUNNING' or change in ('gone', 'unlisted')
    group by project_id, instance_id
),

runs as (
    select
        instance_history.project_id,
        instance_history.instance_id,
        min(instance_history.observed_at) as running_since_at
    from instance_history
    left join breaks
        on
        instance_history.project_id = breaks.project_id
        and instance_history.instance_id = breaks.instance_id
    where
        breaks.last_broken_at is null
        or instance_history.observed_at > breaks.last_broken_at
    group by instance_history.project_id, instance_history.instance_id
)

select
    instances.project_id,
    instances.instance_id,
    instances.user_id,
    instances.pool_id,
    instances.workspace_id,
    instances.name,
    users.user_name,
    pools.name as pool_name,
    instances.flavor,
    case
        when upper(flavors.type) = 'CPU' then coalesce(flavors.accelerator_count, 0)
        else flavors.accelerator_count
    end as accelerator_count,
    instances.auto_stop_enabled,
    runs.running_since_at,
    instances.created_at
from instances
inner join runs
    on
    instances.project_id = runs.project_id
    and instances.instance_id = runs.instance_id
left join flavors
    on instances.project_id = flavors.project_id and instances.flavor = flavors.flavor
left join users
    on instances.project_id = users.project_id and instances.user_id = users.user_id
left join pools
    on instances.project_id = pools.project_id and instances.pool_id = pools.pool_id
where instances.status = 'RUNNING' and instances.auto_stop_enabled is not true
order by
    runs.running_since_at,
    instances.created_at nulls last,
    instances.project_id,
    instances.instance_id
