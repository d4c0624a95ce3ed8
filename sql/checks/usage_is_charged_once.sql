-- Is all running time charged, and once?
-- Grain: one row per project and day with more or fewer charges than rows of usage_daily.
-- Severity: fail
with charged as (
    select
        usage_date,
        project_id,
        count(*) as charged_count
    from cost_daily
    where charge = 'compute'
    group by usage_date, project_id
),

used as (
    select
        usage_date,
        project_id,
        count(*) as used_count
    from usage_daily
    group by usage_date, project_id
)

select
    coalesce(used.usage_date, charged.usage_date) as usage_date,
    coalesce(used.project_id, charged.project_id) as project_id,
    coalesce(used.used_count, 0) as used_count,
    coalesce(charged.charged_count, 0) as charged_count
from used
full outer join charged
    on used.usage_date = charged.usage_date and used.project_id = charged.project_id
where coalesce(used.used_count, 0) <> coalesce(charged.charged_count, 0)
order by usage_date, project_id
