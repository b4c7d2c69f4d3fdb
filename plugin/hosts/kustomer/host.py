"""Kustomer as a Host: who acts is asked of Kustomer, notes and orders are written with the organisation's key."""

import hmac
import json
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from cryptography.fernet import InvalidToken

from plugin.errors import NothingHere, OrderActionsError, SignInAgain, TryLater
from plugin.hosts.kustomer import kobjects
from plugin.hosts.kustomer.accounts import CONNECT, Accounts, OAuthApp
from plugin.hosts.kustomer.client import ID, Client, Refused
from plugin.hosts.kustomer.people import UNKNOWN, People, checked
from plugin.oversight import Health
from plugin.phones import e164
from plugin.ports import Clock
from plugin.ports_crm import Crm
from plugin.secrets import Keys
from plugin.shapes import Identity, Note, OrderRow

TICKET_SECONDS = 60
MOST_PAGES = 50  # of the notes of one conversation
PROBE_DAYS = 30  # a probe older than this proves nothing any more


@dataclass(frozen=True)
class Proxy:
    """The command proxy: the secret Kustomer fills into its calls, whose organisation, and whether it may act."""

    secret: str
    org_id: str
    may_act: bool


class KustomerHost:
    """The Host socket. Any doubt who somebody is: SignInAgain (facts/kustomer.md §3)."""

    keeps_orders = True

    def __init__(self, client: Client, app: OAuthApp, proxy: Proxy, crm: Crm, keys: Keys, clock: Clock) -> None:
        self.client = client
        self.accounts = Accounts(app, client, crm, keys, clock)
        self._people = People(client, clock)
        self._proxy = proxy
        self._crm = crm
        self._clock = clock
        self._tickets = keys.box("ticket")

    def identify(self, token: str, count: Callable[[str], None] = lambda _: None) -> Identity:
        """The token is the card's own: a handle or a ticket, and what the page says is shown."""
        shown = _opened(token)
        access: str | None = None
        if shown.get("handle"):
            user_id, access = self.accounts.user_of(shown["handle"], count)
        else:
            user_id = self._ticket(shown.get("ticket", ""))
            count(user_id)
        user = self._people.user(user_id)
        customer = self._people.customer(shown.get("customer", ""), access)
        conversation = shown.get("conversation")
        return Identity(
            agent_id=user.id,
            agent_name=user.name,
            role_groups=user.groups,
            customer=customer,
            conversation=self._people.conversation(conversation, customer.id) if conversation else None,
            store=shown.get("store"),
            order=shown.get("order") if shown.get("store") else None,
            read_only=access is None and not self._proxy_may_act(),
        )

    def _proxy_may_act(self) -> bool:
        """Only where an admin chose so, and a probe found the proxy safe not long ago."""
        probed = self._crm.probe(self.client.org.name)
        if not self._proxy.may_act or probed is None:
            return False
        return probed[0] and self._clock.now() - probed[1] < timedelta(days=PROBE_DAYS)

    # ------------------------------------------------------------ the command proxy

    def command(self, secret: str, org_id: str, user_id: str, body: Any) -> dict[str, str]:
        """What our command answers through Kustomer's proxy: a ticket good once, or what a probe sees.

        Raises SignInAgain when it is not Kustomer that asks.
        """
        same = hmac.compare_digest(secret.encode("utf-8", "replace"), self._proxy.secret.encode())
        if not self._proxy.secret or not self._proxy.org_id or not same or org_id != self._proxy.org_id:
            raise SignInAgain(UNKNOWN)
        if isinstance(body, Mapping) and "probe" in body:
            return {"probe": str(body["probe"])[:100], "user": user_id[:200], "org": org_id}
        if not ID.fullmatch(user_id):
            raise SignInAgain(UNKNOWN)
        data = json.dumps([user_id, secrets.token_hex(16)]).encode()
        return {"ticket": self._tickets.encrypt_at_time(data, self._seconds()).decode()}

    def _ticket(self, ticket: str) -> str:
        try:
            data = self._tickets.decrypt_at_time(ticket.encode(), TICKET_SECONDS, self._seconds())
        except InvalidToken as error:
            raise SignInAgain(CONNECT) from error
        user_id, number = json.loads(data)
        now = self._clock.now()
        if not self._crm.once("ticket", number, now + timedelta(seconds=2 * TICKET_SECONDS), now):
            raise SignInAgain(CONNECT)
        return str(user_id)

    def _seconds(self) -> int:
        return int(self._clock.now().timestamp())

    # ------------------------------------------------------------ what is written

    def post_note(self, note: Note) -> None:
        try:
            if note.conversation and self._noted(note):
                return
            kobjects.append(self.client, note)
        except Refused as refused:
            raise TryLater(f"Kustomer refused the note ({refused}).") from refused

    def _noted(self, note: Note) -> bool:
        """Whether the note stands in its conversation now; False when that is gone.

        Looked for first: that Kustomer refuses a second note with the same externalId is not proved.
        """
        conversation = checked(str(note.conversation))
        try:
            if note.id in self._noted_before(conversation):
                return True
        except Refused as refused:
            if refused.status == 404:
                return False
            raise
        body = {"conversation": conversation, "body": f"{note.body}\n{note.url}", "externalId": note.id}
        try:
            self.client.call("POST", "/v1/notes", {**body, "createdBy": note.agent_id})
        except Refused as refused:
            if refused.status == 409:
                return True
            if refused.status != 403:
                raise
            # The key may not write in another's name; the text says whose action it was.
            self.client.call("POST", "/v1/notes", {**body, "body": f"{note.agent_name}: {body['body']}"})
        return True

    def _noted_before(self, conversation: str) -> set[str]:
        """The externalIds of every note of a conversation, all pages of it: what is not read may be ours."""
        path, found = f"/v1/conversations/{conversation}/notes", set[str]()
        following = path
        for _ in range(MOST_PAGES):
            there = self.client.call("GET", following)
            try:
                found |= {str(one["attributes"].get("externalId")) for one in there["data"]}
                following = str((there.get("links") or {}).get("next") or "")
            except (KeyError, TypeError, AttributeError) as error:
                raise TryLater("Kustomer's notes are not of the known form, so none is written.") from error
            if not following:
                return found
            if not following.startswith(f"{path}?"):
                break
        raise TryLater("The notes of this conversation cannot be read to their end, so none is written.")

    def put_order(self, row: OrderRow, email: str, store_name: str) -> None:
        try:
            way = f"phone={quote(email)}" if e164(email) else f"email={quote(email, safe='@')}"
            customer = self.client.find(f"/v1/customers/{way}") if email else None
            if customer is not None:
                kobjects.put(self.client, str(customer["id"]), row.place.order, *kobjects.of_order(row, store_name))
        except (Refused, KeyError, ValueError) as error:
            raise TryLater(f"Kustomer refused the order ({error}).") from error

    def health(self) -> Health:
        """The role groups are asked for: nobody gets a session without them."""
        try:
            groups = self._people.groups()
        except OrderActionsError as error:
            return Health(str(error), self.client.date)
        return Health(None, self.client.date, groups)


def _opened(token: str) -> dict[str, str]:
    """Base64url of a JSON object of texts, as `kustomer.js` makes it."""
    try:
        found = json.loads(urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
        texts = {key: one for key, one in found.items() if _plain(one)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise SignInAgain(UNKNOWN) from error
    if not texts.get("customer"):
        raise NothingHere("The card must be opened at a customer.")
    return texts


def _plain(one: Any) -> bool:
    """Ids, handles and domains are short and plain; whatever else a page says is passed over."""
    return isinstance(one, str) and len(one) <= 1000 and one.isascii() and one.isprintable()
