-- Which fields does the service send that its reference does not have?
-- Grain: one row per project and path; the values stay in `extras`.
select
    project_id,
    path,
    min(value) as example_value,
    count(*) as instance_count,
    count(distinct value) as distinct_value_count,
    max(observed_at) as last_observed_at
from extras
group by project_id, path
order by instance_count desc, project_id, path
