-- Which profile was an instance made from?
-- Grain: one profile,
-- for each document that has it, or once for several that have it alike.
select
    document_id,
    profile_id,
    name,
    description,
    de_type,
    flavor_type
from seen_profiles
