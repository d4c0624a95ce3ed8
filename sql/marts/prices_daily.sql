-- What did a unit of each SKU cost on each day, in the currency of the bill?
-- Grain: one row per day, SKU and kind that has a price. A price of the region goes
-- before one of any region, and then one in the currency of the bill before one to be
-- converted.
with offered as (
    select
        days.usage_date,
        prices.sku,
        prices.kind,
        prices.price_id,
        prices.currency as price_currency,
        coalesce(billing.currency, prices.currency) as currency,
        prices.unit_price as price,
        prices.region is not null as is_of_region
    from prices
    inner join billing on prices.region is null or prices.region = billing.region
    inner join days
        on
        (prices.valid_from is null or prices.valid_from <= days.usage_date)
        and (prices.valid_to is null or prices.valid_to > days.usage_date)
),

converted as (
    select
        offered.*,
        offered.price_currency = offered.currency as is_in_currency,
        case
            when offered.price_currency = offered.currency then cast(1 as decimal(18, 10))
            else exchange_rates.rate
        end as exchange_rate
    from offered
    left join exchange_rates
        on
        offered.price_currency = exchange_rates.from_currency
        and offered.currency = exchange_rates.to_currency
        and (
            exchange_rates.valid_from is null
            or offered.usage_date >= exchange_rates.valid_from
        )
        and (
            exchange_rates.valid_to is null
            or offered.usage_date < exchange_rates.valid_to
        )
),

chosen as (
    select
        *,
        row_number() over (
            partition by usage_date, sku, kind
            order by
                is_of_region desc,
                is_in_currency desc,
                exchange_rate is not null desc,
                price_currency,
                price_id,
                exchange_rate
        ) as choice
    from converted
)

select
    usage_date,
    sku,
    kind,
    price_id,
    price_currency,
    currency,
    exchange_rate,
    -- Rounded here and only here: quantity times unit price is the cost to the last
    -- decimal.
    try_cast(price * exchange_rate as decimal(20, 12)) as unit_price
from chosen
where choice = 1
