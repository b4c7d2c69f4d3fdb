"""Webhooks: the REST form of an order or refund, signed, delivered by a thread that tries a few times."""

import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import requests

from . import payloads
from .orders import Order, Refund
from .state import Store

PAUSES = (0.2, 1.0, 5.0)
TIMEOUT = 5.0


@dataclass(frozen=True)
class Delivery:
    url: str
    topic: str
    headers: Mapping[str, str]
    body: bytes


def signature(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


class Webhooks:
    """The outgoing queue; deliveries keep their order, and a dead receiver loses them after the last try.

    They go to the addresses the app subscribed, and to `url` besides when one is given.
    """

    def __init__(self, url: str | None, secret: str, store: Store) -> None:
        self.url = url
        self.secret = secret
        self.store = store
        self.delivered: list[tuple[str, int]] = []
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def emit(self, topic: str, order: Order, refund: Refund | None) -> None:
        """Queue one webhook; the payload is what the order is now."""
        customer = self.store.people.get(order.customer or 0)
        made = payloads.refund(order, refund) if refund is not None else payloads.order(order, customer)
        wanted = topic.replace("/", "_").upper()
        urls = {uri for one, uri in list(self.store.subscriptions.values()) if one == wanted}
        for url in sorted(urls | ({self.url} if self.url else set())):
            self._queue.put(self._delivery(url, topic, made))

    def _delivery(self, url: str, topic: str, payload: Mapping[str, Any]) -> Delivery:
        body = json.dumps(payload, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signature(self.secret, body),
            "X-Shopify-Shop-Domain": self.store.shop.domain,
            "X-Shopify-API-Version": self.store.shop.version,
            "X-Shopify-Webhook-Id": str(uuid4()),
            "X-Shopify-Event-Id": str(uuid4()),
            "X-Shopify-Triggered-At": self.store.now().isoformat(),
        }
        return Delivery(url, topic, headers, body)

    def _run(self) -> None:
        with requests.Session() as session:
            while (one := self._queue.get()) is not None:
                self._deliver(session, one)

    def _deliver(self, session: requests.Session, one: Delivery) -> None:
        for pause in (*PAUSES, 0.0):
            if self._closing.is_set():
                return
            status = self._post(session, one)
            self.delivered.append((one.topic, status))
            if 200 <= status < 300:
                return
            self._closing.wait(pause)

    def _post(self, session: requests.Session, one: Delivery) -> int:
        """The status; 0 when nobody answered."""
        try:
            with session.post(one.url, data=one.body, headers=one.headers, timeout=TIMEOUT) as answer:
                return answer.status_code
        except requests.RequestException:
            return 0

    def close(self) -> None:
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout=TIMEOUT + 1)
