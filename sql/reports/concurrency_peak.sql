-- How many instances and accelerators ran at once, at most and on average?
-- Grain: one row per project and day of the billing time zone on which anything ran.
-- Accelerators are those of flavors that tell them. When a run began and ended is an
-- estimate, and so is a peak.
with hours as (
    select distinct
        project_id,
        usage_date,
        hour_from_us
    from usage_hourly
    where usage_date >= $from and usage_date < $to
),

held as (
    select
        project_id,
        instance_id,
        flavor,
        hour_from_us,
        max(coalesce(accelerator_count, 0)) as accelerator_count
    from usage_hourly
    where usage_date >= $from and usage_date < $to
    group by project_id, instance_id, flavor, hour_from_us
),

spans as (
    select
        project_id,
        usage_date,
        min(hour_from_us) as day_from_us,
        max(hour_from_us) + 3600000000 as day_to_us
    from hours
    group by project_id, usage_date
),

ran as (
    select
        stretches.project_id,
        stretches.usage_date,
        stretches.instance_id,
        stretches.flavor,
        stretches.from_us,
        stretches.to_us,
        coalesce(
            stretches.from_us >= spans.day_from_us
            and stretches.to_us <= spans.day_to_us,
            false
        ) as is_within
    from stretches
    left join spans
        on
        stretches.project_id = spans.project_id
        and stretches.usage_date = spans.usage_date
    where
        stretches.to_us > stretches.from_us
        and stretches.from_us < $to_us
        and stretches.to_us > $from_us
),

-- The hours of the day that a run is of are found by the day; few runs lie on others.
pieces as (
    select
        hours.project_id,
        hours.usage_date,
        hours.hour_from_us,
        ran.instance_id,
        ran.flavor,
        greatest(ran.from_us, hours.hour_from_us) as from_us,
        least(ran.to_us, hours.hour_from_us + 3600000000) as to_us
    from ran
    inner join hours
        on
        ran.project_id = hours.project_id
        and ran.usage_date = hours.usage_date
        and ran.to_us > hours.hour_from_us
        and ran.from_us < hours.hour_from_us + 3600000000
    union all
    select
        hours.project_id,
        hours.usage_date,
        hours.hour_from_us,
        ran.instance_id,
        ran.flavor,
        greatest(ran.from_us, hours.hour_from_us) as from_us,
        least(ran.to_us, hours.hour_from_us + 3600000000) as to_us
    from ran
    inner join hours
        on
        ran.project_id = hours.project_id
        and ran.usage_date <> hours.usage_date
        and ran.to_us > hours.hour_from_us
        and ran.from_us < hours.hour_from_us + 3600000000
    where not ran.is_within
),

weighed as (
    select
        pieces.project_id,
        pieces.usage_date,
        pieces.hour_from_us,
        pieces.from_us,
        pieces.to_us,
        coalesce(held.accelerator_count, 0) as accelerator_count
    from pieces
    left join held
        on
        pieces.project_id = held.project_id
        and pieces.instance_id = held.instance_id
        and pieces.flavor is not distinct from held.flavor
        and pieces.hour_from_us = held.hour_from_us
),

turns as (
    select
        project_id,
        usage_date,
        hour_from_us,
        from_us as at_us,
        1 as instance_change,
        accelerator_count as accelerator_change
    from weighed
    union all
    select
        project_id,
        usage_date,
        hour_from_us,
        to_us as at_us,
        -1 as instance_change,
        -accelerator_count as accelerator_change
    from weighed
),

moments as (
    select
        project_id,
        usage_date,
        hour_from_us,
        at_us,
        sum(instance_change) as instance_change,
        sum(accelerator_change) as accelerator_change
    from turns
    group by project_id, usage_date, hour_from_us, at_us
),

running as (
    select
        project_id,
        usage_date,
        at_us,
        sum(instance_change) over hour_so_far as instance_count,
        sum(accelerator_change) over hour_so_far as accelerator_count
    from moments
    window hour_so_far as (
        partition by project_id, hour_from_us
        order by at_us
        rows between unbounded preceding and current row
    )
),

ranked as (
    select
        *,
        row_number() over (
            partition by project_id, usage_date order by instance_count desc, at_us
        ) as place
    from running
),

peaks as (
    select
        project_id,
        usage_date,
        cast(max(instance_count) as bigint) as peak_instance_count,
        cast(max(accelerator_count) as bigint) as peak_accelerator_count,
        max(case when place = 1 then at_us end) as peak_us
    from ranked
    group by project_id, usage_date
),

used as (
    select
        project_id,
        usage_date,
        sum(running_us) as running_us,
        sum(running_us * accelerator_count) as accelerator_us,
        count(distinct case when running_us > 0 then instance_id end) as instance_count
    from usage_daily
    where usage_date >= $from and usage_date < $to
    group by project_id, usage_date
)

select
    peaks.project_id,
    peaks.usage_date,
    used.instance_count,
    peaks.peak_instance_count,
    peaks.peak_accelerator_count,
    six_decimals(
        cast(used.running_us as double)
        / nullif(cast(coverage.metered_seconds as double) * 1000000, 0)
    ) as mean_running_instances,
    six_decimals(
        cast(coalesce(used.accelerator_us, 0) as double)
        / nullif(cast(coverage.metered_seconds as double) * 1000000, 0)
    ) as mean_running_accelerators,
    to_timestamp(cast(floor(peaks.peak_us / 1000000) as bigint)) as peak_at
from peaks
left join used
    on peaks.project_id = used.project_id and peaks.usage_date = used.usage_date
left join coverage
    on peaks.project_id = coverage.project_id and peaks.usage_date = coverage.usage_date
order by peaks.usage_date, peaks.project_id
