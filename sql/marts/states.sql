-- In which state was an instance, from when to when, and how is that known?
-- Grain: one row per instance and stretch of equal status; the first one may have begun
-- before it was seen (is_left_censored), the last one may still last (is_right_censored).
with marked as (
    select
        *,
        case
            when status = lag(status) over life then 0
            else 1
        end as is_first
    from sightings
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

numbered as (
    select
        *,
        sum(is_first) over (
            partition by project_id, instance_id
            order by seen_us, sweep_id
            rows between unbounded preceding and current row
        ) as state_number
    from marked
),

begun as (
    select
        numbered.*,
        transitions.from_us,
        case
            when stretches.kind = 'started' then stretches.from_us
            when stretches.kind = 'stopped' then stretches.to_us
            else transitions.turn_us
        end as turn_us,
        coalesce(stretches.evidence, transitions.evidence) as evidence
    from numbered
    left join transitions
        on
        numbered.project_id = transitions.project_id
        and numbered.instance_id = transitions.instance_id
        and numbered.sweep_id = transitions.sweep_id
    left join stretches
        on
        numbered.project_id = stretches.project_id
        and numbered.instance_id = stretches.instance_id
        and numbered.sweep_id = stretches.to_sweep_id
        and stretches.kind in ('started', 'stopped')
    where numbered.is_first = 1
),

bounded as (
    select
        *,
        lead(coalesce(from_us, seen_us)) over life as next_from_us,
        lead(seen_us) over life as next_seen_us,
        lead(coalesce(turn_us, seen_us)) over life as next_turn_us,
        lead(evidence) over life as next_evidence
    from begun
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
)

select
    project_id,
    instance_id,
    cast(state_number as bigint) as state_number,
    scope,
    status,
    is_running,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    flavor,
    coalesce(from_us, seen_us) as started_min_us,
    coalesce(turn_us, seen_us) as started_us,
    seen_us as started_max_us,
    coalesce(evidence, 'first sweep') as start_evidence,
    coalesce(next_from_us, greatest(last_us, seen_us)) as ended_min_us,
    coalesce(next_turn_us, greatest(last_us, seen_us)) as ended_us,
    coalesce(next_seen_us, greatest(last_us, seen_us)) as ended_max_us,
    coalesce(next_evidence, 'last sweep') as end_evidence,
    turn_us is null as is_left_censored,
    next_seen_us is null as is_right_censored
from bounded
