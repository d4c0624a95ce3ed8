-- Which instances have been running for longer than a number of hours?
-- Grain: one row per running instance, the longest first. The number is that of
-- `--hours`, else 24. One that ran already when it was first seen runs for at least as
-- long as it says. What it costs a day is what its last day of use was billed by.
with last_days as (
    select
        project_id,
        instance_id,
        max(usage_date) as usage_date
    from cost_daily
    where charge = 'compute'
    group by project_id, instance_id
),

charged as (
    select
        cost_daily.project_id,
        cost_daily.instance_id,
        currency,
        case
            when not is_priced then null
            when is_waived then cast(0 as decimal(28, 12))
            when billing_flavor is null then cast(24 * unit_price as decimal(28, 12))
            else cast(
                    24
                    * cast(billing_ratio as decimal(6, 0))
                    * unit_price as decimal(28, 12)
                )
        end as billed_cost_per_day,
        row_number() over (
            partition by cost_daily.project_id, cost_daily.instance_id
            order by quantity desc nulls last, sku nulls last
        ) as age
    from cost_daily
    inner join last_days
        on
        cost_daily.project_id = last_days.project_id
        and cost_daily.instance_id = last_days.instance_id
        and cost_daily.usage_date = last_days.usage_date
    where charge = 'compute'
),

latest as (
    select *
    from charged
    where age = 1
),

marked as (
    select
        *,
        kind in ('started', 'restarted', 'unseen') as starts,
        kind in ('stopped', 'unseen') as ends
    from stretches
    where kind <> 'unseen' or to_us > from_us
),

-- A session that is open began at the last mark of a start or an end, or after it, so
-- that no more of a life is put in order than what came then.
last_marks as (
    select
        project_id,
        instance_id,
        max(max_from_us) filter (where starts or ends) as mark_us
    from marked
    group by project_id, instance_id
),

ordered as (
    select
        marked.*,
        row_number() over life as place,
        case
            when starts or lag(ends) over life then 1
            when lag(to_us) over life is null then 1
            when lag(to_us) over life < from_us then 1
            else 0
        end as is_first
    from marked
    inner join last_marks
        on
        marked.project_id = last_marks.project_id
        and marked.instance_id = last_marks.instance_id
    where mark_us is null or max_from_us >= mark_us
    window life as (
        partition by marked.project_id, marked.instance_id
        order by max_from_us, max_to_us, from_sweep_id nulls first, to_sweep_id
    )
),

latest_sessions as (
    select
        *,
        max(case when is_first = 1 then place end) over (
            partition by project_id, instance_id
        ) as first_place
    from ordered
),

running as (
    select
        project_id,
        instance_id,
        min(from_us) as started_us,
        cast(
            cast(round((max(to_us) - min(from_us)) * 25 / 9) as bigint) * 0.0000000001
            as decimal(20, 10)
        ) as running_hours,
        not bool_or(starts) as is_left_censored
    from latest_sessions
    where place >= first_place
    group by project_id, instance_id
    having not bool_or(ends)
)

select
    instances.project_id,
    instances.instance_id,
    instances.user_id,
    instances.pool_id,
    instances.name,
    users.user_name,
    instances.flavor,
    latest.currency,
    running.running_hours,
    latest.billed_cost_per_day,
    instances.auto_stop_enabled,
    running.is_left_censored as ran_before_first_sweep,
    to_timestamp(cast(floor(running.started_us / 1000000) as bigint)) as running_since_at,
    instances.stop_at,
    instances.created_at
from instances
inner join running
    on
    instances.project_id = running.project_id
    and instances.instance_id = running.instance_id
left join latest
    on
    instances.project_id = latest.project_id
    and instances.instance_id = latest.instance_id
left join users
    on instances.project_id = users.project_id and instances.user_id = users.user_id
where instances.status = 'RUNNING' and running.running_hours > $hours
order by
    running.running_hours desc,
    instances.project_id,
    instances.instance_id
