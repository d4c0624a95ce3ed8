-- Which keys have the maps of the reference: labels, annotations, params, details?
-- Grain: one key of one map of one owner,
-- for each document that has it, or once for several that have it alike.
select
    document_id,
    owner_kind,
    owner_id,
    map,
    key,
    value
from seen_attributes
where value is not null
