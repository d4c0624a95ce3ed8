-- Under which name and ratio is a flavor billed?
-- Grain: the billing terms of one flavor,
-- for each document that has it, or once for several that have it alike.
select
    document_id,
    flavor,
    promo_type,
    billing_flavor,
    billing_ratio,
    coalesce(billing_flavor, flavor) as sku
from seen_billing
