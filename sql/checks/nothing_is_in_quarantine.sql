-- Could everything that was listed be used?
-- Grain: one row per value or document that could not and still is there.
-- Severity: warn
select
    project_id,
    instance_id,
    field,
    reason,
    observed_at
from quarantine
order by project_id, instance_id, field, reason, observed_at
