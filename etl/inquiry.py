"""What the billing service (BSS) answers to an inquiry of on-demand prices, and how it is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from etl.answer import Answer, BadRequest
from etl.client import Client
from etl.errors import Refused
from etl.page import BadPage

PATH = "/v2/bills/ratings/on-demand-resources"
MOST_PRODUCTS = 50  # in one request
SERVICE = "hws.service.type.modelarts"
RESOURCE = "hws.resource.type.modelarts"
HOUR = 4  # usage_measure_id
SIZES = {"compute": 14, "storage": 17}  # size_measure_id: pieces, and GB
WHOLE_UNITS = 1  # measure_id of an answer whose amounts are in units of the currency


@dataclass(frozen=True, order=True)
class Product:
    """Something that has a price: an SKU of a kind of the price book."""

    sku: str
    kind: str


@dataclass(frozen=True)
class Quote:
    """What an hour of a product costs by the list; without a price `reason` says why there is none."""

    price: Decimal | None
    currency: str = ""
    reason: str = ""


def ask(client: Client, region: str, products: Sequence[Product]) -> dict[Product, Quote]:
    """A quote for each product in a region; a request that is refused for one product is divided until that
    stands alone."""
    found: dict[Product, Quote] = {}
    pending = [products[at : at + MOST_PRODUCTS] for at in range(0, len(products), MOST_PRODUCTS)]
    while pending:
        batch = pending.pop()
        try:
            found |= _asked(client, region, batch)
        except BadRequest as refused:
            if len(batch) == 1:
                found[batch[0]] = Quote(None, reason=_reason(refused))
            else:
                half = len(batch) // 2
                pending += [batch[:half], batch[half:]]
    return found


def request(project_id: str, region: str, products: Sequence[Product]) -> bytes:
    """The body of ListOnDemandResourceRatings for an hour of each product, told apart by their places."""
    infos = [
        {
            "id": str(number),
            "cloud_service_type": SERVICE,
            "resource_type": RESOURCE,
            "resource_spec": product.sku,
            "region": region,
            "resource_size": 1,
            "size_measure_id": SIZES[product.kind],
            "usage_factor": "Duration",
            "usage_value": 1,
            "usage_measure_id": HOUR,
            "subscription_num": 1,
        }
        for number, product in enumerate(products, start=1)
    ]
    return json.dumps({"project_id": project_id, "product_infos": infos}).encode()


def quotes(body: bytes, products: Sequence[Product]) -> dict[Product, Quote]:
    """The quotes in an answer; BadPage where it is none. What it leaves out has no price."""
    try:
        said = json.loads(body, parse_float=Decimal)
        currency, rows = said["currency"], said["product_rating_results"]
        of_id = {str(row["id"]): row for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadPage("the answer of the billing service holds no prices") from None
    named = ((product, of_id.get(str(number))) for number, product in enumerate(products, start=1))
    return {product: _quote(row, said.get("measure_id"), str(currency)) for product, row in named}


def _asked(client: Client, region: str, batch: Sequence[Product]) -> dict[Product, Quote]:
    body = request(client.settings.project_id, region, batch)

    def read(answer: Answer) -> dict[Product, Quote]:
        return quotes(answer.body, batch)

    try:
        return client.post(PATH, body, read)
    except Refused as refused:
        if "(403)" not in str(refused):
            raise
        said = str(refused).partition("(403)")[2].rpartition(": ")[0]
        raise Refused(
            f"the billing service forbids the inquiry (403){said}: give the user leave to ask BSS for prices"
        ) from None


def _quote(row: Mapping[str, Any] | None, measure: object, currency: str) -> Quote:
    """The list price in a row of an answer."""
    if row is None:
        return Quote(None, reason="the answer leaves it out")
    amount = row.get("official_website_amount", row.get("amount"))
    try:
        price = Decimal(str(amount))
    except InvalidOperation:
        return Quote(None, reason="the answer has no amount for it")
    if row.get("measure_id", measure) not in (None, WHOLE_UNITS):
        return Quote(None, reason="its amount is in a unit that is not known")
    if not price.is_finite() or price < 0:
        return Quote(None, reason="its amount is no price")
    return Quote(price, currency)


def _reason(refused: BadRequest) -> str:
    """What the service said, without what to do about other requests."""
    return str(refused).partition("(400)")[2].rpartition(": ")[0].strip() or "it is not known"
