-- What did the service send that could not be used, and why not?
-- Grain: one row per project, field and reason; null is a document unusable as a whole.
select
    project_id,
    field,
    reason,
    min(document) as example_document,
    count(*) as value_count,
    count(distinct instance_id) as instance_count
from quarantine
group by project_id, field, reason
order by value_count desc, project_id, field nulls last, reason nulls last
