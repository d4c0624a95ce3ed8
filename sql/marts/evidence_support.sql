-- On which days may updated_at bound a stop or a start: had there been enough, each with its mark?
-- Grain: one row per project, scope and UTC day with evidence, and the day after; counts are of all
-- days up to it.
with days as (
    select project_id, scope, day_number from evidence_record
    union
    select project_id, scope, day_number + 1 as day_number from evidence_record
),

summed as (
    select
        days.project_id,
        days.scope,
        days.day_number,
        cast(sum(record.stop_count) as bigint) as stop_count,
        cast(sum(record.updated_stop_count) as bigint) as updated_stop_count,
        cast(sum(record.start_count) as bigint) as start_count,
        cast(sum(record.updated_start_count) as bigint) as updated_start_count
    from days
    inner join evidence_record as record
        on
            days.project_id = record.project_id
            and days.scope = record.scope
            and record.day_number <= days.day_number
    group by days.project_id, days.scope, days.day_number
)

select
    *,
    stop_count >= 20 and stop_count = updated_stop_count as bounds_stops,
    start_count >= 20 and start_count = updated_start_count as bounds_starts
from summed
