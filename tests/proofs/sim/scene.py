"""What every simulated world starts from, made once by the real program: an order, and plans of pressed forms."""

import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from plugin import plan
from plugin.bundle import Bundle
from plugin.codec import encode
from plugin.documents import OrderQuery, facts
from plugin.drafts import Draft, draft
from plugin.shapes import OrderFacts, Place, Plan, Session, StoreInfo
from tests.world import CANCEL, REFUND, World, typed, world

NUMBER = 1001  # 67.50 USD: two shirts, a mug, shipping
SLOTS = 4  # forms that may be pressed in one world
VARIANTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "refund part": (REFUND, {"lines": ["1", "0"]}),
    "refund all": (REFUND, {"lines": ["2", "1"], "shipping": "5.00"}),
    "refund by hand": (REFUND, {"amount": "10.00", "payments": ["10.00"]}),
    "cancel": (CANCEL, {}),
    "cancel and lower": (CANCEL, {"payments": ["10.00"], "decision": "cancel"}),
    "cancel items": (CANCEL, {"lines": ["1", "0"]}),
}


@dataclass(frozen=True)
class Form:
    """One filled form: what the real draft and the real plan made of it."""

    draft: Draft
    raw: Mapping[str, Any]
    texts: Any
    plans: tuple[Plan, ...]


class Query(OrderQuery):
    """The real documents, printed once."""

    def document(self) -> str:
        return "order"

    def while_polling(self) -> str:
        return "job"


@dataclass(frozen=True)
class Scene:
    bundle: Bundle
    query: OrderQuery
    store: StoreInfo
    place: Place
    session: Session
    order: Mapping[str, Any]
    facts: OrderFacts
    forms: Mapping[str, Form]


def run_id(slot: int) -> str:
    return str(uuid.UUID(int=0x5B1F6C1E00004000800000000000 + slot, version=4))


@lru_cache
def scene() -> Scene:
    """Asked of the sandbox store once; from then on nothing leaves the process."""
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as shop:
        place, tools = shop.place(NUMBER), shop.tools
        data = tools.commerce.read(place.store, tools.query.document(), {"orderId": place.gid})["snapshot"]
        forms = {name: _form(shop, action, changes) for name, (action, changes) in VARIANTS.items()}
        store = tools.store(place.store)
        assert store is not None
        settled = StoreInfo(store.domain, store.name, {**store.settings, "settle_time": 420})
        session = shop.session(NUMBER)
        return Scene(tools.bundle, Query(tools.query.node), settled, place, session, data, facts(data), forms)


def _form(shop: World, action_id: str, changes: dict[str, Any]) -> Form:
    view = shop.preview(NUMBER, action_id, shop.open(NUMBER, action_id), **changes)
    action, session = shop.tools.bundle.actions[action_id], shop.session(NUMBER)
    filled = draft(shop.tools, session, shop.place(NUMBER), action, typed(view), {})
    plans = tuple(
        plan.build(action, filled.scope, run_id(slot), filled.seen.facts, shop.tools.query) for slot in range(SLOTS)
    )
    return Form(filled, typed(view), encode(filled.scope.given()), plans)
