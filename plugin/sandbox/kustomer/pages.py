"""The first page of the fake Kustomer: sign in as somebody, then open a customer with the card beside them."""

import re
from urllib.parse import urlencode

from markupsafe import Markup

from .state import MACHINE, State

_PAGE = Markup("""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sandbox Kustomer</title>
<link rel="icon" href="data:,"></head>
<body><h1>Sandbox Kustomer</h1><p>Signed in: {who}</p><form method="post">{people}</form>
<h2>Customers</h2><ul>{customers}</ul></body></html>""")
_PERSON = Markup('<button name="user" value="{key}">Sign in as {name}</button> ')
_CUSTOMER = Markup('<li><a href="/desk?{query}">{name}</a></li>')
_NO_APP = Markup("<li>No app is installed yet: order-actions connect kustomer</li>")


def start(state: State) -> str:
    people = Markup("").join(
        _PERSON.format(key=key, name=one["displayName"]) for key, one in state.users.items() if key != MACHINE
    )
    card = _card(state)
    customers = Markup("").join(
        _CUSTOMER.format(query=urlencode({"card": card, "customer": owner, "conversation": key}),
                         name=state.customers[owner]["displayName"])
        for key, owner in state.conversations.items()
    ) if card else _NO_APP  # fmt: skip
    who = state.users[state.signed_in]
    groups = ", ".join(state.groups[one] for one in who["roleGroups"]) or "no permission set"
    return str(_PAGE.format(who=f"{who['displayName']} ({groups})", people=people, customers=customers))


def _card(state: State) -> str | None:
    """The card's address, as the installed app gave it."""
    for app, version in state.installed.items():
        template = str(state.apps[f"{app}-{version}"]["kviews"][0]["template"])
        found = re.search(r'src=\{"([^"]+)"\}', template)
        return found[1] if found else None
    return None
