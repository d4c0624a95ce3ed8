-- When was an instance first seen in another state than before?
-- Grain: one row per instance and sighting with another status than the one before it.
with marked as (
    select
        *,
        lag(status) over life as before_status,
        case
            when status = lag(status) over life then 0
            else 1
        end as is_first
    from sightings
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

begun as (
    select
        marked.*,
        transitions.from_us,
        case
            when stretches.kind = 'started' then stretches.from_us
            when stretches.kind = 'stopped' then stretches.to_us
            else transitions.turn_us
        end as turn_us,
        coalesce(stretches.evidence, transitions.evidence) as evidence
    from marked
    left join transitions
        on
        marked.project_id = transitions.project_id
        and marked.instance_id = transitions.instance_id
        and marked.sweep_id = transitions.sweep_id
    left join stretches
        on
        marked.project_id = stretches.project_id
        and marked.instance_id = stretches.instance_id
        and marked.sweep_id = stretches.to_sweep_id
        and stretches.kind in ('started', 'stopped')
    where marked.is_first = 1
)

select
    calendar.usage_date,
    begun.project_id,
    begun.instance_id,
    begun.sweep_id,
    begun.scope,
    begun.status,
    begun.before_status,
    begun.is_running,
    begun.user_id,
    begun.pool_id,
    begun.workspace_id,
    begun.ai_project_id,
    begun.flavor,
    begun.evidence,
    begun.from_us,
    begun.turn_us,
    begun.seen_us
from begun
inner join calendar
    on begun.seen_us >= calendar.day_from_us and begun.seen_us < calendar.day_to_us
