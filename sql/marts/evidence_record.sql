-- What did this day show of what updated_at tells, and of how long things usually take?
-- Grain: one row per project, scope and UTC day on which anything changed.
with judged as (
    select
        *,
        cast(floor(seen_us / 86400000000) as bigint) as day_number,
        kind = 'stopped' and status in ('STOPPING', 'STOPPED') as is_stop,
        kind = 'started' and run_started_inside as is_start,
        kind = 'restarted' and run_started_inside and not stop_inside as is_restart,
        updated_inside or updated_soon as is_updated,
        kind = 'unbroken' and abs(run_started_us - before_run_started_us) <= 2000000
            as is_steady,
        -- Not where it is only the one before, written late.
        updated_inside and updated_us > before_seen_us + 5000000 as is_touched,
        to_us - from_us as gap_us,
        turn_us - before_run_started_us as length_us
    from transitions
),

measured as (
    select
        *,
        is_stop
        and status = 'STOPPED'
        and stop_inside
        and evidence = 'stop_at'
        and updated_inside
            as tells_stopping,
        is_start
        and before_status in ('CREATING', 'STARTING', 'RESTARTING') as tells_starting,
        is_start and before_seen_us is null as tells_creation,
        coalesce(
            is_stop
            and evidence in ('updated_at', 'stop_at')
            and length_us > 1000000
            and length_us < gap_us,
            false
        ) as is_short
    from judged
)

select
    project_id,
    scope,
    day_number,
    cast(count_if(is_stop) as bigint) as stop_count,
    cast(count_if(is_stop and is_updated) as bigint) as updated_stop_count,
    cast(count_if(is_stop and stop_inside) as bigint) as announced_stop_count,
    cast(count_if(is_stop and stop_inside and is_updated) as bigint)
        as updated_announced_stop_count,
    cast(count_if(is_start) as bigint) as start_count,
    cast(count_if(is_start and updated_inside and updated_us >= run_started_us) as bigint)
        as updated_start_count,
    cast(count_if(is_restart) as bigint) as restart_count,
    cast(count_if(is_restart and is_updated) as bigint) as updated_restart_count,
    cast(count_if(is_steady) as bigint) as steady_count,
    cast(count_if(is_steady and is_touched and not is_otherwise_changed) as bigint)
        as unexplained_count,
    cast(count_if(tells_stopping) as bigint) as stopping_count,
    cast(
        sum(
            case when tells_stopping then updated_us - before_stop_us else 0 end
        ) as bigint
    ) as stopping_us,
    cast(count_if(tells_starting) as bigint) as starting_count,
    cast(sum(case when tells_starting then run_started_us - from_us else 0 end) as bigint)
        as starting_us,
    cast(count_if(tells_creation) as bigint) as creation_count,
    cast(sum(case when tells_creation then run_started_us - from_us else 0 end) as bigint)
        as creation_us,
    -- With sweeps a gap apart a shorter run is seen in length cases of gap, and missed in
    -- the others: so the ones seen tell of those missed.
    cast(count_if(is_short) as bigint) as short_count,
    cast(sum(case when is_short then gap_us - length_us else 0 end) as bigint)
        as missed_us,
    cast(
        sum(
            case
                when is_short
                    then
                        cast(
                            round(
                                (gap_us - length_us)
                                * (
                                    cast(gap_us + length_us as double)
                                    / cast(2 * length_us as double)
                                )
                            ) as bigint
                        )
                else 0
            end
        ) as bigint
    ) as missed_room_us
from measured
group by project_id, scope, day_number
