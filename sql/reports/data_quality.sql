-- How well is each day known: sweeps, gaps, bounds, evidence, and what could not be read?
-- Grain: one row per project and day of the billing time zone on which anything was
-- metered. What could not be used, and the fields that the reference does not have, are
-- those of the UTC day.
with quarantined as (
    select
        project_id,
        observed_date,
        count(*) as quarantined_count
    from (
        select distinct
            project_id,
            observed_date,
            instance_id,
            field,
            fingerprint
        from quarantine_history
        where change not in ('gone', 'unlisted')
    ) as seen
    group by project_id, observed_date
),

unknown as (
    select
        project_id,
        observed_date,
        count(distinct path) as unknown_field_count
    from extra_history
    where change not in ('gone', 'unlisted')
    group by project_id, observed_date
)

select
    coverage.project_id,
    coverage.usage_date,
    coverage.complete_sweep_count,
    coverage.expected_sweep_count,
    six_decimals(
        100
        * cast(
            least(coverage.complete_sweep_count, coverage.expected_sweep_count) as double
        )
        / nullif(coverage.expected_sweep_count, 0)
    ) as complete_percent,
    coverage.incomplete_sweep_count,
    coverage.failed_sweep_count,
    six_decimals(cast(coverage.metered_seconds as double) / 3600)
        as metered_hours,
    six_decimals(cast(coverage.largest_gap_seconds as double) / 60)
        as largest_gap_minutes,
    six_decimals(cast(coverage.running_us as double) / 3600000000)
        as running_hours,
    six_decimals(
        100
        * cast(coverage.running_us_max - coverage.running_us_min as double)
        / nullif(coverage.running_us, 0)
    ) as bounds_percent,
    six_decimals(
        100 * cast(coverage.midpoint_us as double) / nullif(coverage.running_us, 0)
    ) as midpoint_percent,
    coverage.stop_count,
    six_decimals(
        100 * cast(coverage.updated_stop_count as double) / nullif(coverage.stop_count, 0)
    ) as updated_stop_percent,
    coverage.start_count,
    six_decimals(
        100
        * cast(coverage.updated_start_count as double)
        / nullif(coverage.start_count, 0)
    ) as updated_start_percent,
    coalesce(quarantined.quarantined_count, 0) as quarantined_count,
    coalesce(unknown.unknown_field_count, 0) as unknown_field_count
from coverage
left join quarantined
    on
    coverage.project_id = quarantined.project_id
    and coverage.usage_date = quarantined.observed_date
left join unknown
    on
    coverage.project_id = unknown.project_id
    and coverage.usage_date = unknown.observed_date
where coverage.usage_date >= $from and coverage.usage_date < $to
order by coverage.usage_date, coverage.project_id
