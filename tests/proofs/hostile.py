"""Hostile requests without end, in process: none may be answered with a 5xx, and none may change anything.

`python -m tests.proofs.hostile --requests 100000`. Every request comes from its number alone:
`--first 4711 --requests 1` sends that one again.
"""

import argparse
import io
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from flask import Flask

from plugin import logs
from plugin.sandbox import kustomer
from plugin.secrets import Keys
from plugin.tokens import Tokens
from plugin.web import create_web
from tests.dump import TRACES, dump
from tests.proofs.attacks import EVIL, NUMBERS, Attack, Environ, Loot
from tests.test_kustomer import in_kustomer
from tests.test_web import ADA, signed_in, token_in
from tests.world import BASE, DOMAIN, REFUND, SECRET, World, unhurried, with_settings, world

GROUPS = ("Shopify viewers", "Support agents", "Support leads", "Administrators")
# Looking again may refresh what we know of an order; nothing else may change.
REFRESHED = (*TRACES, "orders.snapshot", "orders.snapshot_at", "customers_seen.listed_at")
LOOK_EVERY = 500  # requests between two comparisons of all that may not change


@dataclass
class Target:
    """Both applications, what an attacker has, and what must stay as it is."""

    shop: World
    webs: Sequence[Callable[..., Any]]
    loot: Loot
    answers: Counter[int] = field(default_factory=Counter)

    def state(self) -> dict[str, Any]:
        """Each table, the store's ledger, and the mutations the store was sent since the last look."""
        ledger = requests.get(f"{self.shop.url}/_sandbox/ledger", timeout=30).json()
        mutations = [one for one in self.shop.sent() if one != "query"]
        self.shop.forget_calls()
        return {**dump(self.shop.app.engine, REFRESHED), "the ledger": ledger, "mutations": mutations}


# ---------------------------------------------------------------- all of them


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """A shop with a finished refund on two customers' orders, and everybody signed in beside the first customer."""
    crm = kustomer.serve()
    with world(folder) as shop:
        with_settings(shop, snapshot_max_age=9999999)
        shop.app = unhurried(shop.app)
        apps = [shop.app, unhurried(in_kustomer(shop, crm))]
        webs = [create_web(app) for app in apps]
        client = webs[0].test_client()
        own = [_bearer(signed_in(client, groups=(group,), sub="ana", customer=ADA)) for group in GROUPS]
        claims = shop.app.tokens.open_session(own[2])
        now = shop.tools.clock.now()
        replay = _press(client, own[2])
        shop.act(1010, REFUND, lines=["1", "0"])
        runs = [shop.tools.runs.runs_of(shop.place(number))[0].id for number in (1002, 1010)]
        for web in webs:
            web.test_client().post("/orders/refresh", headers={"Authorization": f"Bearer {own[2]}"})
        for number in NUMBERS:
            shop.order(number)
        outside = Tokens(Keys([SECRET[::-1]])).seal_session(claims, now)
        late = [shop.app.tokens.seal_session(claims, now - timedelta(hours=1)), outside]
        used = dict(replay)["token"]
        other = replace(shop.app.tokens.open_form(used), agent_id="ben")
        forms = [used, shop.app.tokens.seal_form(other, now)]
        yield Target(shop, webs, Loot(_rules(webs), [*own * 3, *late], forms, replay, runs))
        for app in apps[1:]:
            app.close()
    crm.close()


def _rules(webs: Sequence[Flask]) -> list[str]:
    rules = [rule for web in webs for rule in web.url_map.iter_rules()]
    return sorted({f"{method} {rule.rule}" for rule in rules for method in rule.methods or ()})


def _bearer(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


def _press(client: Any, session: str) -> list[tuple[str, str]]:
    """A refund over HTTP; what was posted at last."""
    url, headers = f"/stores/{DOMAIN}/orders/{BASE + 1002}/actions/{REFUND}", {"Authorization": f"Bearer {session}"}
    pairs = {f"lines[gid://shopify/LineItem/{BASE + 1002}001]": "1", "restock": "true"}
    pairs["token"] = token_in(client.get(url, headers=headers).text)
    pairs["token"] = token_in(client.post(f"{url}/preview", data=pairs, headers=headers).text)
    assert "Refunded" in client.post(url, data=pairs, headers=headers).text
    return list(pairs.items())


def send(web: Callable[..., Any], environ: Environ) -> tuple[int, list[tuple[str, str]], bytes]:
    told: list[Any] = []
    body = web(environ, lambda status, headers, *_: told.extend((status, headers)))
    try:
        whole = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    return int(told[0].split()[0]), told[1], whole


def wrong_in(status: int, headers: list[tuple[str, str]], body: bytes) -> list[str]:
    """What must not be in any answer."""
    named = dict(headers)
    found = [f"HTTP {status}"] if status >= 500 else []
    found += ["a trace"] if b"Traceback" in body or b'File "/' in body else []
    found += ["markup of a stranger"] if EVIL.encode() in body else []
    found += ["no policy"] if "default-src 'none'" not in named.get("Content-Security-Policy", "") else []
    found += ["a header of a stranger"] if any("\n" in value or "evil.example" in value for _, value in headers) else []
    return found


def attack(aim: Target, first: int, count: int, say: Callable[[str], None] = print) -> list[str]:
    """What went wrong, with the numbers of the requests."""
    aim.shop.forget_calls()
    wrong, before = list[str](), aim.state()
    for number in range(first, first + count):
        web = aim.webs[number % len(aim.webs)]
        environ = Attack(aim.loot, number).environ()
        line = f"{number}: {environ['REQUEST_METHOD']} {environ['PATH_INFO'][:80]!a}"
        try:
            status, headers, body = send(web, environ)
        except Exception as error:  # noqa: BLE001 - whatever comes out of the application is a fault of it
            status, headers, body = 599, [("Content-Security-Policy", "default-src 'none'")], repr(error).encode()
        aim.answers[status] += 1
        wrong += [f"{line}: {one}" for one in wrong_in(status, headers, body)]
        if (number + 1 - first) % LOOK_EVERY == 0 or number == first + count - 1:
            now = aim.state()
            changed = [name for name in now if now[name] != before[name]]
            wrong += [f"{line}: {name} changed, at most {LOOK_EVERY} before" for name in changed]
            before = now
        if (number + 1 - first) % 10_000 == 0:
            say(f"{number + 1 - first} requests, {len(wrong)} wrong")
    return wrong


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=1)
    given = parser.parse_args(words)
    warnings.simplefilter("error")
    logs.configure(stream=io.StringIO())
    with tempfile.TemporaryDirectory() as folder, target(Path(folder)) as aim:
        wrong = attack(aim, given.first, given.requests)
    print("\n".join(wrong[:50]))
    print(f"{given.requests} requests: {len(wrong)} wrong; answers {dict(sorted(aim.answers.items()))}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
