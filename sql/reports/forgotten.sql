-- Which instances have been running for longer than a number of hours?
-- Grain: one row per running instance, the longest first. The number is that of
-- `--hours`, else 24. One that ran already when it was first seen runs for at least as
-- long as it says. What it costs a day is what its last day of use was billed by.
with charged as (
    select
        project_id,
        instance_id,
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
            partition by project_id, instance_id
            order by usage_date desc, quantity desc nulls last, sku nulls last
        ) as age
    from cost_daily
    where charge = 'compute'
),

latest as (
    select *
    from charged
    where age = 1
),

numbered as (
    select
        *,
        row_number() over (
            partition by project_id, instance_id order by session_number desc
        ) as age
    from sessions
),

running as (
    select
        project_id,
        instance_id,
        started_us,
        cast(
            cast(round((ended_us - started_us) * 25 / 9) as bigint) * 0.0000000001
            as decimal(20, 10)
        ) as running_hours,
        is_left_censored
    from numbered
    where age = 1 and is_right_censored
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
