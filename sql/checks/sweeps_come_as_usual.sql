-- Was there a complete sweep at least every four usual intervals?
-- Grain: one row per project and day with a longer gap.
-- Severity: warn
select
    usage_date,
    project_id,
    complete_sweep_count,
    expected_sweep_count,
    largest_gap_seconds
from coverage
where largest_gap_seconds * expected_sweep_count > 4 * metered_seconds
order by usage_date, project_id
