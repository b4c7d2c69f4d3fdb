"""The parts admin pages are made of, as plain mappings for one template: tables, filters, a chart."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from plugin.money import Money

Cell = Mapping[str, Any]
WIDTH, HEIGHT, GAP = 600, 120, 2


def cell(text: object, *, url: str | None = None, mark: str = "", more: str = "", number: bool = False) -> Cell:
    """`url` makes it a button that leads there; `mark` is `ok`, `wrong` or nothing; `more` stands below in grey."""
    return {"text": str(text), "url": url, "mark": mark, "more": more, "number": number}


def amount(money: Money) -> Cell:
    return cell(money.show(), number=True)


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, empty: str, lead: str = "",
    after: tuple[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """`after` is a button below: label and address."""
    shown = [[{**one, "column": column} for one, column in zip(row, columns, strict=True)] for row in rows]
    numbers = [one["number"] for one in rows[0]] if rows else [False] * len(columns)
    heads = [{"name": name, "number": number} for name, number in zip(columns, numbers, strict=True)]
    return {
        "kind": "table", "title": title, "lead": lead, "columns": heads, "rows": shown, "empty": empty,
        "after": {"label": after[0], "url": after[1]} if after else None,
    }  # fmt: skip


def filters(url: str, fields: Sequence[Mapping[str, Any]], download: str | None) -> dict[str, Any]:
    """A form that asks for the same page with other words in its address."""
    return {"kind": "filters", "url": url, "fields": list(fields), "download": download}


def choice(name: str, label: str, options: Mapping[str, str], chosen: str) -> dict[str, Any]:
    """A value that is not among the options is one all the same: it came by an address."""
    known = dict(options) if not chosen or chosen in options else {**options, chosen: chosen}
    rows = [{"value": value, "label": text, "chosen": value == chosen} for value, text in known.items()]
    return {"type": "choice", "name": name, "label": label, "value": chosen, "options": rows}


def text(name: str, label: str, value: str) -> dict[str, Any]:
    return {"type": "text", "name": name, "label": label, "value": value, "options": []}


def day(name: str, label: str, value: date | None) -> dict[str, Any]:
    return {"type": "date", "name": name, "label": label, "value": value.isoformat() if value else "", "options": []}


def chart(title: str, first: date, last: date, sums: Mapping[str, Money]) -> dict[str, Any]:
    """A bar a day; `sums` by ISO day, all of one currency. A table beside it says the same in words."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    most = max(sums.values(), key=lambda one: one.amount)
    step = WIDTH // len(days)
    bars = []
    for number, one in enumerate(days):
        money = sums.get(one.isoformat())
        if money is not None:
            high = max(1, int(money.amount * HEIGHT / most.amount))
            bars.append({"x": number * step, "y": HEIGHT - high, "width": max(1, step - GAP), "height": high,
                         "label": f"{one.isoformat()}: {money.show()}"})  # fmt: skip
    return {
        "kind": "chart", "title": title, "bars": bars, "width": step * len(days), "height": HEIGHT,
        "first": first.isoformat(), "last": last.isoformat(), "most": most.show(),
    }  # fmt: skip
