"""The inquiry of on-demand prices, as the billing service answers it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from etl.emulator import answers
from etl.emulator.answers import Answer, Declined
from etl.emulator.catalogue import FLAVORS

RATINGS_PATH = "/v2/bills/ratings/on-demand-resources"
DISK = "modelarts.storage.volume"
NEEDED = ("id", "cloud_service_type", "resource_type", "resource_spec", "region", "usage_factor")
MALFORMED = answers.modelarts(400, "CBC.0100", "Parameter error.")
UNKNOWN = answers.modelarts(400, "CBC.99003134", "The product does not exist.")


@dataclass
class Billing:
    """What products cost in an hour, in whole units of a currency; `left_out` are not answered at all."""

    prices: dict[str, float] = field(default_factory=lambda: _list_prices())
    currency: str = "CNY"
    left_out: set[str] = field(default_factory=set)
    fail_next: list[Answer] = field(default_factory=list)  # The next answers, in turn.

    def answer(self, body: bytes) -> Answer:
        """The prices of the products in a request; Declined where one of them is not known."""
        if self.fail_next:
            return self.fail_next.pop(0)
        rows = [self._rated(info) for info in _products(body)]
        rated = [row for row in rows if row]
        amount = sum(row["amount"] for row in rated)
        said = {"amount": amount, "official_website_amount": amount, "discount_amount": 0, "measure_id": 1}
        return answers.of_json(200, {**said, "currency": self.currency, "product_rating_results": rated})

    def _rated(self, info: Mapping[str, Any]) -> dict[str, Any] | None:
        spec = info["resource_spec"]
        if spec in self.left_out:
            return None
        if spec not in self.prices:
            raise Declined(UNKNOWN)
        amount = self.prices[spec] * info.get("usage_value", 1) * info.get("resource_size", 1)
        product_id = hashlib.sha256(spec.encode()).hexdigest()[:32]
        amounts = {"amount": amount, "official_website_amount": amount, "discount_amount": 0, "measure_id": 1}
        return {"id": info["id"], "product_id": product_id, **amounts}


def _products(body: bytes) -> list[Mapping[str, Any]]:
    """The products that a request asks about; Declined where it does not say so."""
    try:
        asked = orjson.loads(body)
        infos, project_id = asked["product_infos"], asked["project_id"]
        if project_id and infos and all(info.get(name) for info in infos for name in NEEDED):
            return list(infos)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass
    raise Declined(MALFORMED)


def _list_prices() -> dict[str, float]:
    """A made-up price for every flavor, and what it is billed as, but those that are free."""
    billed = (flavor for flavor in FLAVORS if not flavor.is_free)
    skus = {flavor.details.get("billing_flavor") or flavor.name for flavor in billed}
    made_up = {sku: round(0.5 + number * 1.25, 2) for number, sku in enumerate(sorted(skus))}
    return {**made_up, DISK: 0.0004}
