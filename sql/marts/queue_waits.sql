-- How long did an instance wait in a queue?
-- Grain: one row per instance and wait; one that still lasts is right-censored and counts
-- so far.
with waits as (
    select
        history.project_id,
        history.instance_id,
        unix_micros(history.began_at) as began_us,
        max_by(history.flavor, history.observed_at) as flavor,
        max_by(history.status, history.observed_at) as status,
        max(unix_micros(history.observed_at)) as last_seen_us,
        min(case when history.change = 'gone' then unix_micros(history.observed_at) end)
            as left_us,
        max_by(unix_micros(history.ends_at), history.observed_at) as expected_us,
        max(steps.previous_us) as previous_us,
        max(steps.last_us) as last_us
    from queue_history as history
    inner join sweep_steps as steps
        on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
    where history.began_at is not null
    group by history.project_id, history.instance_id, unix_micros(history.began_at)
)

select
    project_id,
    instance_id,
    flavor,
    status,
    began_us,
    expected_us,
    case when left_us is null then greatest(last_us, last_seen_us) else left_us end
        as until_us,
    case when left_us is null then greatest(last_us, last_seen_us) else left_us end
    - began_us
        as waited_us,
    left_us is null as is_right_censored
from waits
