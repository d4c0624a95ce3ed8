-- What does a flavor offer?
-- Grain: one flavor,
-- for each document that has it, or once for several that have it alike.
select
    document_id,
    flavor,
    type,
    sale_status,
    is_permitted,
    storage_types,
    coalesce(npu_count, gpu_count) as accelerator_count,
    accelerator_kind,
    accelerator_memory_bytes,
    npu_count,
    gpu_count,
    cpu_count,
    memory_bytes,
    run_limit_seconds,
    store_hours
from seen_flavors
