-- What did a sweep see of an instance that it had not seen before?
-- Grain: one row per row of instance_history that tells something. To be away is a
-- status, ABSENT, unless it came back: no id is given twice, so it was only not listed,
-- as if no sweep had been.
with seen as (
    select
        history.project_id,
        history.instance_id,
        history.sweep_id,
        steps.scope,
        unix_micros(history.observed_at) as seen_us,
        steps.previous_us,
        steps.first_us,
        steps.last_us,
        case when history.change = 'gone' then 'ABSENT' else history.status end as status,
        billed.status is not null and history.change <> 'gone' as is_running,
        unix_micros(history.created_at) as created_us,
        unix_micros(history.updated_at) as updated_us,
        unix_micros(history.stop_at) as stop_us,
        unix_micros(history.run_started_at) as run_started_us,
        history.auto_stop_seconds * 1000000 as auto_stop_us,
        history.name,
        history.description,
        history.user_id,
        history.pool_id,
        history.workspace_id,
        history.ai_project_id,
        history.flavor
    from instance_history as history
    inner join sweep_steps as steps
        on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
    left join billed_statuses as billed on history.status = billed.status
),

beside as (
    select
        *,
        lag(status) over life as earlier_status,
        lead(status) over life as later_status,
        lag(previous_us) over life as earlier_previous_us
    from seen
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
)

select
    project_id,
    instance_id,
    sweep_id,
    scope,
    seen_us,
    case when earlier_status = 'ABSENT' then earlier_previous_us else previous_us end
        as previous_us,
    first_us,
    last_us,
    status,
    is_running,
    created_us,
    updated_us,
    stop_us,
    run_started_us,
    auto_stop_us,
    name,
    description,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    flavor
from beside
where status <> 'ABSENT' or later_status is null
