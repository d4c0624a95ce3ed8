-- How long do instances take to start, and how often do they fail to?
-- Grain: one row per project and flavor; null is an instance without a flavor. Latencies
-- are of the starts that a sweep saw under way: the longer ones, where sweeps are far
-- apart. When each began and ended is an estimate.
with ordered as (
    -- Of states, only what began in the period or later; a sweep may see it begin as it
    -- starts itself.
    select
        *,
        coalesce(turn_us, seen_us) as started_us,
        turn_us is null as is_left_censored,
        lead(status) over life as status_after,
        lead(coalesce(turn_us, seen_us)) over life as after_us,
        lead(seen_us) over life is null as is_right_censored
    from state_starts
    where seen_us >= $from_us - 86400000000
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

starts as (
    select
        project_id,
        flavor,
        case
            when status in ('CREATING', 'STARTING') and status_after = 'RUNNING'
                then after_us - started_us
        end as latency_us,
        status = 'RUNNING'
        and not is_left_censored
        and coalesce(before_status, '') not in ('RUNNING', 'STOPPING') as is_start,
        status in ('CREATE_FAILED', 'START_FAILED')
        and not is_left_censored as is_failure,
        status in ('CREATING', 'STARTING') and is_right_censored as is_under_way
    from ordered
    where started_us >= $from_us and started_us < $to_us
),

counted as (
    select
        project_id,
        flavor,
        cast(count_if(is_start) as bigint) as start_count,
        cast(count_if(is_failure) as bigint) as failure_count,
        cast(count_if(is_under_way) as bigint) as under_way_count,
        count(latency_us) as seen_starting_count,
        percentile_cont(0.5) within group (order by latency_us) as p50_us,
        percentile_cont(0.9) within group (order by latency_us) as p90_us,
        percentile_cont(0.99) within group (order by latency_us) as p99_us
    from starts
    group by project_id, flavor
)

select
    project_id,
    flavor,
    start_count,
    failure_count,
    six_decimals(
        100 * cast(failure_count as double) / nullif(start_count + failure_count, 0)
    ) as failure_percent,
    under_way_count,
    seen_starting_count,
    cast(p50_us / 1000000 as decimal(18, 3)) as latency_seconds_p50,
    cast(p90_us / 1000000 as decimal(18, 3)) as latency_seconds_p90,
    cast(p99_us / 1000000 as decimal(18, 3)) as latency_seconds_p99
from counted
where start_count + failure_count + under_way_count + seen_starting_count > 0
order by start_count + failure_count desc, project_id, flavor nulls last
