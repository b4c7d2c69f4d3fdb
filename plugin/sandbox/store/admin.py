"""The small "Shopify admin": pages where a person looks at orders and refunds an amount by hand."""

from collections.abc import Sequence

from markupsafe import Markup

from . import ledger
from .amounts import spoken
from .orders import Order
from .views import moment

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#202223}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;"
    "border-bottom:1px solid #e1e3e5;overflow-wrap:anywhere}a{color:#005bd3}small{color:#616161}"
    "input,button{font:inherit;padding:.3rem .5rem}"
)
HEAD = Markup('<!doctype html><html lang="en"><meta charset="utf-8"><title>{}</title><style>{}</style><h1>{}</h1>')


def _page(title: str, body: Markup) -> str:
    return HEAD.format(title, Markup(STYLE), title) + body


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    cells = Markup("").join(Markup("<th>{}</th>").format(one) for one in head)
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(one) for one in row)) for row in rows
    )
    return Markup("<table><tr>{}</tr>{}</table>").format(cells, lines)


def orders(found: Sequence[Order]) -> str:
    rows = [
        (
            Markup('<a href="/orders/{}">{}</a>').format(one.id, one.name),
            moment(one.created),
            one.email,
            spoken(ledger.price(one).shown, one.money.shown),
            ledger.financial_status(one),
            "CANCELLED" if one.cancelled else ledger.fulfillment_status(one),
            one.story,
        )
        for one in sorted(found, key=lambda one: one.number)
    ]
    head = ("Order", "Date", "Customer", "Total", "Payment", "Fulfilment", "What it is for")
    return _page("Sandbox store: orders", _table(head, rows))


def order(one: Order) -> str:
    money = one.money.shown
    lines = [
        (
            row.title,
            row.variant,
            row.sku,
            row.quantity,
            ledger.refundable(one, row),
            spoken(row.price.shown, money),
        )
        for row in one.lines
    ]
    paid = [
        (row.kind, row.status, row.gateway, spoken(row.amount.shown, money), moment(row.created))
        for row in one.payments
    ]
    back = [(row.note, spoken(ledger.paid_back_by(one, row).shown, money), moment(row.created)) for row in one.refunds]
    form = Markup(
        '<form method="post" action="/_sandbox/orders/{}/refund"><p>'
        '<label>Amount <input name="amount" required></label> <label>Reason <input name="note"></label> '
        "<button>Refund by hand</button></p></form>"
    ).format(one.id)
    figures = Markup("<p>{} of {} paid, {} paid back. {} <small>{}</small></p>").format(
        spoken(ledger.received(one).shown, money),
        spoken(ledger.price(one).shown, money),
        spoken(ledger.refunded(one).shown, money),
        "Cancelled." if one.cancelled else "",
        one.story,
    )
    body = Markup('<p><a href="/">All orders</a></p>') + figures
    body += _table(("Item", "Variant", "SKU", "Units", "Left", "Price"), lines) + Markup("<h2>Payments</h2>")
    body += _table(("Kind", "Status", "Gateway", "Amount", "Date"), paid) + form + Markup("<h2>Refunds</h2>")
    return _page(f"Order {one.name}", body + _table(("Note", "Amount", "Date"), back))
