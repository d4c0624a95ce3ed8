-- Does every row of an instance hold until the next one begins?
-- Grain: one row per row of instance_history that ends before it begins.
-- Severity: fail
select
    project_id,
    instance_id,
    sweep_id,
    valid_from,
    valid_to
from instance_history
where valid_to < valid_from
order by project_id, instance_id, valid_from
