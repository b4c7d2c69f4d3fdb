"""Who works at the desk, what customers wrote, and the signed token that says who is asking."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

STORE = "sandbox.myshopify.com"
LIFETIME = 60  # seconds a token is good for


@dataclass(frozen=True)
class Agent:
    """`groups` are the role groups the plugin maps to its permission sets."""

    id: str
    name: str
    groups: tuple[str, ...]

    @property
    def told(self) -> str:
        return self.groups[0] if self.groups else "no group"


AGENTS: Mapping[str, Agent] = {
    one.id: one
    for one in (
        Agent("ana", "Ana Ruiz", ("Support agents",)),
        Agent("sam", "Sam Okafor", ("Support leads",)),
        Agent("rita", "Rita Lund", ("Shopify viewers",)),
        Agent("adele", "Adele Brandt", ("Administrators",)),
        Agent("nemo", "Nemo Quist", ()),
    )
}

# (from the customer?, what was said); one conversation for every customer, in turn
CONVERSATIONS: Sequence[Sequence[tuple[bool, str]]] = (
    (
        (True, "Hello, one of the things I ordered is not what I expected. Can I get my money back for it?"),
        (False, "Of course. Let me look at your order, one moment please."),
    ),
    (
        (True, "I ordered twice by mistake. Could you cancel the second order before it ships?"),
        (False, "Thanks for telling us so quickly. I am checking it now."),
        (True, "Great, thank you!"),
    ),
    ((True, "Your parcel arrived, but I was charged too much for shipping. Please have a look."),),
)


@dataclass(frozen=True)
class Customer:
    id: str
    name: str
    email: str
    phone: str = ""

    @property
    def conversation(self) -> str:
        return f"conversation-{self.id}"


def sign(agent: Agent, customer: Customer, order: str | None, secret: str, now: float | None = None) -> str:
    """A fresh token for the card: this agent, looking at this customer, maybe at one order."""
    issued = int(time.time() if now is None else now)
    claims: dict[str, Any] = {
        "iss": "desk",
        "aud": "order-actions",
        "sub": agent.id,
        "name": agent.name,
        "groups": list(agent.groups),
        "customer": {"id": customer.id, "email": customer.email, "phone": customer.phone, "name": customer.name},
        "conversation": customer.conversation,
        "iat": issued,
        "exp": issued + LIFETIME,
        "jti": uuid.uuid4().hex,
    }
    if order is not None:
        claims["order"] = {"store": STORE, "id": order}
    return jwt.encode(claims, secret, algorithm="HS256")
