-- With which image is a profile deployed?
-- Grain: the deployment of one profile,
-- for each document that has it, or once for several that have it alike.
select
    document_id,
    profile_id,
    type,
    engine,
    namespace,
    image_name,
    image_tag
from seen_provisions
