"""The table of the crash matrix: the kinds of fault, the points they apply to, and the stories they strike in."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.points import Point
from tests.proofs.shop import NOTES, READS, SENDS
from tests.world import CANCEL, REFUND

WRITTEN = {one for one in Point if one.name.endswith("_WRITTEN")}
COMMITTED = {one for one in Point if one.name.endswith("_COMMITTED")} | {
    Point.LEASE_TAKEN, Point.CLOSED, Point.RELEASED,
}  # fmt: skip
ASKED = {Point.ORDER_ASKED, Point.JOB_ASKED}
# kind: (the points it applies to, why not to the others)
EVERYWHERE: Mapping[str, tuple[set[Point], str]] = {
    "process dies": (set(Point), ""),
    "exception": (set(Point), ""),
    "clock an hour forward": (set(Point), ""),
    "clock an hour back": (set(Point), ""),
    "a person refunds in Shopify": (set(Point), ""),
    "paused, lease lost": (set(Point) - WRITTEN, "the open transaction itself keeps the other worker out"),
    "commit fails": (WRITTEN, "nothing is about to be committed"),
    "database locked": (WRITTEN, "nothing is about to be committed"),
    "disk full": (WRITTEN, "nothing is about to be committed"),
    "commit succeeds, reports failure": (COMMITTED, "nothing was committed just now"),
    **{f"read: {one}": (ASKED, "no read follows") for one in READS},
    **{f"call: {one}": ({Point.SENDING_COMMITTED}, "no mutation follows") for one in SENDS},
    **{f"note: {one}": ({Point.NOTE_DUE}, "no note follows") for one in NOTES},
}


def why_not(point: Point, kind: str) -> str | None:
    """The reason why a cell does not apply, or None."""
    applies, reason = EVERYWHERE[kind]
    return None if point in applies else reason


# ---------------------------------------------------------------- the stories


@dataclass(frozen=True)
class Story:
    """What an agent does, and what Shopify did to the first calls before any fault of a cell."""

    name: str
    number: int
    action: str
    wish: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    meanwhile: str | None = None  # a person refunds so much while the first answer is missing
    decides: bool = False
    webhook: bool = False
    moves: str = ""  # when that is not the wish

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", self.moves or self.wish)


SHIRT = {"lines": ["1", "0"]}
STORIES = (
    Story("refund", 1001, REFUND, "25", SHIRT),
    Story("refund, pending", 1031, REFUND, "25", SHIRT),
    Story("cancel", 1001, CANCEL, "67.5"),
    Story("cancel, then refund less", 1001, CANCEL, "10", {"payments": ["10.00"], "decision": "cancel"}),
    Story("refund sent again", 1001, REFUND, "25", SHIRT, ("timeout, not done",)),
    Story("cancel sent again", 1001, CANCEL, "67.5", {}, ("timeout, not done",)),
    Story("refund refused", 1001, REFUND, "25", SHIRT, ("user errors",), moves="0"),
    Story("a person sends again", 1001, REFUND, "25", SHIRT, ("timeout, not done",), "5.00", decides=True),
    Story("webhook", 1001, REFUND, "25", SHIRT, webhook=True, moves="0"),
)


@dataclass(frozen=True)
class Cell:
    story: Story
    point: Point
    visit: int
    kind: str

    def __str__(self) -> str:
        return f"{self.story.name} / {self.point.name}#{self.visit} / {self.kind}"


def cells(found: Mapping[str, Counter[Point]], visits: int = 99, stories: int = 99) -> list[Cell]:
    """Every point that a story reaches, at each visit up to `visits`, with every kind that applies.

    `stories` of those that reach a point take part in each of its cells, another choice for each cell.
    """
    made = []
    for point in Point:
        reach = [one for one in STORIES if found[one.name][point]]
        for kind in [one for one in EVERYWHERE if why_not(point, one) is None]:
            first = len(made) % max(1, len(reach))
            for story in (reach[first:] + reach[:first])[:stories]:
                last = min(found[story.name][point], visits)
                made += [Cell(story, point, visit, kind) for visit in range(1, last + 1)]
    return made
