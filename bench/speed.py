"""Times what we do beside the least that could be done instead, in the same run."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import requests
import yaml
from jinja2 import Environment
from jsonschema import Draft202012Validator

from bench.servers import NO_PACE
from plugin.cards import FILTERS
from plugin.check import check_bundle
from plugin.demo import HOST
from tests.shared import ROOT
from tests.world import BASE, REFUND, World, with_settings, world

ENDPOINT = "/admin/api/2026-10/graphql.json"
DEAR = 1034  # an order with enough money for many small refunds


@dataclass(frozen=True)
class Row:
    """Seconds of ours beside seconds of the baseline, both medians."""

    what: str
    baseline: str
    theirs: float
    ours: float


def _both(what: str, baseline: str, theirs: Callable[[], Any], ours: Callable[[], Any], rounds: int) -> Row:
    """Turn and turn about, so that whatever else the machine does meets both."""
    pairs = [(_seconds(theirs), _seconds(ours)) for _ in range(rounds)]
    return Row(what, baseline, median(one for one, _ in pairs), median(one for _, one in pairs))


def _seconds(do: Callable[[], Any]) -> float:
    """The time of one call; a call that must prepare itself returns the seconds that count."""
    start = time.perf_counter()
    result = do()
    return result if isinstance(result, float) else time.perf_counter() - start


def refund(shop: World, latency: float, rounds: int) -> Row:
    """flow.submit beside its two calls, sent by hand; every call waits `latency` seconds at the store."""
    inner = shop.served.server.app

    def slow(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == ENDPOINT:
            time.sleep(latency)
        return inner(environ, start)

    def ours() -> float:
        shown = shop.preview(DEAR, REFUND, shop.open(DEAR, REFUND), amount="1.00")
        start = time.perf_counter()
        assert shop.submit(DEAR, REFUND, shown).card == "outcome"
        return time.perf_counter() - start

    ours()
    query, mutation = _bare(shop)

    def theirs() -> None:
        mutation["variables"]["key"] = str(uuid.uuid4())
        for body in (query, mutation):
            headers = {"X-Shopify-Access-Token": "token"}
            answer = requests.post(shop.url + ENDPOINT, json=body, headers=headers, timeout=10).json()
            assert "errors" not in answer

    shop.served.server.app = slow
    try:
        return _both(f"submit a refund, store takes {latency * 1000:.0f} ms", "its two calls with requests",
                     theirs, ours, rounds)  # fmt: skip
    finally:
        shop.served.server.app = inner


def _bare(shop: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """The query and the mutation of the refund just made, as they were sent."""
    preview = shop.tools.bundle.actions[REFUND].preview
    assert preview is not None
    gid = f"gid://shopify/Order/{BASE + DEAR}"
    query = {"query": shop.tools.query.beside(preview.query), "variables": {"id": gid, "orderId": gid}}
    return query, json.loads(shop.tools.runs.runs_of(shop.place(DEAR))[0].steps[0].body)


def card(shop: World, rounds: int) -> Row:
    """One order of 120 lines, through our sandbox and without it."""
    context = shop.order(1027).context
    plain = Environment(autoescape=True)
    plain.filters |= FILTERS
    template = plain.from_string((ROOT / shop.tools.bundle.cards["order_view"].template).read_text("utf-8"))
    return _both("render the order view, 120 lines", "the same template in plain Jinja2",
                 lambda: template.render(context), lambda: shop.app.cards.render("order_view", context),
                 rounds)  # fmt: skip


def check(rounds: int) -> Row:
    """The whole check beside JSON Schema alone; both read the files anew."""
    texts = {name: (ROOT / f"schemas/{name}.schema.json").read_text("utf-8") for name in ("plugin", "action")}
    schemas = {name: Draft202012Validator(json.loads(text)) for name, text in texts.items()}
    files = [("plugin", ROOT / "plugin.yaml"), *(("action", one) for one in ROOT.glob("actions/*.yaml"))]

    def schema_alone() -> None:
        for kind, path in files:
            assert schemas[kind].is_valid(yaml.safe_load(path.read_text("utf-8")))

    return _both("check the bundle", "JSON Schema alone", schema_alone, lambda: check_bundle(ROOT), rounds)


def starting(rounds: int) -> list[Row]:
    return [
        _both("import plugin.cli", "import flask", lambda: _python("import flask"),
              lambda: _python("import plugin.cli"), rounds),
        _both("demo, until the card answers", "python -c pass", lambda: _python("pass"), _demo, 3),
    ]  # fmt: skip


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def _demo() -> float:
    command = [sys.executable, "-m", "plugin", "demo", "--port", "0", "--no-open"]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        try:
            opened = next((line for line in started.stdout or () if "Open " in line), None)
            if opened is None:
                raise RuntimeError("the demo did not start")
            card = f"http://{HOST}:{int(opened.rsplit(':', 1)[1]) + 1}/card"
            requests.get(card, timeout=5).raise_for_status()
            return time.perf_counter() - start
        finally:
            started.terminate()


def everything(folder: Path) -> list[Row]:
    with world(folder) as shop:
        with_settings(shop, **NO_PACE)
        plenty = {"bucket": 1e6, "restore_rate": 1e6}  # the rate limit is not what is measured here
        requests.post(f"{shop.url}/_sandbox/settings", json=plenty, timeout=10).raise_for_status()
        rows = [refund(shop, 0.0, 12), refund(shop, 0.1, 8), card(shop, 30)]
    return [*rows, check(7), *starting(5)]
