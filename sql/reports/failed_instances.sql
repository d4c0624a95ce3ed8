-- Which instances failed, whose are they, and why?
-- Grain: one row per live instance with a failed status, a failure or an error code.
select
    instances.project_id,
    instances.instance_id,
    instances.user_id,
    instances.pool_id,
    instances.name,
    users.user_name,
    instances.flavor,
    instances.status,
    coalesce(failures.code, instances.error_code) as code,
    failures.message,
    instances.created_at,
    instances.updated_at
from instances
left join failures
    on
    instances.project_id = failures.project_id
    and instances.instance_id = failures.instance_id
left join users
    on instances.project_id = users.project_id and instances.user_id = users.user_id
where
    failures.instance_id is not null
    or instances.error_code is not null
    or instances.status in ('CREATE_FAILED', 'START_FAILED', 'RESIZE_FAILED')
order by
    instances.updated_at desc nulls last,
    instances.project_id,
    instances.instance_id
