-- Which fields does the service send that its reference does not have?
-- Grain: one row per project and path; the values stay in `extras`.
with firsts as (
    select
        project_id,
        path,
        min(observed_at) as first_seen_at
    from extra_history
    group by project_id, path
)

select
    extras.project_id,
    extras.path,
    min(extras.value) as example_value,
    count(*) as instance_count,
    count(distinct extras.value) as distinct_value_count,
    firsts.first_seen_at
from extras
inner join firsts
    on extras.project_id = firsts.project_id and extras.path = firsts.path
group by extras.project_id, extras.path, firsts.first_seen_at
order by instance_count desc, extras.project_id, extras.path
