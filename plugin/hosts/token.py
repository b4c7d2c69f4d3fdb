"""Any CRM that hands the card a token it signed (HS256), and takes notes over HTTP."""

from dataclasses import dataclass

import jwt
import requests

from plugin.errors import SignInAgain, TryLater
from plugin.shapes import Customer, Identity, Note

_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti"]


@dataclass(frozen=True)
class TokenHost:
    """The Host socket for a signed token. `notes_url` None keeps no notes in the CRM."""

    secret: str
    issuer: str
    notes_url: str | None = None
    notes_token: str = ""

    def identify(self, token: str) -> Identity:
        try:
            claims = jwt.decode(
                token, self.secret, algorithms=["HS256"], audience="order-actions", issuer=self.issuer,
                options={"require": _REQUIRED}, leeway=10,
            )  # fmt: skip
            customer, order = claims["customer"], claims.get("order") or {}
            return Identity(
                agent_id=str(claims["sub"]),
                agent_name=str(claims["name"]),
                role_groups=tuple(str(group) for group in claims["groups"]),
                customer=Customer(str(customer["id"]), str(customer["email"]), str(customer["name"])),
                conversation=claims.get("conversation"),
                store=order.get("store"),
                order=str(order["id"]) if order else None,
            )
        except (jwt.InvalidTokenError, KeyError, TypeError, AttributeError) as error:
            raise SignInAgain("The CRM's token was not accepted. Reload the page.") from error

    def post_note(self, note: Note) -> None:
        if self.notes_url is None:
            return
        body = {
            "external_id": note.id,
            "customer_id": note.customer_id,
            "conversation": note.conversation,
            "order": note.order_name,
            "author": {"id": note.agent_id, "name": note.agent_name},
            "body": note.body,
            "url": note.url,
        }
        headers = {"Authorization": f"Bearer {self.notes_token}"}
        try:
            answer = requests.post(self.notes_url, json=body, headers=headers, timeout=10, allow_redirects=False)
        except requests.RequestException as error:
            raise TryLater("The CRM does not answer.") from error
        if answer.status_code not in (200, 201, 409):
            raise TryLater(f"The CRM answered HTTP {answer.status_code}.")
