"""The webhooks each store owes us: asked for once, looked after daily, asked for again when Shopify dropped them."""

from datetime import timedelta

from plugin.app import App
from plugin.errors import FixTheSetup, OrderActionsError
from plugin.store_setup import look_at_scopes, public_address

TOPICS = (
    "ORDERS_CREATE", "ORDERS_UPDATED", "ORDERS_CANCELLED", "ORDERS_EDITED", "ORDERS_PAID", "ORDERS_FULFILLED",
    "ORDERS_PARTIALLY_FULFILLED", "REFUNDS_CREATE", "ORDER_TRANSACTIONS_CREATE", "APP_UNINSTALLED",
    "APP_SCOPES_UPDATE",
)  # fmt: skip
EVERY = timedelta(hours=24)
LIST = """query Subscriptions {
  webhookSubscriptions(first: 100) { nodes { topic uri } pageInfo { hasNextPage } }
}"""
CREATE = """mutation Subscribe($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: { uri: $uri }) {
    webhookSubscription { id }
    userErrors { message }
  }
}"""


def missing(app: App, domain: str) -> list[str]:
    """Topics that Shopify does not send to us. Raises FixTheSetup, TryLater."""
    found = app.tools.commerce.read(domain, LIST, {})["webhookSubscriptions"]["nodes"]
    ours = {one["topic"] for one in found if one["uri"] == address(app)}
    return [topic for topic in TOPICS if topic not in ours]


def subscribe(app: App, domain: str) -> list[str]:
    """Ask for every topic that is missing, and give them. Asking twice is refused by Shopify, so it is harmless."""
    asked = missing(app, domain)
    for topic in asked:
        variables = {"topic": topic, "uri": address(app)}
        answer = app.tools.commerce.read(domain, CREATE, variables)["webhookSubscriptionCreate"]
        if answer["userErrors"]:
            said = "; ".join(str(one["message"]) for one in answer["userErrors"])
            raise FixTheSetup(f"Shopify does not send {topic} to {address(app)}: {said}")
    return asked


def look_after(app: App) -> int:
    """Every store whose scopes and webhooks were not looked at for a day; one that cannot be asked waits its turn."""
    now, done = app.tools.clock.now(), 0
    for row in app.connections.all():
        due = row.webhooks_checked_at is None or now - row.webhooks_checked_at > EVERY
        if row.state == "active" and due:
            done += begin(app, row.domain)
    return done


def begin(app: App, domain: str) -> bool:
    """Have the webhooks of a connected store sent from now on; what cannot be asked for now is asked for again."""
    now = app.tools.clock.now()
    app.connections.webhooks_checked(domain, now)
    try:
        look_at_scopes(app, domain)
        if app.config.public_url:
            subscribe(app, domain)
    except OrderActionsError:
        app.connections.webhooks_checked(domain, now - EVERY + timedelta(minutes=10))
        return False
    return True


def address(app: App) -> str:
    """Raises FixTheSetup."""
    return f"{public_address(app)}/webhooks/shopify"
