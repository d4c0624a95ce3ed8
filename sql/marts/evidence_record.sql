-- How often did updated_at move with a stop, and with a start whose moment is known?
-- Grain: one row per project, scope and UTC day on which any was observed.
with judged as (
    select
        project_id,
        scope,
        cast(floor(seen_us / 86400000000) as bigint) as day_number,
        kind = 'stopped' and status <> 'ABSENT' as is_stop,
        kind = 'started' and run_started_inside as is_start,
        updated_inside or updated_soon as is_updated,
        updated_inside and updated_us >= run_started_us as is_updated_since
    from transitions
)

select
    project_id,
    scope,
    day_number,
    cast(count_if(is_stop) as bigint) as stop_count,
    cast(count_if(is_stop and is_updated) as bigint) as updated_stop_count,
    cast(count_if(is_start) as bigint) as start_count,
    cast(count_if(is_start and is_updated_since) as bigint) as updated_start_count
from judged
where is_stop or is_start
group by project_id, scope, day_number
