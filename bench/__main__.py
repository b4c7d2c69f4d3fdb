"""`make bench`: two tables of calls and points, one of times."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.calls import Counted, Priced, count
from bench.speed import Row, everything
from tests.world import world


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


def main() -> None:
    start = time.perf_counter()
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        with world(Path(one)) as shop:
            counted, priced = count(shop)
        print("Calls to Shopify, counted by the sandbox store\n")
        print(_table(["moment", "promised", "counted"], [_call(one) for one in counted]))
        print("Points of each call: our estimate beside what the store charged (baseline)\n")
        print(_table(["call", "charged", "estimated", "ratio"], [_points(one) for one in priced]))
        print("Times: medians, ours beside a baseline of the same run\n")
        print(_table(["what", "baseline", "baseline takes", "ours takes", "ratio"],
                     [_time(row) for row in everything(Path(two))]))  # fmt: skip
    print(f"Took {time.perf_counter() - start:.0f} s. Only the ratios can be compared between machines.")


if __name__ == "__main__":
    main()
