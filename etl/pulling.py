"""Asks the billing service what the SKUs of a lake cost, by region, and not more often than need be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from etl import damage, inquiry, views
from etl.auth import check_credentials
from etl.client import Client
from etl.errors import UsageError
from etl.inquiry import Product, Quote
from etl.lake import Lake
from etl.places import Place
from etl.pricebook import PULLED, Book, Change
from etl.projects import Project
from etl.settings import Settings, check_url, require
from etl.transport import check_transport

CACHE = "prices/inquiry.json"
DISK = Product("modelarts.storage.volume", "storage")

# What was seen of each project that may cost: by the terms of its flavor, else by the flavor itself.
_SEEN = """
select distinct instances.project_id, coalesce(billing.sku, instances.flavor) as sku
from instance_history as instances
left join billing_history as billing
    on instances.project_id = billing.project_id and instances.flavor = billing.flavor
where instances.flavor is not null
order by all
"""
_DISKS = "select distinct project_id from storage_history where type = 'evs' order by all"


@dataclass(frozen=True)
class Region:
    """Where prices are asked for: by the name in the service, `cell` in the book, for what, and as whom."""

    name: str
    cell: str
    products: Sequence[Product]
    settings: Settings


def pull(
    shared: Settings,
    lake: Lake,
    projects: Sequence[Project],
    book: Book,
    since: date,
    *,
    overwrite: bool,
    fresh: bool,
    dry_run: bool,
) -> list[Change]:
    """Put the prices of all that the lake has seen into a book, as of a day, and say what became of each."""
    require(shared, "bss_endpoint")
    check_url(shared.bss_endpoint, "bss_endpoint", shared.allow_http)
    known = {} if fresh else _cached(lake, datetime.now(UTC) - timedelta(hours=shared.inquiry_hours))
    found: list[Change] = []
    for region in _regions(shared, lake, projects):
        missing = [product for product in region.products if _key(region, product) not in known]
        if missing:
            answers = inquiry.ask(_client(region, shared), region.name, missing)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            known |= {_key(region, product): (quote, now) for product, quote in answers.items()}
        for product in region.products:
            quote, asked_at = known[_key(region, product)]
            source = f"{PULLED} {region.name} {asked_at}"
            found.append(book.put(product, region.cell, quote, since, source, overwrite=overwrite))
    if not dry_run:
        _keep(lake, known)
        book.write()
    return found


def seen(lake: Lake) -> dict[str, list[Product]]:
    """The products that each project of a lake has had."""
    lake.check()
    with damage.named(lake.root), views.connect(lake, f"{_SEEN} {_DISKS}") as connection:
        found: dict[str, list[Product]] = {}
        for project_id, sku in connection.execute(_SEEN).fetchall():
            found.setdefault(project_id, []).append(Product(sku, "compute"))
        for (project_id,) in connection.execute(_DISKS).fetchall():
            found.setdefault(project_id, []).append(DISK)
    return found


def _regions(shared: Settings, lake: Lake, projects: Sequence[Project]) -> list[Region]:
    """The regions of the projects in a lake; UsageError where that of one is not known."""
    settings = [(each.settings(), each.in_iam) for each in projects]
    of_id = {given.project_id: (given, in_iam or given.region) for given, in_iam in settings}
    found: dict[str, tuple[set[Product], Settings]] = {}
    for project_id, products in seen(lake).items():
        given, name = of_id.get(project_id, (shared, shared.region))
        region = name.partition("_")[0]
        if not region:
            raise UsageError(f"the region of the project {project_id} is not known: set region")
        known, _ = found.setdefault(region, (set(), replace(given, project_id=project_id)))
        known.update(products)
    if not found:
        raise UsageError("the lake has seen no instance yet: run `demeter sweep`")
    # A build looks for prices of the region as it is set, and for those of any.
    cells = {name: name for name in found} if len(found) > 1 else {next(iter(found)): shared.region}
    return [Region(name, cells[name], sorted(products), given) for name, (products, given) in found.items()]


def _client(region: Region, shared: Settings) -> Client:
    """Who asks: whoever lists a project of the region."""
    check_credentials(region.settings)
    check_transport(region.settings)
    return Client(replace(region.settings, endpoint=shared.bss_endpoint))


def _key(region: Region, product: Product) -> str:
    return f"{region.name}/{product.kind}/{product.sku}"


def _cached(lake: Lake, since: datetime) -> dict[str, tuple[Quote, str]]:
    """What was answered since an instant, and when, by region, kind and SKU."""
    try:
        rows = damage.read(_path(lake), dict)
    except FileNotFoundError:
        return {}
    return {
        key: (_quote(row), row["asked_at"])
        for key, row in rows.items()
        if datetime.fromisoformat(row["asked_at"]) >= since
    }


def _quote(row: Mapping[str, Any]) -> Quote:
    price = None if row["price"] is None else Decimal(row["price"])
    return Quote(price, row["currency"], row["reason"])


def _keep(lake: Lake, known: Mapping[str, tuple[Quote, str]]) -> None:
    rows = {
        key: {
            "price": None if quote.price is None else str(quote.price),
            "currency": quote.currency,
            "reason": quote.reason,
            "asked_at": asked_at,
        }
        for key, (quote, asked_at) in sorted(known.items())
    }
    with lake.writing():
        _path(lake).replace(json.dumps(rows, indent=1) + "\n")


def _path(lake: Lake) -> Place:
    return lake.place(CACHE)
