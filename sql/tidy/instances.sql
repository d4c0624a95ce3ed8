-- What was a notebook instance when the sweep saw it? A lease that runs from the creation
-- does not tell when the present run began.
-- Grain: one notebook instance, for each document that has it.
select
    document_id,
    instance_id,
    name,
    description,
    status,
    created_at,
    updated_at,
    flavor,
    profile_id,
    pool_id,
    workspace_id,
    ai_project_id,
    user_id,
    repository_id,
    auto_stop_enabled,
    auto_stop_seconds,
    auto_stop_prompt,
    stop_at,
    auto_stop_remaining_seconds,
    case
        when
            try(stop_at - to_seconds(auto_stop_seconds + 1))
            > coalesce(created_at, '-infinity')
            then try(stop_at - to_seconds(auto_stop_seconds))
    end as run_started_at,
    error_code
from seen_instances
