"""The app definition Kustomer is given, made of plugin.yaml; its form is in facts written down in the test's schema."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from plugin.hosts.kustomer.kobjects import KLASS

Raw = Mapping[str, Any]
APP, GROUP = "shopify_order_actions", "app.orders"
CARD = '<div><DynamicCard src={%s} context={object.context} noPadding fillToWidth /></div>'
TYPES = {"money": "string", "boolean": "boolean", "integer": "number", "text": "string"}

# attribute of the klass: what people read
ATTRIBUTES: Mapping[str, str] = {
    "orderIdNum": "Order ID", "orderStatusStr": "Fulfillment status", "billingStatusStr": "Financial status",
    "orderNumberStr": "Order #", "orderCreatedAt": "Order created", "orderUpdatedAt": "Order updated",
    "specialInstructionsStr": "Special instructions", "totalPriceNum": "Total", "shippingAddressStr": "Address",
    "shippingCityStr": "City", "shippingStateStr": "State", "shippingZipStr": "Zip", "shippingCountryStr": "Country",
    "shipmentStatusStr": "Shipment status", "skusTxt": "SKUs", "paymentSummaryStr": "Payment",
    "trackingNumberStr": "Tracking number", "orderTagsStr": "Order tags", "customerTagsStr": "Customer tags",
    "shopNameStr": "Store", "shopDomainStr": "Store domain", "orderStatusUrl": "Status page",
    "hasBeenCancelledBool": "Cancelled", "hasBeenRefundedBool": "Refunded", "localeStr": "Language",
    "presentmentCurrencyStr": "Currency", "actionsTxt": "Done from the card",
}  # fmt: skip


def definition(manifest: Raw, actions: Sequence[Raw], public_url: str, version: str) -> dict[str, Any]:
    """The whole document for `POST /v1/apps/available`. `actions` are the files of the bundle, parsed."""
    card = f"{public_url.rstrip('/')}/card"
    titles = ", ".join(str(one["title"]).lower() for one in actions)
    permissions = "\n".join(f"- {one['title']}" for one in manifest["permissions"].values())
    words = f"Shopify orders on the customer's timeline: {titles}.\n\nPermissions, mapped from role groups on the "
    whole = {
        "app": APP,
        "version": version,
        "visibility": "private",
        "title": str(manifest["title"])[:40],
        "description": f"{words}plugin's side:\n{permissions}",
        "dependencies": ["kustomer-^1.8.5"],
        "redirectUris": [f"{public_url.rstrip('/')}/kustomer/callback"],
        "settings": {"default": _settings(manifest.get("settings", {}))},
        "klasses": [klass()],
        "kviews": [
            _view("shopify-orders-card", "customer", "smartbar-card", "Shopify orders", card),
            _view("shopify-order-timeline", f"kobject.{KLASS}", "expanded-timeline", "Shopify order", card),
        ],
        "commands": [_open(public_url)],
        "i18n": {"en_us": _words(manifest)},
        "changelog": {version: f"Card with: {titles}."},
    }
    return {**whole, "description": f"{whole['description']}\n\nDefinition {_digest(whole)}"}


def mark(one: Raw) -> str:
    """What tells a registered definition from another: Kustomer may change names in it, but not this word."""
    return str(one.get("description", "")).rpartition("Definition ")[2]


def _digest(whole: Raw) -> str:
    kept = {key: value for key, value in whole.items() if key not in ("version", "changelog")}
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def klass() -> dict[str, Any]:
    properties = {name: {"displayName": words} for name, words in ATTRIBUTES.items()}
    return {"name": KLASS, "icon": "shopify", "color": "#64943E", "metadata": {"properties": properties}}


def _view(name: str, resource: str, context: str, title: str, card: str) -> dict[str, Any]:
    return {
        "name": name, "resource": resource, "context": context, "template": CARD % json.dumps(card),
        "meta": {"displayName": title, "icon": "shopify", "state": "open"},
    }  # fmt: skip


def _open(public_url: str) -> dict[str, Any]:
    """The command that tells our server who has opened the card; the secret is filled in by Kustomer."""
    return {
        "name": f"{APP}.{GROUP}.open", "displayName": "Open the orders card", "type": "external-api",
        "httpMethod": "post", "url": f"{public_url.rstrip('/')}/kustomer/commands/open", "auditLogging": True,
        "permittedArgs": [], "appSettings": {"authToken": {"key": f"{APP}.default.commandSecret"}},
        "defaultHeaders": {"authorization": "Bearer {{{authToken}}}", "content-type": "application/json"},
        "inputSchema": {"type": "object", "additionalProperties": True}, "outputSchema": {"type": "object"},
    }  # fmt: skip


def _settings(declared: Raw) -> dict[str, Any]:
    """The secret, and the bundle's settings to read: the plugin's own configuration decides, not this page."""
    found: dict[str, Any] = {"commandSecret": {"type": "secret", "defaultValue": "", "required": True}}
    for name, one in declared.items():
        found[_camel(name)] = {"type": TYPES[one["type"]], "defaultValue": one["default"], "hidden": True}
    return found


def _words(manifest: Raw) -> dict[str, str]:
    path = f"{APP}.settings.path.default"
    words = {
        f"{APP}.settings.page.title": str(manifest["title"]),
        f"{APP}.settings.page.description": "Used by the card with Shopify orders.",
        f"{path}.commandSecret.displayName": "Command secret",
        f"{path}.commandSecret.description": "The value of ORDER_ACTIONS_KUSTOMER_COMMAND_SECRET.",
    }
    for name, one in manifest.get("settings", {}).items():
        words[f"{path}.{_camel(name)}.displayName"] = str(one["title"])
        words[f"{path}.{_camel(name)}.description"] = str(one.get("help", one["title"]))
    return words


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)
