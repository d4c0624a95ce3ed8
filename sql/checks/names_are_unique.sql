-- Does each id that reports join on have one row?
-- Grain: one row per table and id that has several.
-- Severity: fail
with ids as (
    select
        'users' as table_name,
        project_id,
        user_id as id
    from users
    union all
    select
        'pools' as table_name,
        project_id,
        pool_id as id
    from pools
    union all
    select
        'flavors' as table_name,
        project_id,
        flavor as id
    from flavors
    union all
    select
        'billing' as table_name,
        project_id,
        flavor as id
    from billing
    union all
    select
        'profiles' as table_name,
        project_id,
        profile_id as id
    from profiles
    union all
    select
        'workspaces' as table_name,
        project_id,
        workspace_id as id
    from workspaces
    union all
    select
        'ai_projects' as table_name,
        project_id,
        ai_project_id as id
    from ai_projects
    union all
    select
        'instances' as table_name,
        project_id,
        instance_id as id
    from instances
)

select
    table_name,
    project_id,
    id,
    count(*) as row_count
from ids
group by table_name, project_id, id
having count(*) > 1
order by table_name, project_id, id
