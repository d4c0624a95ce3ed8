-- From when to when is anything metered of what is listed?
-- Grain: one row per project and scope, the whole project where it was ever swept whole.
select
    project_id,
    scope,
    min(first_us) as first_us,
    max(last_us) as last_us
from sweep_steps
group by project_id, scope
