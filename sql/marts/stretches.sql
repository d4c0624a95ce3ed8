-- When did an instance run: at least, by the best estimate, and at most?
-- Grain: one row per stretch of time with one kind of evidence. Of its three intervals
-- the start is inclusive and the end exclusive; one that is empty ends where it starts.
-- Its day is that of the sighting that it ends at; where it is seen, that it begins at.
with steady as (
    -- Nothing changed from a sighting until the last complete sweep before the next one.
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

only_running as (
    select count_if(status <> 'RUNNING') = 0 as is_billed
    from billed_statuses
),

supported as (
    select
        transitions.*,
        case when only_running.is_billed then support.usual_stopping_us end
            as usual_stopping_us,
        support.usual_starting_us,
        support.usual_creation_us,
        support.missed_millionths,
        coalesce(support.marks_starts, false) as marks_starts,
        coalesce(support.marks_restarts, false) as marks_restarts,
        coalesce(support.moves_for_a_reason, false) as moves_for_a_reason,
        -- Whether a run that ended in between must have moved updated_at: by the record,
        -- and as no stop that leaves no mark can have come, by auto-stop or the service.
        coalesce(support.marks_stops, false)
        and only_running.is_billed
        and not updated_soon
        and (
            coalesce(support.marks_announced_stops, false)
            or not (stop_inside or fits_automatic_stop)
        )
        and status in (
            'STOPPING',
            'STOPPED',
            'START_QUEUING',
            'READY_TO_START',
            'STARTING',
            'START_FAILED',
            'RUNNING',
            'RESIZING',
            'RESIZE_FAILED',
            'DELETING',
            'DELETED'
        ) as marks_ends
    from transitions
    cross join only_running
    left join evidence_support as support
        on
        transitions.project_id = support.project_id
        and transitions.scope = support.scope
        and cast(floor(transitions.seen_us / 86400000000) as bigint) = support.day_number
    where transitions.kind not in ('same', 'ended', 'begun')
),

timed as (
    select
        *,
        -- The last moment at which a run that was over at the second sighting ended.
        case
            when not marks_ends or updated_us is null then to_us
            when updated_inside then least(updated_us, to_us)
            else from_us
        end as ended_max_us,
        case
            when
                evidence <> 'updated_at' or kind <> 'stopped' or status <> 'STOPPED'
                then turn_us
            else greatest(from_us, turn_us - coalesce(usual_stopping_us, 0))
        end as stopped_us,
        case
            when kind <> 'started' or evidence <> 'midpoint' then null
            when before_seen_us is null then usual_creation_us
            when
                before_status in ('CREATING', 'STARTING', 'RESTARTING')
                then usual_starting_us
        end as usual_us,
        -- A run that nobody saw, but that left its mark; and for nothing else than that.
        kind in ('appeared', 'turned', 'touched')
        and updated_inside
        and updated_us > from_us + 5000000
        and moves_for_a_reason
        and not is_otherwise_changed
        and missed_millionths is not null
        and status in ('STOPPING', 'STOPPED')
        and coalesce(before_status, '') not in ('STOPPING', 'RESIZING', 'FROZEN')
            as is_missed_run
    from supported
),

estimated as (
    select
        *,
        least(
            greatest(
                from_us,
                least(updated_us, to_us)
                - case
                    when status = 'STOPPED' then coalesce(usual_stopping_us, 0) else 0
                end
            ),
            ended_max_us
        ) as missed_to_us,
        case
            when before_seen_us is null and usual_creation_us is not null
                then from_us + usual_creation_us
            when
                before_status in ('CREATING', 'STARTING', 'RESTARTING')
                and usual_starting_us is not null
                then from_us + usual_starting_us
            else
                least(updated_us, to_us)
                - cast(
                    round(
                        cast(least(updated_us, to_us) - from_us as double)
                        * missed_millionths
                        / 1000000
                    ) as bigint
                )
        end as missed_from_us
    from timed
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
        seen_us,
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
        case
            when is_missed_run or usual_us is not null then 'usual_length' else evidence
        end
            as evidence,
        before_sweep_id as from_sweep_id,
        sweep_id as to_sweep_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        flavor,
        seen_us,
        first_us,
        last_us,
        case
            when
                kind in ('started', 'restarted') and run_started_inside
                then least(run_started_us, to_us)
            when kind in ('started', 'restarted') and marks_starts and updated_inside
                then least(updated_us, to_us)
            when kind in ('started', 'restarted') then to_us
            else from_us
        end as min_from_us,
        case when kind in ('unbroken', 'started', 'restarted') then to_us else from_us end
            as min_to_us,
        case
            when kind = 'started' then least(coalesce(from_us + usual_us, turn_us), to_us)
            when is_missed_run then least(missed_from_us, missed_to_us)
            else from_us
        end as from_us,
        case
            when kind = 'stopped' then stopped_us
            when kind in ('unbroken', 'started', 'restarted') then to_us
            when is_missed_run then missed_to_us
            else from_us
        end as to_us,
        -- An earlier run can have come before a start, unless it had left a mark.
        case
            when
                kind = 'started'
                and run_started_inside
                and marks_restarts
                and ended_max_us = from_us
                then least(run_started_us, to_us)
            else from_us
        end as max_from_us,
        case
            when kind in ('unbroken', 'started', 'restarted') then to_us
            else ended_max_us
        end as max_to_us
    from estimated
),

owned as (
    select
        calendar.usage_date,
        intervals.*
    from intervals
    inner join calendar
        on
        intervals.seen_us >= calendar.day_from_us
        and intervals.seen_us < calendar.day_to_us
)

select
    usage_date,
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
from owned
