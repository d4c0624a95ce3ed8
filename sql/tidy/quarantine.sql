-- What could not be used, and why?
-- Grain: one value or document that could not be used, for each document that has it.
select
    document_id,
    instance_id,
    field,
    fingerprint,
    reason,
    document,
    slice,
    page
from seen_quarantine
