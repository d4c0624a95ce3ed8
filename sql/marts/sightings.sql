-- What did a sweep see of an instance that it had not seen before?
-- Grain: one row per row of instance_history that tells something. To be away is a
-- status, ABSENT, unless it came back: no id is given twice, so it was only not listed,
-- as if no sweep had been. Nor had one been where it was unread; if it still is, it may
-- have left at any time since.
with meant as (
    -- The notebooks API has its own words: while its image is saved, an instance runs on.
    select
        *,
        case status
            when 'INIT' then 'CREATING'
            when 'SNAPSHOTTING' then 'RUNNING'
            else status
        end as meaning
    from instance_history
),

seen as (
    select
        history.project_id,
        history.instance_id,
        history.sweep_id,
        steps.scope,
        case
            when history.change = 'unread'
                then greatest(
                        unix_micros(history.observed_at),
                        coalesce(steps.last_us, 0)
                    )
            else unix_micros(history.observed_at)
        end as seen_us,
        unix_micros(history.observed_at) as observed_us,
        steps.previous_us,
        steps.first_us,
        steps.last_us,
        history.change in ('gone', 'unlisted', 'unread') as is_away,
        case
            when history.change in ('gone', 'unlisted', 'unread') then 'ABSENT'
            else history.meaning
        end as status,
        billed.status is not null
        and history.change not in ('gone', 'unlisted', 'unread')
            as is_running,
        unix_micros(history.created_at) as created_us,
        unix_micros(history.updated_at) as updated_us,
        unix_micros(history.stop_at) as stop_us,
        unix_micros(history.run_started_at) as run_started_us,
        -- A lease counts from the creation; a run prolongs it by an hour or more.
        case
            when steps.is_leased
                then least(history.auto_stop_seconds * 1000000, 3600000000)
            else history.auto_stop_seconds * 1000000
        end as auto_stop_us,
        history.name,
        history.description,
        history.user_id,
        history.pool_id,
        history.workspace_id,
        history.ai_project_id,
        history.flavor
    from meant as history
    inner join sweep_steps as steps
        on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
    left join billed_statuses as billed
        on history.meaning = billed.status
),

-- Most never were, and need no look at what lies beside their rows.
away as (
    select distinct
        project_id,
        instance_id
    from instance_history
    where change in ('gone', 'unlisted', 'unread')
),

beside as (
    select
        seen.*,
        lead(seen.sweep_id) over life is null as is_last,
        -- Rows in which it was away count with the row that ends them.
        coalesce(
            sum(case when seen.is_away then 0 else 1 end) over (
                partition by seen.project_id, seen.instance_id
                order by seen.observed_us, seen.sweep_id
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as there_count
    from seen
    inner join away
        on seen.project_id = away.project_id and seen.instance_id = away.instance_id
    window life as (
        partition by seen.project_id, seen.instance_id
        order by seen.observed_us, seen.sweep_id
    )
),

known as (
    select
        *,
        min(coalesce(previous_us, 0)) over (
            partition by project_id, instance_id, there_count
        ) as known_us
    from beside
    union all
    select
        seen.*,
        false as is_last,
        0 as there_count,
        coalesce(seen.previous_us, 0) as known_us
    from seen
    left join away
        on seen.project_id = away.project_id and seen.instance_id = away.instance_id
    where away.instance_id is null
)

select
    project_id,
    instance_id,
    sweep_id,
    scope,
    seen_us,
    nullif(known_us, 0) as previous_us,
    first_us,
    last_us,
    status,
    is_running,
    created_us,
    updated_us,
    stop_us,
    run_started_us,
    auto_stop_us,
    name,
    description,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    flavor
from known
where not is_away or is_last
