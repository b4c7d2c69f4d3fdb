"""`make bench`: calls and points counted, times, rates and memory beside a baseline of the same run.

`python -m bench ORDERS` stores another number of orders than a million.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from bench import commits, refunds, web
from bench.calls import Counted, Priced, count
from bench.load import Load
from bench.servers import databases
from bench.speed import Row, everything
from bench.web import Memory, Rate
from tests.world import world

RATES = ("what", "engine", "baseline", "ours", "ratio", "baseline p99", "ours p99")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
             for row in [head, ["-" * width for width in widths], *rows]]  # fmt: skip
    return "\n".join(lines) + "\n"


def _words(sent: Sequence[str], polls: int = 0) -> str:
    parts = [f"{times} {name}" for name, times in Counter(sent).items()]
    return " + ".join([*parts, f"{polls} x look"] if polls else parts) or "0"


def _call(one: Counted) -> list[str]:
    return [one.what, _words(one.promised) + (" + n x look" if "orderCancel" in one.promised else ""),
            _words(one.sent, one.polls)]  # fmt: skip


def _points(one: Priced) -> list[str]:
    return [one.what, str(one.charged), str(one.estimated), f"{one.estimated / one.charged:.2f}"]


def _time(row: Row) -> list[str]:
    return [row.what, row.baseline, f"{row.theirs * 1000:.1f} ms", f"{row.ours * 1000:.1f} ms",
            f"{row.ours / row.theirs:.2f}"]  # fmt: skip


def _rate(row: Rate) -> list[str]:
    theirs, ours = row.theirs, row.ours
    return [row.what, row.engine, f"{theirs.rate():.0f}", f"{ours.rate():.0f}", f"{theirs.rate() / ours.rate():.1f}",
            _ms(theirs.within(0.99)), _ms(ours.within(0.99))]  # fmt: skip


def _wave(engine: str, what: str, status: int, load: Load) -> list[str]:
    many = len(load.took.get(status, []))
    return [engine, what, str(many), *(_ms(load.within(share, status)) if many else "-" for share in (0.5, 0.99))]


def _memory(one: Memory) -> list[str]:
    return [one.who, one.engine, f"{one.resident:.0f}", f"{one.share:.0f}"]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def main(many: int) -> None:
    start = time.perf_counter()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # the tables are what is to be read
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        with world(Path(one)) as shop:
            counted, priced = count(shop)
        print("Calls to Shopify, counted by the sandbox store\n")
        print(_table(["moment", "promised", "counted"], [_call(one) for one in counted]))
        print("Points of each call: our estimate beside what the store charged (baseline)\n")
        print(_table(["call", "charged", "estimated", "ratio"], [_points(one) for one in priced]))
        print("Times: medians, ours beside a baseline of the same run\n")
        print(_table(["what", "baseline", "baseline takes", "ours takes", "ratio"],
                     [_time(row) for row in everything(Path(two))]), flush=True)  # fmt: skip
    with databases() as found:
        _money(found)
        _web(found, many)
    print(f"Took {time.perf_counter() - start:.0f} s. Only the ratios can be compared between machines.")


def _money(found: dict[str, str]) -> None:
    rates, waves = [commits.measure(engine, url) for engine, url in found.items()], []
    for latency in refunds.LATENCIES:
        for engine, url in found.items():
            pressed = refunds.measure(engine, url, latency)
            rates.append(pressed.rate)
            waves += [_wave(engine, pressed.rate.what.replace("refunds", said), status, pressed.wave)
                      for status, said in ((200, "carried out"), (503, "refused"))]  # fmt: skip
    print("A second, beside an insert committed by the bare driver, and the two calls by requests\n")
    print(_table(RATES, [_rate(row) for row in rates]))
    print(f"A full server: {refunds.ORDERS} presses at once\n")
    print(_table(["engine", "presses", "how many", "half within", "p99"], waves), flush=True)


def _web(found: dict[str, str], many: int) -> None:
    webs = [web.measure(engine, url, many) for engine, url in found.items()]
    stored = [_wave(engine, f"{orders:,}", 200, load) for one in webs for engine, orders, load in one.stored]
    print(f"A second, {web.THREADS} at once and 2 web processes, beside a bare Flask app\n")
    print(_table(RATES, [_rate(row) for one in webs for row in one.rates]))
    print("The list of orders, by how many are stored\n")
    print(_table(["engine", "orders", "how many", "half within", "p99"], stored))
    print("MiB of a web process after the load: all it maps, and its share of it\n")
    print(_table(["who", "engine", "RSS", "PSS"], [_memory(row) for one in webs for row in one.memory]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else web.MANY)
