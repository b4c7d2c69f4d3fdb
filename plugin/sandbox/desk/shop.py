"""What the desk knows of the store: its customers, and the orders on their timelines."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests
from babel.numbers import format_currency

from .people import Customer

PATIENCE = 5


class StoreSilent(Exception):
    """The sandbox store does not answer."""


@dataclass(frozen=True)
class Entry:
    """One order on a timeline. `legacy` came from the older app and cannot be updated here."""

    id: str
    title: str
    status: str
    shipped: bool
    flagged: bool


def customers(store_url: str) -> list[Customer]:
    rows = _get(f"{store_url}/_sandbox/customers")
    return [
        Customer(number(row["id"]), str(row["name"]), str(row["email"]), str(row.get("phone") or "")) for row in rows
    ]


def entries(store_url: str, customer: Customer) -> list[Entry]:
    """The customer's orders, newest first, by e-mail, else by phone, as a CRM would match them."""
    rows = _get(f"{store_url}/_sandbox/ledger")
    key, own = ("email", customer.email) if customer.email else ("phone", customer.phone)
    mine = [row for row in rows if str(row.get(key) or "").casefold() == own.casefold()]
    return [_entry(row) for row in reversed(mine)]


def _entry(row: dict[str, Any]) -> Entry:
    price = format_currency(Decimal(row["price"]), row["currency"], locale="en_US")
    count = row.get("items")
    ordered = f"{count} {'Item' if count == 1 else 'Items'} Ordered For {price}" if count else f"Ordered For {price}"
    cancelled = row.get("cancelled_at") is not None
    words = (row.get("financial_status") or "NONE", row.get("fulfillment_status") or "NONE")
    status = " · ".join(word.replace("_", " ").capitalize() for word in words)
    return Entry(
        id=number(row["id"]),
        title=f"Order {row['name']} ({ordered})",
        status=f"Cancelled · {status}" if cancelled else status,
        shipped=row.get("fulfillment_status") == "FULFILLED",
        flagged=cancelled or Decimal(row["refunded"]) > 0,
    )


def number(name: object) -> str:
    """`gid://shopify/Order/1027` and 1027 are the same order."""
    return str(name).rsplit("/", 1)[-1]


def _get(url: str) -> list[dict[str, Any]]:
    try:
        answer = requests.get(url, timeout=PATIENCE)
        answer.raise_for_status()
        rows = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise StoreSilent(str(error)) from error
    return rows if isinstance(rows, list) else []
