-- What changed between two sightings of an instance that follow each other, and when?
-- Grain: one row per sighting that had a sighting or a complete sweep before it. The
-- change came in (from_us, to_us], by the best evidence at turn_us.
with paired as (
    select
        *,
        lag(seen_us) over life as before_seen_us,
        lag(sweep_id) over life as before_sweep_id,
        lag(status) over life as before_status,
        lag(is_running) over life as before_is_running,
        lag(updated_us) over life as before_updated_us,
        lag(stop_us) over life as before_stop_us,
        lag(run_started_us) over life as before_run_started_us,
        lag(auto_stop_us) over life as before_auto_stop_us,
        lag(name) over life as before_name,
        lag(description) over life as before_description,
        lag(flavor) over life as before_flavor,
        lead(updated_us) over life as next_updated_us,
        lead(seen_us) over life as next_seen_us
    from sightings
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

bounded as (
    select
        *,
        coalesce(before_is_running, false) as was_running,
        greatest(
            coalesce(before_seen_us, previous_us),
            coalesce(previous_us, before_seen_us),
            case when before_seen_us is null then coalesce(created_us, 0) else 0 end
        ) as from_us,
        seen_us as to_us
    from paired
    where before_seen_us is not null or previous_us is not null
),

witnessed as (
    select
        *,
        coalesce(updated_us > from_us and updated_us < to_us + 1000000, false)
            as updated_inside,
        coalesce(run_started_us > from_us and run_started_us < to_us + 1000000, false)
            as run_started_inside,
        coalesce(before_stop_us > from_us and before_stop_us < to_us + 1000000, false)
            as stop_inside,
        -- Whether a run that was to stop by itself can have come and gone.
        coalesce(to_us - from_us >= least(auto_stop_us, before_auto_stop_us), false)
            as fits_automatic_stop,
        before_seen_us is not null
        and (
            name is distinct from before_name
            or description is distinct from before_description
            or flavor is distinct from before_flavor
            or auto_stop_us is distinct from before_auto_stop_us
            or stop_us is distinct from before_stop_us
        ) as is_otherwise_changed,
        -- Seconds of sightings are cut off, and updated_at may be a little late: then the
        -- next sighting shows it. One that is hours later does not count, so that a day
        -- rests on little beyond its end.
        coalesce(
            next_updated_us > from_us
            and next_updated_us <= to_us + 5000000
            and next_updated_us is distinct from updated_us
            and next_seen_us <= to_us + 21600000000,
            false
        ) as updated_soon,
        case
            when was_running and is_running
                then case
                        -- The start of the run tells more than updated_at.
                        when
                            abs(run_started_us - before_run_started_us) <= 2000000
                            then 'unbroken'
                        when run_started_us <= from_us then 'unbroken'
                        when run_started_us <> before_run_started_us then 'restarted'
                        when
                            coalesce(updated_us, 0) = coalesce(before_updated_us, 0)
                            then 'unbroken'
                        else 'restarted'
                    end
            when is_running then 'started'
            when was_running then 'stopped'
            when before_status in ('DELETED', 'DELETING', 'CREATE_FAILED') then 'ended'
            when status in ('CREATE_QUEUING', 'CREATING', 'CREATE_FAILED') then 'begun'
            when before_seen_us is null then 'appeared'
            when status <> before_status then 'turned'
            when updated_us <> before_updated_us then 'touched'
            else 'same'
        end as kind
    from bounded
    where from_us < seen_us
),

judged as (
    select
        *,
        case
            when kind in ('unbroken', 'same', 'touched') then 'none'
            when
                kind in ('started', 'restarted') and run_started_inside
                then 'run_started_at'
            -- A stop soon before updated_at, at the time announced for it, is that one.
            when
                kind = 'stopped'
                and stop_inside
                and (
                    not updated_inside
                    or updated_us between before_stop_us and before_stop_us + 300000000
                )
                then 'stop_at'
            when updated_inside then 'updated_at'
            else 'midpoint'
        end as evidence
    from witnessed
)

select
    *,
    least(
        to_us,
        case evidence
            when 'run_started_at' then run_started_us
            when 'updated_at' then updated_us
            when 'stop_at' then before_stop_us
            else from_us + cast(round((to_us - from_us) / 2) as bigint)
        end
    ) as turn_us
from judged
