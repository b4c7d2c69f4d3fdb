"""The number of calls to Shopify is a promise, not a figure: each step of the work makes exactly these."""

from pathlib import Path

from bench import commits, refunds, web
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


def test_every_figure_of_the_bench_is_measured(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'bench.sqlite'}"
    done = commits.measure("SQLite", database, seconds=0.1)
    pressed = refunds.measure("SQLite", database, 0.0, orders=2, rounds=1)
    served = web.measure("SQLite", database, many=web.FEW + 1, seconds=0.05)
    loads = [done.ours, done.theirs, pressed.rate.ours, pressed.rate.theirs, pressed.wave]
    loads += [load for row in served.rates for load in (row.ours, row.theirs)] + [load for *_, load in served.stored]
    assert [sorted(load.took) for load in loads] == [[200]] * 11
    assert [len(load.took[200]) for load in loads[2:5]] == [2, 2, 2]
    assert [(row.what, row.engine) for row in served.rates] == [("cards", "SQLite"), ("durable webhooks", "SQLite")]
    assert [orders for _, orders, _ in served.stored] == [1000, 1001]
    assert all(0 < one.share < one.resident for one in served.memory)
