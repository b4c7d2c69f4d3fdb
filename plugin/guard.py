"""The guard before every view: what proves a request, where it may come from, and how often it may come.

A route without a row in ROUTES does not start. `tests/access.py` says what each answers to whom.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from flask import request
from werkzeug.wrappers import Response

from plugin.app import App
from plugin.around import proxies_of, sender
from plugin.errors import NotAllowed, SignInAgain

View = Callable[..., Any]

ELSEWHERE = "This request came from another page than the card. Nothing was done."
ORDER = "/stores/<store>/orders/<order>"


class Proof(Enum):
    """What a request must bring, in words.

    Who brings it is counted as agent, whatever others at the same address do; who brings a wrong one, by address.
    """

    NOTHING = "nothing: it shows nothing of anybody"
    TOKEN = "a token of the CRM"
    SESSION = "a session of the card"
    SIGNATURE = "Shopify's signature over the body"
    SECRET = "a secret of the installation"
    STATE = "a browser's own state, good once"


class Pages(Enum):
    """Pages whose requests are taken; programs that are no browser name none, and are taken too."""

    OURS = "ours"
    CRM = "ours, the CRM's"
    ANY = "any"


@dataclass(frozen=True)
class Route:
    proof: Proof
    pages: Pages


_OPEN = Route(Proof.NOTHING, Pages.ANY)
_SHOWN, _SENT = Route(Proof.SESSION, Pages.ANY), Route(Proof.SESSION, Pages.OURS)

ROUTES: Mapping[str, Route] = {
    "GET /card": _OPEN,
    "GET /static/<name>": _OPEN,
    "POST /session": Route(Proof.TOKEN, Pages.OURS),
    "GET /orders": _SHOWN,
    "POST /orders/refresh": _SENT,
    "GET /orders/find": _SHOWN,
    f"GET {ORDER}": _SHOWN,
    f"POST {ORDER}/refresh": _SENT,
    f"GET {ORDER}/actions/<action>": _SHOWN,
    f"POST {ORDER}/actions/<action>/preview": _SENT,
    f"POST {ORDER}/actions/<action>": _SENT,
    f"POST {ORDER}/actions/<action>/sent": _SENT,
    f"GET {ORDER}/runs/<run>": _SHOWN,
    f"GET {ORDER}/runs/<run>/review": _SHOWN,
    f"POST {ORDER}/runs/<run>/review/preview": _SENT,
    f"POST {ORDER}/runs/<run>/review": _SENT,
    f"POST {ORDER}/runs/<run>/review/sent": _SENT,
    "GET /reviews": _SHOWN,
    "GET /admin": _SHOWN,
    "GET /admin/stores/<store>": _SHOWN,
    "GET /admin/permissions": _SHOWN,
    "GET /admin/runs": _SHOWN,
    "GET /admin/runs/csv": _SHOWN,
    "GET /admin/refunds": _SHOWN,
    "GET /admin/alarms/<alarm>": _SHOWN,
    "POST /admin/alarms/<alarm>/preview": _SENT,
    "POST /admin/alarms/<alarm>": _SENT,
    "POST /webhooks/shopify": Route(Proof.SIGNATURE, Pages.OURS),
    "GET /kustomer/connect": Route(Proof.STATE, Pages.OURS),
    "GET /kustomer/callback": Route(Proof.STATE, Pages.ANY),
    "POST /kustomer/commands/open": Route(Proof.SECRET, Pages.CRM),
    "GET /shopify/install": Route(Proof.STATE, Pages.ANY),
    "GET /shopify/callback": Route(Proof.STATE, Pages.ANY),
    "GET /healthz": _OPEN,
    "GET /readyz": _OPEN,
    "GET /metrics": Route(Proof.SECRET, Pages.ANY),
}


class Guard:
    """Stands before the views of one application."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._proxies = proxies_of(app.config.proxies)

    def before(self, name: str, view: View) -> View:
        """The view behind its row of ROUTES. Raises KeyError for a route without one."""
        route = ROUTES[name]

        def enter(**names: str) -> Any:
            self._must_come_from(route.pages)
            if route.proof is Proof.NOTHING:
                return view(**names)
            who = sender(request.remote_addr, request.headers.get("X-Forwarded-For", ""), self._proxies)
            rates = self._app.rates
            if route.proof is Proof.STATE:  # it costs us a call or a row before anything is proved
                rates.spend("address", who)
            try:
                answer = view(**names)
            except SignInAgain:
                rates.spend("address", who)
                raise
            if isinstance(answer, Response) and answer.status_code in (400, 401):
                rates.spend("address", who)
            return answer

        return enter

    def count(self, agent_id: str) -> None:
        """One request of an agent who is known now, and of the store that the address names. Raises TooOften."""
        self._app.rates.spend("agent", agent_id)
        store = (request.view_args or {}).get("store")
        if store is not None and self._app.tools.store(store) is not None:
            self._app.rates.spend("store", store)

    def _must_come_from(self, pages: Pages) -> None:
        """By `Origin`, which no page can forge; where a browser sends none, by `Sec-Fetch-Site`. Raises NotAllowed."""
        if pages is Pages.ANY:
            return
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if origin is None and site in (None, "same-origin", "none"):
            return
        if origin is None or origin not in self._origins(pages):
            raise NotAllowed(ELSEWHERE)

    def _origins(self, pages: Pages) -> Iterable[str]:
        """Behind a proxy that changes Host, the configured address says who we are."""
        public = urlsplit(self._app.config.public_url)
        ours = {f"http://{request.host}", f"https://{request.host}"}
        if public.netloc:
            ours = {f"{public.scheme}://{public.netloc}"}
        return ours | set(self._app.config.host_origins) if pages is Pages.CRM else ours
