"""Agents, their role groups and customers, read from Kustomer by us; what is doubtful opens nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from plugin.errors import FixTheSetup, NothingHere, OrderActionsError, SignInAgain, TryLater
from plugin.hosts.kustomer.client import ID, Client, Refused
from plugin.phones import e164
from plugin.ports import Clock
from plugin.shapes import Customer

CACHE_SECONDS = 60
UNKNOWN = "Kustomer does not say who you are. Reload the page."
_T = TypeVar("_T")


@dataclass(frozen=True)
class User:
    id: str
    name: str
    groups: tuple[str, ...]


class People:
    """Role groups are kept for at most a minute; customers are never kept."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[str, tuple[datetime, Any]] = {}

    def user(self, user_id: str) -> User:
        """A person who works in this organisation now. Raises SignInAgain, TryLater."""
        name, held = self._remember(f"user {user_id}", lambda: self._user(user_id))
        names = self._remember("role groups", self._names)  # kept apart, so that neither is older than a minute
        return User(user_id, name, tuple(names[one] for one in held if one in names))

    def customer(self, customer_id: str, token: str | None) -> Customer:
        """The customer with the e-mail Kustomer has; read as the agent where there is a token.

        Raises NothingHere when there is none that this agent may see.
        """
        try:
            found = self._client.get(f"/v1/customers/{checked(customer_id)}", token=token)
        except Refused as refused:
            raise NothingHere("Kustomer does not show you this customer.") from refused
        if found.get("id") != customer_id:
            raise SignInAgain(UNKNOWN)
        attributes = found.get("attributes", {})
        name = str(attributes.get("displayName") or "")[:200]
        email, phone = _first(attributes.get("emails"), "email"), _first(attributes.get("phones"), "phone")
        return Customer(customer_id, email, name, e164(phone))

    def conversation(self, conversation_id: str, customer_id: str) -> str | None:
        """The conversation if it is this customer's, else None: a note must not land with somebody else."""
        try:
            found = self._client.get(f"/v1/conversations/{checked(conversation_id)}")
            owner = found["relationships"]["customer"]["data"]["id"]
        except (Refused, KeyError, TypeError):
            return None
        return conversation_id if owner == customer_id else None

    def groups(self) -> frozenset[str]:
        """Names of the role groups there are now. Raises FixTheSetup, SignInAgain, TryLater."""
        return frozenset(self._names().values())

    def _user(self, user_id: str) -> tuple[str, list[str]]:
        """Name, and ids of role groups."""
        try:
            attributes = self._client.get(f"/v1/users/{checked(user_id)}").get("attributes", {})
        except Refused as refused:
            raise _doubt(refused) from refused
        if attributes.get("userType") != "user" or attributes.get("deletedAt"):
            raise SignInAgain("Only a person who works in Kustomer now can use this card.")
        held = attributes.get("roleGroups")
        if not isinstance(held, list):
            raise SignInAgain(UNKNOWN)
        name = str(attributes.get("displayName") or attributes.get("name") or user_id)[:200]
        return name, [one for one in held if isinstance(one, str)]

    def _names(self) -> dict[str, str]:
        """Role groups by id. A name that two groups share stands for neither."""
        try:
            body = self._client.call("GET", "/v1/role-groups")
            found = {one["id"]: str(one["attributes"]["name"]) for one in body["data"]}
        except Refused as refused:
            raise _doubt(refused) from refused
        except (KeyError, TypeError) as error:
            raise TryLater("Kustomer's role groups could not be read.") from error
        names = list(found.values())
        return {key: name for key, name in found.items() if names.count(name) == 1}

    def _remember(self, key: str, ask: Callable[[], _T]) -> _T:
        now = self._clock.now()
        kept = self._kept.get(key)
        if kept is not None and kept[0] > now:
            found: _T = kept[1]
            return found
        self._kept = {name: one for name, one in self._kept.items() if one[0] > now}
        fresh = ask()
        self._kept[key] = (now + timedelta(seconds=CACHE_SECONDS), fresh)
        return fresh


def _doubt(refused: Refused) -> OrderActionsError:
    """A key that is refused is the admin's matter: the agent's connection is kept."""
    if refused.status in (401, 403):
        return FixTheSetup(f"Kustomer refused ORDER_ACTIONS_KUSTOMER_KEY ({refused}). Ask an administrator.")
    return SignInAgain(UNKNOWN)


def checked(found: str) -> str:
    """An id that may stand in a path. Raises SignInAgain."""
    if not ID.fullmatch(found):
        raise SignInAgain(UNKNOWN)
    return found


def _first(rows: Any, name: str) -> str:
    """The first verified one, else the first; empty when the customer has none."""
    known = [one for one in rows or [] if isinstance(one, dict) and isinstance(one.get(name), str)]
    verified = [one for one in known if one.get("verified") is True]
    return str((verified or known)[0][name]) if known else ""
