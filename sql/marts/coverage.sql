-- How well was each day seen: sweeps made and expected, the largest gap, what rests on
-- midpoints?
-- Grain: one row per project and day of the billing time zone on which anything was
-- metered.
with gaps as (
    select
        project_id,
        previous_us as gap_from_us,
        from_us as gap_to_us
    from sweep_steps
    where is_complete and previous_us is not null
),

metered as (
    select
        calendar.usage_date,
        calendar.day_from_us,
        calendar.day_to_us,
        spans.project_id,
        greatest(calendar.day_from_us, spans.first_us) as metered_from_us,
        least(calendar.day_to_us, spans.last_us) as metered_to_us
    from (
        select
            project_id,
            min(first_us) as first_us,
            max(last_us) as last_us
        from sweep_steps
        group by project_id
    ) as spans
    inner join calendar
        on
        spans.last_us > calendar.day_from_us
        and spans.first_us < calendar.day_to_us
),

widest as (
    select
        metered.project_id,
        metered.usage_date,
        max(gaps.gap_to_us - gaps.gap_from_us) as largest_gap_us
    from metered
    inner join gaps
        on
        metered.project_id = gaps.project_id
        and metered.day_from_us < gaps.gap_to_us
        and metered.day_to_us > gaps.gap_from_us
    group by metered.project_id, metered.usage_date
),

usual as (
    -- Of the gaps that ended in the week up to the end of the day.
    select
        metered.project_id,
        metered.usage_date,
        median(gaps.gap_to_us - gaps.gap_from_us) as interval_us
    from metered
    inner join gaps
        on
        metered.project_id = gaps.project_id
        and metered.day_to_us > gaps.gap_to_us
        and metered.day_to_us - 604800000000 <= gaps.gap_to_us
    group by metered.project_id, metered.usage_date
),

swept as (
    -- One that got no answer is known by the local clock alone.
    select
        project_id,
        verdict,
        unix_micros(coalesce(observed_from, observed_at)) as at_us
    from sweeps
),

made as (
    select
        metered.project_id,
        metered.usage_date,
        cast(count_if(swept.verdict = 'complete') as bigint) as complete_count,
        cast(count_if(swept.verdict = 'incomplete') as bigint) as incomplete_count,
        cast(count_if(swept.verdict = 'failed') as bigint) as failed_count
    from metered
    inner join swept
        on
        metered.project_id = swept.project_id
        and metered.day_from_us <= swept.at_us
        and metered.day_to_us > swept.at_us
    group by metered.project_id, metered.usage_date
),

proven as (
    select
        metered.project_id,
        metered.usage_date,
        max(support.stop_count) as stop_count,
        max(support.updated_stop_count) as updated_stop_count,
        max(support.announced_stop_count) as announced_stop_count,
        max(support.updated_announced_stop_count) as updated_announced_stop_count,
        max(support.start_count) as start_count,
        max(support.updated_start_count) as updated_start_count
    from metered
    inner join evidence_support as support
        on
        metered.project_id = support.project_id
        and support.day_number <= floor((metered.metered_to_us - 1) / 86400000000)
    group by metered.project_id, metered.usage_date
)

select
    metered.usage_date,
    metered.project_id,
    coalesce(made.complete_count, 0) as complete_sweep_count,
    coalesce(made.incomplete_count, 0) as incomplete_sweep_count,
    coalesce(made.failed_count, 0) as failed_sweep_count,
    cast(
        round(
            (metered.metered_to_us - metered.metered_from_us)
            / nullif(usual.interval_us, 0)
        )
        as bigint
    ) as expected_sweep_count,
    cast(widest.largest_gap_us as decimal(20, 0)) * 0.000001 as largest_gap_seconds,
    cast(metered.metered_to_us - metered.metered_from_us as decimal(20, 0)) * 0.000001
        as metered_seconds,
    coalesce(used.running_us_min, 0) as running_us_min,
    coalesce(used.running_us, 0) as running_us,
    coalesce(used.running_us_max, 0) as running_us_max,
    coalesce(used.midpoint_us, 0) as midpoint_us,
    proven.stop_count,
    proven.updated_stop_count,
    proven.announced_stop_count,
    proven.updated_announced_stop_count,
    proven.start_count,
    proven.updated_start_count
from metered
left join usual
    on metered.project_id = usual.project_id and metered.usage_date = usual.usage_date
left join widest
    on metered.project_id = widest.project_id and metered.usage_date = widest.usage_date
left join made
    on metered.project_id = made.project_id and metered.usage_date = made.usage_date
left join usage_totals as used
    on metered.project_id = used.project_id and metered.usage_date = used.usage_date
left join proven
    on metered.project_id = proven.project_id and metered.usage_date = proven.usage_date
