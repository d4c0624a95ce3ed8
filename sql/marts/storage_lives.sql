-- From when to when was there an instance that could have disks, and whose was it?
-- Grain: one row per instance and stretch without a change of hands, whatever its status.
-- Of its three intervals the start is inclusive and the end exclusive; an empty one ends
-- where it starts.
with there as (
    select
        project_id,
        instance_id,
        max(case when coalesce(status, '') not in ('ABSENT', 'DELETED') then seen_us end)
            as last_there_us
    from sightings
    group by project_id, instance_id
),

judged as (
    select
        sightings.project_id,
        sightings.instance_id,
        sightings.sweep_id,
        sightings.seen_us,
        sightings.previous_us,
        sightings.first_us,
        sightings.last_us,
        sightings.created_us,
        sightings.updated_us,
        sightings.user_id,
        sightings.pool_id,
        sightings.workspace_id,
        sightings.ai_project_id,
        -- An instance that came back had not been deleted.
        not coalesce(sightings.seen_us <= there.last_there_us, false) as is_end,
        -- What could not be created may never have had a disk.
        coalesce(sightings.status, '') not in ('ABSENT', 'DELETED', 'CREATE_FAILED')
            as is_certain
    from sightings
    inner join there
        on
        sightings.project_id = there.project_id
        and sightings.instance_id = there.instance_id
    -- Nothing is metered where nothing was ever listed whole.
    where sightings.first_us is not null
),

beside as (
    select
        *,
        lag(seen_us) over life as before_us,
        coalesce(lag(is_end) over life, false) as was_end,
        coalesce(lag(is_certain) over life, true) as was_certain,
        lag(user_id) over life as earlier_user_id,
        lag(pool_id) over life as earlier_pool_id,
        lag(workspace_id) over life as earlier_workspace_id,
        lag(ai_project_id) over life as earlier_ai_project_id
    from judged
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
),

turned as (
    select
        *,
        before_us is null and created_us is null as is_of_unknown_age,
        case
            when before_us is not null
                then greatest(before_us, coalesce(previous_us, before_us))
            when created_us is null then coalesce(previous_us, seen_us)
            else least(seen_us, greatest(created_us, coalesce(previous_us, created_us)))
        end as from_us
    from beside
    where
        (is_end and not was_end)
        or (
            not is_end
            and (
                before_us is null
                or is_certain <> was_certain
                or user_id is distinct from earlier_user_id
                or pool_id is distinct from earlier_pool_id
                or workspace_id is distinct from earlier_workspace_id
                or ai_project_id is distinct from earlier_ai_project_id
            )
        )
),

bounded as (
    select
        *,
        coalesce(lead(from_us) over life, greatest(seen_us, last_us)) as until_us,
        case
            when updated_us > from_us and updated_us < seen_us then updated_us
            else from_us + cast(round((seen_us - from_us) / 2) as bigint)
        end as turn_us
    from turned
    window life as (partition by project_id, instance_id order by seen_us, sweep_id)
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
