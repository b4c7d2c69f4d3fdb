"""The leaky bucket of query points, and the words Shopify refuses with."""

from dataclasses import dataclass
from threading import Lock
from typing import Any

from .state import Settings

MAXIMUM = 1000  # points of one query


@dataclass
class Bucket:
    """Points left at the moment `at`; refilled with the settings' rate."""

    settings: Settings
    at: float
    left: float

    def __post_init__(self) -> None:
        self._lock = Lock()

    def take(self, requested: int, now: float) -> bool:
        """Reserve points; False when there are not enough."""
        with self._lock:
            self._refill(now)
            if requested > self.left:
                return False
            self.left -= requested
            return True

    def give_back(self, points: int, now: float) -> None:
        with self._lock:
            self._refill(now)
            self.left = min(self.settings.bucket, self.left + max(0, points))

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self.at)
        self.left = min(self.settings.bucket, self.left + passed * self.settings.restore_rate)
        self.at = now

    def shown(self, now: float) -> dict[str, Any]:
        with self._lock:
            self._refill(now)
            return {
                "maximumAvailable": self.settings.bucket,
                "currentlyAvailable": int(self.left),
                "restoreRate": self.settings.restore_rate,
            }


def throttled(requested: int, status: dict[str, Any]) -> dict[str, Any]:
    cost = {"requestedQueryCost": requested, "actualQueryCost": None, "throttleStatus": status}
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
    return {"errors": [error], "extensions": {"cost": cost}}


def too_dear(requested: int, maximum: int) -> dict[str, Any]:
    # unproven: the words of MAX_COST_EXCEEDED
    said = f"Query cost is {requested}, which exceeds the single query max cost limit ({maximum})."
    details = {"code": "MAX_COST_EXCEEDED", "cost": requested, "maxCost": maximum}
    return {"errors": [{"message": said, "extensions": details}]}
