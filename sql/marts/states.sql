-- In which state was an instance, from when to when, and how is that known?
-- Grain: one row per instance and stretch of equal status; the first one may have begun
-- before it was seen (is_left_censored), the last one may still last (is_right_censored).
with bounded as (
    select
        state_starts.*,
        scopes.last_us,
        row_number() over life as state_number,
        lead(coalesce(from_us, seen_us)) over life as next_from_us,
        lead(seen_us) over life as next_seen_us,
        lead(coalesce(turn_us, seen_us)) over life as next_turn_us,
        lead(evidence) over life as next_evidence
    from state_starts
    left join scopes
        on
        state_starts.project_id = scopes.project_id
        and state_starts.scope = scopes.scope
    window life as (
        partition by state_starts.project_id, state_starts.instance_id
        order by state_starts.seen_us, state_starts.sweep_id
    )
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
