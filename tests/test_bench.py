"""The number of calls to Shopify is a promise, not a figure: each step of the work makes exactly these."""

from pathlib import Path

from bench.calls import count
from plugin.check.bundle import MOST
from tests.world import world


def test_every_moment_makes_exactly_the_calls_that_are_promised(tmp_path: Path) -> None:
    with world(tmp_path) as shop:
        counted, priced = count(shop)
    assert [(one.what, one.sent) for one in counted] == [(one.what, one.promised) for one in counted]
    assert [one.what for one in counted if one.polls] == ["cancel sent", "cancel with less money sent"]
    assert [(one.what, one.promised) for one in counted] == [
        ("customer seen for the first time", ("query",)),
        ("list, data fresh", ()),
        ("order seen for the first time", ("query",)),
        ("order, data fresh", ()),
        ("form opens", ("query",)),
        ("every change of the form", ("query",)),
        ("refund sent", ("query", "refundCreate")),
        ("order after its refund", ()),
        ("cancel sent", ("query", "orderCancel")),
        ("cancel with less money sent", ("query", "orderCancel", "refundCreate")),
    ]
    assert [(one.what, one.estimated) for one in priced] == [(one.what, one.charged) for one in priced]
    assert max(one.estimated for one in priced) < MOST / 2
