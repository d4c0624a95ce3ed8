-- When did an instance run: at least, by the best estimate, and at most?
-- Grain: one row per stretch of time with one kind of evidence. Of its three intervals the start is
-- inclusive and the end exclusive; one that is empty ends where it starts.
with steady as (
    -- From a sighting on nothing changed until the last complete sweep before the next sighting.
    select
        *,
        greatest(
            seen_us,
            coalesce(
                case
                    when lead(seen_us) over life is null then last_us
                    else lead(previous_us) over life
                end,
                seen_us
            )
        ) as until_us
    from sightings
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

changed as (
    select
        transitions.*,
        -- Not where a late updated_at may still be that of something before the stop.
        coalesce(support.bounds_stops, false)
        and transitions.updated_inside
        and not transitions.updated_soon as updated_bounds_stop,
        coalesce(support.bounds_starts, false) and transitions.updated_inside
            as updated_bounds_start
    from transitions
    left join evidence_support as support
        on
            transitions.project_id = support.project_id
            and transitions.scope = support.scope
            and cast(floor(transitions.seen_us / 86400000000) as bigint) = support.day_number
    where transitions.kind not in ('same', 'ended', 'begun')
),

intervals as (
    select
        project_id,
        instance_id,
        scope,
        'seen' as kind,
        'none' as evidence,
        sweep_id as from_sweep_id,
        sweep_id as to_sweep_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        flavor,
        first_us,
        last_us,
        seen_us as min_from_us,
        until_us as min_to_us,
        seen_us as from_us,
        until_us as to_us,
        seen_us as max_from_us,
        until_us as max_to_us
    from steady
    where is_running and until_us > seen_us
    union all
    select
        project_id,
        instance_id,
        scope,
        case when kind in ('appeared', 'turned', 'touched') then 'unseen' else kind end
            as kind,
        evidence,
        before_sweep_id as from_sweep_id,
        sweep_id as to_sweep_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        flavor,
        first_us,
        last_us,
        case
            when
                kind in ('started', 'restarted') and run_started_inside
                then least(run_started_us, to_us)
            when kind in ('started', 'restarted') and updated_bounds_start
                then least(updated_us, to_us)
            when kind in ('started', 'restarted') then to_us
            else from_us
        end as min_from_us,
        case when kind in ('unbroken', 'started', 'restarted') then to_us else from_us end
            as min_to_us,
        case when kind = 'started' then turn_us else from_us end as from_us,
        case
            when kind = 'stopped' then turn_us
            when kind in ('unbroken', 'started', 'restarted') then to_us
            else from_us
        end as to_us,
        from_us as max_from_us,
        case
            when kind in ('stopped', 'appeared', 'turned', 'touched')
                and updated_bounds_stop
                then least(updated_us, to_us)
            else to_us
        end as max_to_us
    from changed
)

select
    project_id,
    instance_id,
    scope,
    kind,
    evidence,
    from_sweep_id,
    to_sweep_id,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    flavor,
    least(greatest(min_from_us, first_us), last_us) as min_from_us,
    least(greatest(min_to_us, first_us), last_us) as min_to_us,
    least(greatest(from_us, first_us), last_us) as from_us,
    least(greatest(to_us, first_us), last_us) as to_us,
    least(greatest(max_from_us, first_us), last_us) as max_from_us,
    least(greatest(max_to_us, first_us), last_us) as max_to_us
from intervals
