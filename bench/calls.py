"""Counts the calls to Shopify that each step of an agent's work takes, and what they cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from graphql import build_schema, parse

from plugin.cost import estimate
from plugin.flow import View
from plugin.reading import LIST
from tests.shared import ROOT
from tests.world import CANCEL, REFUND, World


@dataclass(frozen=True)
class Counted:
    """One moment: the calls promised, the calls made, and later looks (at a job, between two steps) apart."""

    what: str
    promised: tuple[str, ...]
    sent: tuple[str, ...]
    polls: int


@dataclass(frozen=True)
class Priced:
    """One kind of call: points we estimated before sending it, and points the store charged."""

    what: str
    estimated: int
    charged: int


def count(shop: World) -> tuple[list[Counted], list[Priced]]:
    """An agent refunds an item of #1001, then cancels #1002, then cancels #1003 for less money."""
    counted: list[Counted] = []
    priced: dict[str, Priced] = {}
    texts = _documents(shop)
    schema = build_schema((ROOT / shop.tools.bundle.schema).read_text("utf-8"), assume_valid=True)

    def moment(what: str, promised: Sequence[str], calls: Sequence[str], do: Callable[[], Any]) -> Any:
        shop.forget_calls()
        result = do()
        rows = requests.get(f"{shop.url}/_sandbox/log", timeout=10).json()
        kinds = [row["root_fields"][0] if row["kind"] == "mutation" else "query" for row in rows]
        first = next((at for at, kind in enumerate(kinds) if kind != "query"), len(kinds))
        sent = (*kinds[:first], *(kind for kind in kinds[first:] if kind != "query"))
        counted.append(Counted(what, tuple(promised), sent, len(kinds) - len(sent)))
        for call, row in zip(calls, rows, strict=False):
            priced[call] = Priced(call, estimate(parse(texts[call]), schema), row["cost"])
        return result

    def form(number: int, action: str, **changes: object) -> View:
        shop.order(number)
        return shop.preview(number, action, shop.open(number, action), **changes)

    moment("customer seen for the first time", ["query"], ["list"], lambda: shop.rows(1001))
    moment("list, data fresh", [], [], lambda: shop.rows(1001))
    moment("order seen for the first time", ["query"], ["order"], lambda: shop.order(1001))
    moment("order, data fresh", [], [], lambda: shop.order(1001))
    opened = moment("form opens", ["query"], ["refund preview"], lambda: shop.open(1001, REFUND))
    view = moment("every change of the form", ["query"], ["refund preview"],
                  lambda: shop.preview(1001, REFUND, opened, lines=["1", "0"]))  # fmt: skip
    moment("refund sent", ["query", "refundCreate"], ["refund preview", "refund"],
           lambda: shop.submit(1001, REFUND, view))  # fmt: skip
    moment("order after its refund", [], [], lambda: shop.order(1001))
    whole = form(1002, CANCEL)
    moment("cancel sent", ["query", "orderCancel"], ["cancel preview", "cancel", "job"],
           lambda: shop.submit(1002, CANCEL, whole))  # fmt: skip
    less = form(1003, CANCEL, payments=["10.00"], decision="cancel")
    moment("cancel with less money sent", ["query", "orderCancel", "refundCreate"], [],
           lambda: shop.submit(1003, CANCEL, less))  # fmt: skip
    return counted, list(priced.values())


def _documents(shop: World) -> dict[str, str]:
    """Every document we send for an order, as it is sent."""
    bundle, query = shop.tools.bundle, shop.tools.query
    reads = bundle.cards["order_list"].reads or ""
    texts = {"list": LIST % reads[reads.index("{") :]}
    texts |= {"order": query.document(), "job": query.while_polling()}
    for name in (REFUND, CANCEL):
        action, short = bundle.actions[name], name.rsplit(".", 1)[-1]
        assert action.preview is not None
        texts[f"{short} preview"] = query.beside(action.preview.query)
        texts[short] = query.in_payload(action.steps[0].mutation)
    return texts
