-- From when to when was there an instance that could have disks, and whose was it?
-- Grain: one row per instance and stretch without a change of hands, whatever its status.
-- Of its three intervals the start is inclusive and the end exclusive; an empty one ends
-- where it starts.
with numbered as (
    select
        *,
        coalesce(status not in ('ABSENT', 'DELETED'), true) as is_there,
        row_number() over life as position,
        lag(seen_us) over life as before_us
    from sightings
    -- Nothing is metered where nothing was ever listed whole.
    where first_us is not null
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

-- An instance that came back had not been deleted, so the last sighting of it decides.
lasting as (
    select
        *,
        coalesce(
            max(case when is_there then position end)
                over (partition by project_id, instance_id),
            0
        ) as last_position,
        before_us is null and created_us is null as is_of_unknown_age,
        case
            when
                before_us is not null
                then greatest(before_us, coalesce(previous_us, before_us))
            when created_us is null then coalesce(previous_us, seen_us)
            else least(seen_us, greatest(created_us, coalesce(previous_us, created_us)))
        end as from_us
    from numbered
),

judged as (
    select
        *,
        position > last_position as is_end,
        -- What could not be created may never have had a disk.
        is_there and coalesce(status <> 'CREATE_FAILED', true) as is_certain
    from lasting
    where position <= last_position + 1
),

beside as (
    select
        *,
        lag(position) over life as earlier_position,
        coalesce(lag(is_certain) over life, true) as was_certain,
        lag(user_id) over life as earlier_user_id,
        lag(pool_id) over life as earlier_pool_id,
        lag(workspace_id) over life as earlier_workspace_id,
        lag(ai_project_id) over life as earlier_ai_project_id
    from judged
    window life as (partition by project_id, instance_id order by position)
),

bounded as (
    select
        *,
        coalesce(
            lead(from_us) over (partition by project_id, instance_id order by position),
            greatest(seen_us, last_us)
        ) as until_us,
        case
            when updated_us > from_us and updated_us < seen_us then updated_us
            else from_us + cast(round((seen_us - from_us) / 2) as bigint)
        end as turn_us
    from beside
    where
        is_end
        or earlier_position is null
        or is_certain <> was_certain
        or user_id is distinct from earlier_user_id
        or pool_id is distinct from earlier_pool_id
        or workspace_id is distinct from earlier_workspace_id
        or ai_project_id is distinct from earlier_ai_project_id
),

intervals as (
    select
        *,
        case
            when is_end or not is_certain then from_us
            when is_of_unknown_age or not was_certain then seen_us
            else from_us
        end as min_from_us,
        case when is_end or not is_certain then from_us else until_us end as min_to_us,
        case when is_of_unknown_age and not is_end then turn_us else from_us end
            as kept_from_us,
        case when is_end then turn_us else until_us end as kept_to_us,
        from_us as max_from_us,
        case when is_end then seen_us else until_us end as max_to_us
    from bounded
)

select
    project_id,
    instance_id,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    least(greatest(min_from_us, first_us), last_us) as min_from_us,
    least(greatest(min_to_us, first_us), last_us) as min_to_us,
    least(greatest(kept_from_us, first_us), last_us) as kept_from_us,
    least(greatest(kept_to_us, first_us), last_us) as kept_to_us,
    least(greatest(max_from_us, first_us), last_us) as max_from_us,
    least(greatest(max_to_us, first_us), last_us) as max_to_us
from intervals
