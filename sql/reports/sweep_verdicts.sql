-- What did each sweep see, and was its listing proven complete?
-- Grain: one row per sweep, the latest first.
select
    project_id,
    sweep_id,
    scope,
    verdict,
    reason,
    page_count,
    request_count,
    retry_count,
    instance_count,
    new_count,
    changed_count,
    gone_count,
    quarantined_count,
    started_at,
    finished_at,
    observed_from,
    observed_to
from sweeps
order by started_at desc, project_id, sweep_id
