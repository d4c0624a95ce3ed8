-- How long do instances wait in a queue, and who still waits?
-- Grain: one row per project and flavor; null is a queue of no flavor. Waits are those
-- that ended in the period; what began to wait by then and still does counts apart, with
-- its time so far.
with waits as (
    select
        project_id,
        flavor,
        case when not is_right_censored then waited_us end as ended_us,
        case when is_right_censored then waited_us end as waiting_us
    from queue_waits
    where
        until_us >= $from_us
        and (until_us < $to_us or (is_right_censored and began_us < $to_us))
),

measured as (
    select
        project_id,
        flavor,
        count(ended_us) as wait_count,
        count(waiting_us) as waiting_count,
        percentile_cont(0.5) within group (order by ended_us) as p50_us,
        percentile_cont(0.9) within group (order by ended_us) as p90_us,
        percentile_cont(0.99) within group (order by ended_us) as p99_us,
        cast(max(ended_us) as double) as longest_us,
        cast(max(waiting_us) as double) as waiting_us
    from waits
    group by project_id, flavor
)

select
    project_id,
    flavor,
    wait_count,
    six_decimals(p50_us / 60000000) as waited_minutes_p50,
    six_decimals(p90_us / 60000000) as waited_minutes_p90,
    six_decimals(p99_us / 60000000) as waited_minutes_p99,
    six_decimals(longest_us / 60000000) as waited_minutes_max,
    waiting_count,
    six_decimals(waiting_us / 60000000) as waiting_minutes_max
from measured
order by wait_count desc, waiting_count desc, project_id, flavor nulls last
