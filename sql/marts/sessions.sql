-- From when to when did an instance run, start to stop, as far as sweeps saw it?
-- Grain: one row per instance and session. Runs between two sweeps are there only where
-- they left a mark, so counts are of the sessions observed. A change of flavor does not
-- end a session.
with ordered as (
    select
        *,
        row_number() over life as place,
        case
            when kind in ('started', 'restarted', 'unseen') then 1
            when lag(kind) over life in ('stopped', 'unseen') then 1
            when lag(to_us) over life is null then 1
            when lag(to_us) over life < from_us then 1
            else 0
        end as is_first
    from stretches
    where kind <> 'unseen' or to_us > from_us
    window life as (
        partition by project_id, instance_id
        order by max_from_us, max_to_us, from_sweep_id nulls first, to_sweep_id
    )
),

numbered as (
    select
        *,
        sum(is_first) over (
            partition by project_id, instance_id
            order by place
            rows between unbounded preceding and current row
        ) as session_number
    from ordered
),

summed as (
    select
        project_id,
        instance_id,
        cast(session_number as bigint) as session_number,
        max_by(user_id, place) filter (where user_id is not null) as user_id,
        max_by(pool_id, place) filter (where pool_id is not null) as pool_id,
        max_by(workspace_id, place) filter (where workspace_id is not null)
            as workspace_id,
        max_by(ai_project_id, place) filter (where ai_project_id is not null)
            as ai_project_id,
        max_by(flavor, place) filter (where flavor is not null) as flavor,
        min(from_us) as started_us,
        max(to_us) as ended_us,
        cast(sum(min_to_us - min_from_us) as bigint) as running_us_min,
        cast(sum(to_us - from_us) as bigint) as running_us,
        cast(sum(max_to_us - max_from_us) as bigint) as running_us_max,
        coalesce(
            max(case when kind in ('started', 'restarted', 'unseen') then evidence end),
            'first sweep'
        ) as start_evidence,
        coalesce(
            max(case when kind in ('stopped', 'unseen') then evidence end),
            'not seen to end'
        ) as end_evidence,
        count_if(kind in ('started', 'restarted', 'unseen')) = 0 as is_left_censored,
        count_if(kind in ('stopped', 'unseen')) = 0 as is_right_censored
    from numbered
    group by project_id, instance_id, session_number
)

select *
from summed
