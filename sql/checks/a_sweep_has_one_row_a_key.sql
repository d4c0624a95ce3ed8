-- Did every sweep write at most one row of each thing that figures are joined on?
-- Grain: one row per table, id and sweep that has several.
-- Severity: fail
with written as (
    select
        'instance_history' as table_name,
        project_id,
        instance_id as id,
        sweep_id
    from instance_history
    union all
    select
        'user_history' as table_name,
        project_id,
        user_id as id,
        sweep_id
    from user_history
    union all
    select
        'pool_history' as table_name,
        project_id,
        pool_id as id,
        sweep_id
    from pool_history
    union all
    select
        'flavor_history' as table_name,
        project_id,
        flavor as id,
        sweep_id
    from flavor_history
    union all
    select
        'billing_history' as table_name,
        project_id,
        flavor as id,
        sweep_id
    from billing_history
    union all
    select
        'profile_history' as table_name,
        project_id,
        profile_id as id,
        sweep_id
    from profile_history
    union all
    select
        'workspace_history' as table_name,
        project_id,
        workspace_id as id,
        sweep_id
    from workspace_history
    union all
    select
        'ai_project_history' as table_name,
        project_id,
        ai_project_id as id,
        sweep_id
    from ai_project_history
)

select
    table_name,
    project_id,
    id,
    sweep_id,
    count(*) as row_count
from written
group by table_name, project_id, id, sweep_id
having count(*) > 1
order by table_name, project_id, id, sweep_id
