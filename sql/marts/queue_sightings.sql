-- What did a day see of a wait in a queue?
-- Grain: one row per instance, wait and day (billing time zone) on which it was seen.
select
    calendar.usage_date,
    history.project_id,
    history.instance_id,
    max_by(history.flavor, history.observed_at) filter (where history.flavor is not null)
        as flavor,
    max_by(history.status, history.observed_at) filter (where history.status is not null)
        as status,
    unix_micros(history.began_at) as began_us,
    max_by(unix_micros(history.ends_at), history.observed_at)
    filter (where history.ends_at is not null)
        as expected_us,
    max(unix_micros(history.observed_at)) as last_seen_us,
    min(
        case
            when history.change in ('gone', 'unlisted')
                then unix_micros(history.observed_at)
        end
    ) as left_us,
    max(steps.scope) as scope
from queue_history as history
inner join sweep_steps as steps
    on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
inner join calendar
    on
    unix_micros(history.observed_at) >= calendar.day_from_us
    and unix_micros(history.observed_at) < calendar.day_to_us
where history.began_at is not null
group by
    calendar.usage_date,
    history.project_id,
    history.instance_id,
    unix_micros(history.began_at)
