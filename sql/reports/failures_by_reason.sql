-- Why do instances fail, and how many does each reason hit?
-- Grain: one row per project, status, error code and message of failed instances.
select
    instances.project_id,
    instances.status,
    coalesce(failures.code, instances.error_code) as code,
    failures.message,
    count(*) as instance_count,
    count(distinct instances.user_id) as user_count,
    count(distinct instances.flavor) as flavor_count,
    min(instances.updated_at) as first_updated_at,
    max(instances.updated_at) as last_updated_at
from instances
left join failures
    on
    instances.project_id = failures.project_id
    and instances.instance_id = failures.instance_id
where
    failures.instance_id is not null
    or instances.error_code is not null
    or instances.status in ('CREATE_FAILED', 'START_FAILED', 'RESIZE_FAILED')
group by
    instances.project_id,
    instances.status,
    coalesce(failures.code, instances.error_code),
    failures.message
order by
    instance_count desc,
    instances.project_id,
    instances.status nulls last,
    code nulls last,
    failures.message nulls last
