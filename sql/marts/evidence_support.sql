-- What may be taken as known on a day, by all that was seen up to its end?
-- Grain: one row per project, scope and UTC day on which anything changed. A bound needs
-- twenty cases and no exception; a usual length needs twenty cases. It is in whole
-- seconds or thousandths, so that a sweep that comes late seldom moves it.
with summed as (
    select
        project_id,
        scope,
        day_number,
        cast(sum(stop_count) over past as bigint) as stop_count,
        cast(sum(updated_stop_count) over past as bigint) as updated_stop_count,
        cast(sum(announced_stop_count) over past as bigint) as announced_stop_count,
        cast(sum(updated_announced_stop_count) over past as bigint)
            as updated_announced_stop_count,
        cast(sum(start_count) over past as bigint) as start_count,
        cast(sum(updated_start_count) over past as bigint) as updated_start_count,
        cast(sum(restart_count) over past as bigint) as restart_count,
        cast(sum(updated_restart_count) over past as bigint) as updated_restart_count,
        cast(sum(steady_count) over past as bigint) as steady_count,
        cast(sum(unexplained_count) over past as bigint) as unexplained_count,
        cast(sum(stopping_count) over past as bigint) as stopping_count,
        cast(sum(stopping_us) over past as bigint) as stopping_us,
        cast(sum(starting_count) over past as bigint) as starting_count,
        cast(sum(starting_us) over past as bigint) as starting_us,
        cast(sum(creation_count) over past as bigint) as creation_count,
        cast(sum(creation_us) over past as bigint) as creation_us,
        cast(sum(short_count) over past as bigint) as short_count,
        cast(sum(missed_us) over past as bigint) as missed_us,
        cast(sum(missed_room_us) over past as bigint) as missed_room_us
    from evidence_record
    window past as (
        partition by project_id, scope
        order by day_number
        rows between unbounded preceding and current row
    )
),

judged as (
    select
        *,
        stop_count - announced_stop_count as unannounced_count,
        updated_stop_count - updated_announced_stop_count as updated_unannounced_count
    from summed
)

select
    project_id,
    scope,
    day_number,
    stop_count,
    updated_stop_count,
    announced_stop_count,
    updated_announced_stop_count,
    start_count,
    updated_start_count,
    -- Whether every stop that was not announced moved updated_at, and every one that was.
    unannounced_count >= 20 and unannounced_count = updated_unannounced_count
        as marks_stops,
    announced_stop_count >= 20 and announced_stop_count = updated_announced_stop_count
        as marks_announced_stops,
    start_count >= 20 and start_count = updated_start_count as marks_starts,
    restart_count >= 20 and restart_count = updated_restart_count as marks_restarts,
    steady_count >= 20 and unexplained_count * 100 <= steady_count as moves_for_a_reason,
    case
        when
            stopping_count >= 20 and announced_stop_count = updated_announced_stop_count
            then
                1000000 * cast(
                    round(
                        stopping_us / (1000000 * cast(stopping_count as double))
                    ) as bigint
                )
    end as usual_stopping_us,
    case
        when starting_count >= 20
            then
                1000000 * cast(
                    round(
                        starting_us / (1000000 * cast(starting_count as double))
                    ) as bigint
                )
    end as usual_starting_us,
    case
        when creation_count >= 20
            then
                1000000 * cast(
                    round(
                        creation_us / (1000000 * cast(creation_count as double))
                    ) as bigint
                )
    end as usual_creation_us,
    case
        when short_count >= 20
            then
                1000 * cast(
                    round(1000 * (missed_us / cast(missed_room_us as double))) as bigint
                )
    end as missed_millionths
from judged
