-- Which volumes does an instance have? A size without a unit is in GB, as in the console.
-- Grain: one volume of an instance, for each document that has it.
select
    document_id,
    instance_id,
    item as volume,
    type,
    path,
    size,
    coalesce(size_unit, case when size is not null then 'GB' end) as size_unit,
    try(size * unit_bytes(coalesce(size_unit, 'GB'))) as size_bytes,
    mount_path,
    access_modes
from seen_storage
