"""What the card's templates are given: plain mappings made of orders, forms and runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from plugin.bundle import Action, Field
from plugin.expr import Scope
from plugin.filters import LineOption, LineSelection, PaymentSelection, clock_time, label
from plugin.money import Money, from_shopify
from plugin.shapes import Customer, FormState, OrderRow, Place, Resolution, Run, Step, StepState, StoreInfo

PAGE = 20
NOTHING_BACK = {"REFUNDED", "VOIDED"}
FIND_URL, ADMIN_URL, REVIEWS_URL = "/orders/find", "/admin", "/reviews"


def order_url(place: Place) -> str:
    return f"/stores/{quote(place.store)}/orders/{quote(place.order)}"


def action_url(place: Place, action_id: str) -> str:
    return f"{order_url(place)}/actions/{quote(action_id)}"


def run_url(place: Place, run_id: str) -> str:
    return f"{order_url(place)}/runs/{quote(run_id)}"


def review_url(place: Place, run_id: str) -> str:
    return f"{run_url(place, run_id)}/review"


def admin_url(store: StoreInfo, order_id: str) -> str:
    return f"https://admin.shopify.com/store/{store.admin_name}/orders/{order_id}"


# ---------------------------------------------------------------- the list


def order_list(
    customer: Customer, rows: Sequence[OrderRow], stores: Mapping[str, StoreInfo], in_doubt: set[Place],
    query: str, page: int, age_seconds: int, problem: str | None, waiting: int, may_search: bool, admin: bool,
) -> dict[str, Any]:  # fmt: skip
    found = [row for row in rows if _matches(row, query)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(page, 1), pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    return {
        "customer": {"name": customer.name},
        "query": query,
        "rows": [_row(row, stores[row.place.store], row.place in in_doubt) for row in shown],
        "age_seconds": age_seconds,
        "refresh_url": "/orders/refresh",
        "search_url": "/orders",
        "problem": problem,
        "reviews": waiting_text(waiting) if waiting else None,
        "reviews_url": REVIEWS_URL,
        "limited": limited(list(stores.values())),
        "find_url": FIND_URL if may_search else None,
        "admin_url": ADMIN_URL if admin else None,
        "page": page,
        "pages": pages,
        "prev_url": _page_url(query, page - 1) if page > 1 else None,
        "next_url": _page_url(query, page + 1) if page < pages else None,
    }


def waiting_text(count: int) -> str:
    return "1 run waits for a decision" if count == 1 else f"{count} runs wait for a decision"


def _page_url(query: str, page: int) -> str:
    return f"/orders?q={quote(query)}&page={page}"


def _matches(row: OrderRow, query: str) -> bool:
    """Search by number, product or SKU: in the header, and in the snapshot where there is one."""
    wanted = query.strip().lstrip("#").casefold()
    if not wanted:
        return True
    words = [row.name.lstrip("#")]
    for key, value in (row.snapshot or {}).items():
        if key.startswith("lineItems"):
            words += [str(line.get(name) or "") for line in value["nodes"] for name in ("title", "variantTitle", "sku")]
    return any(wanted in word.casefold() for word in words)


def _row(row: OrderRow, store: StoreInfo, in_doubt: bool) -> dict[str, Any]:
    header = None if row.legacy else row.header
    amount = from_shopify(header["total"]["amount"], header["total"]["currencyCode"]) if header else None
    gone = header is not None and header["cancelledAt"] is not None
    struck = gone or (header is not None and header["displayFinancialStatus"] in NOTHING_BACK)
    return {
        "url": order_url(row.place),
        "name": row.name,
        "date": row.created_at,
        "store_name": store.name,
        "amount": amount,
        "status": _status(header) if header else "",
        "struck": struck,
        "legacy": row.legacy,
        "admin_url": admin_url(store, row.place.order),
        "in_doubt": in_doubt,
    }


def _status(header: Mapping[str, Any]) -> str:
    if header["cancelledAt"] is not None:
        return "Cancelled"
    if header["displayFinancialStatus"] in ("REFUNDED", "PARTIALLY_REFUNDED", "VOIDED"):
        return label(header["displayFinancialStatus"])
    return label(header["displayFulfillmentStatus"])


SIXTY_DAYS = (
    "Orders older than 60 days are not shown for {names}: Shopify gives them only to an app with the access scope "
    "read_all_orders, which Shopify must approve. Ask an administrator; until then look in Shopify."
)


def limited(stores: Sequence[StoreInfo]) -> str | None:
    """Which stores keep their older orders from us, and what would change that; None while no store is known to."""
    names = [one.name for one in stores if one.scopes is not None and "read_all_orders" not in one.scopes]
    return SIXTY_DAYS.format(names=" and ".join(names)) if names else None


# ---------------------------------------------------------------- found by number


def found(number: str, rows: Sequence[Mapping[str, Any]], problems: Sequence[str], limit: str | None) -> dict[str, Any]:
    """Context of found.html."""
    return {"number": number, "rows": rows, "problems": problems, "limited": None if rows else limit,
            "find_url": FIND_URL, "back_url": "/orders"}  # fmt: skip


def found_row(
    store: StoreInfo, place: Place, header: Mapping[str, Any], whose: str, proof: str | None
) -> dict[str, Any]:  # fmt: skip
    total = header["total"]
    return {
        "url": order_url(place), "name": header["name"], "date": header["createdAt"], "store_name": store.name,
        "amount": from_shopify(total["amount"], total["currencyCode"]), "whose": whose, "proof": proof,
    }  # fmt: skip


def whose(own: bool, email: str) -> str:
    return "Of this customer" if own else f"Of somebody else: {masked(email)}"


def masked(email: str) -> str:
    """Enough to recognise an address one was told, and not enough to learn it."""
    local, _, domain = email.partition("@")
    if not local or not domain:
        return "no e-mail"
    return f"{local[0]}•••@{domain[0]}•••{domain[domain.rfind('.') :] if '.' in domain else ''}"


STRANGER = (
    "This order is not of the customer before you, but of somebody else ({email}). You found it by its number. "
    "Make sure who is asking; that you opened it is written down with your name."
)


def stranger(email: str) -> str:
    return STRANGER.format(email=masked(email))


# ---------------------------------------------------------------- one order


def action_row(action: Action, place: Place, reason: str | None, instead: Action | None) -> dict[str, Any]:
    """One entry of Update Order: open to the agent, or closed with its reason and what works instead."""
    return {
        "id": action.id,
        "title": action.title,
        "icon": action.icon,
        "url": action_url(place, action.id),
        "available": reason is None,
        "reason": reason,
        "suggest": {"title": instead.title, "url": action_url(place, instead.id)} if instead else None,
    }


# ---------------------------------------------------------------- runs


ON_ITS_WAY = 10.0  # seconds a call may travel before nobody can say what becomes of it


def run_state(run: Run, now: datetime) -> str:
    """One word for a run: working, pending, doubt, review, or how it ended."""
    if not run.open:
        return str((run.outcome or {}).get("state", "failed"))
    states = {step.state for step in run.steps}
    if StepState.REVIEW in states:
        return "review"
    if StepState.UNKNOWN in states or any(_unanswered(step, now) for step in run.steps):
        return "doubt"
    last = next((step for step in run.steps if step.state is not StepState.SETTLED), None)
    job_open = last is not None and "jobResult" in (last.receipt or {}) and "$job" not in (last.receipt or {})
    if last is not None and last.state is StepState.CONFIRMED and not job_open:
        return "pending"
    return "working"


def _unanswered(step: Step, now: datetime) -> bool:
    """Sent a while ago and no answer written down: the server that sent it may have died."""
    sent = step.last_sent_at
    return step.state is StepState.SENDING and sent is not None and (now - sent).total_seconds() > ON_ITS_WAY


IN_DOUBT = "We do not know yet whether Shopify did this. Do not repeat it, here or in Shopify; we are finding out."
STILL = "Shopify may still carry it out; we look again and decide by {by}."
SOON = "We look again every few seconds. If it cannot be known, a supervisor decides."
REVIEW = "Do not repeat this, here or in Shopify. A person must compare Shopify with this run: a supervisor decides."
FOREIGN = "Since it began, {amount} was refunded outside of this app."
WORKING = "Shopify is working on this. You may close the card; it goes on. Do not repeat it, here or in Shopify."
OPEN_STATES = ("working", "doubt", "review", "pending")
_Rows = Sequence[Mapping[str, Any]]
TITLES = {
    "done": "Done",
    "pending": "Pending",
    "working": "Working on it",
    "doubt": "In doubt - do not repeat",
    "review": "A person must decide - do not repeat",
    "failed": "Not done",
    "partly": "Only partly done",
}


def run_text(run: Run, state: str, told: str, by: datetime | None, foreign: Money | None) -> str:
    """`by` is when we decide, if that is to come; `foreign` was refunded by others since the run began."""
    others = [FOREIGN.format(amount=foreign.show())] if foreign is not None else []
    if state == "review":
        why = next((step.error for step in run.steps if step.state is StepState.REVIEW and step.error), "")
        return " ".join([REVIEW, why, *others]).replace("  ", " ").strip()
    if state == "doubt":
        return " ".join([IN_DOUBT, STILL.format(by=clock_time(by)) if by else SOON, *others])
    return WORKING if state == "working" else told


def outcome(
    run: Run, state: str, text: str, refunds: _Rows, rows: _Rows, back: tuple[str, str]
) -> dict[str, Any]:  # fmt: skip
    """Context of outcome.html."""
    follow = run_url(run.place, run.id) if state in OPEN_STATES else None
    return {
        "outcome": {
            "state": state,
            "title": TITLES[state],
            "text": text,
            "refunds": [{"id": str(one["id"]).rsplit("/", 1)[-1], "amount": one["amount"]} for one in refunds],
            "agent": run.agent_name,
            "at": run.created_at.isoformat(),
            "follow_url": follow,
            "back_label": back[0],
            "back_url": back[1],
            "decisions": [decision(one) for one in run.resolutions],
            "rows": rows,
        }
    }


DECIDED = {
    "again": "send it again",
    "done": "it was done",
    "cancelled": "it was cancelled, nothing was paid back",
    "not-done": "close it, not done",
}


def decision(made: Resolution) -> dict[str, Any]:
    """Who decided what about a run, when and why."""
    what = DECIDED.get(made.how, f"it is refund {made.how}")
    return {"agent": made.agent_name, "at": made.at.isoformat(), "what": what, "reason": made.reason}


# ---------------------------------------------------------------- the form


def form(
    action: Action, place: Place, order_name: str, state: FormState, scope: Scope, token: str, *,
    errors: Sequence[str], by_field: Mapping[str, str], ready: bool,
) -> dict[str, Any]:  # fmt: skip
    """Context of form.html."""
    url = action_url(place, action.id)
    rows = action.preview.summary if action.preview else ()
    summary = [
        {"label": row.label(scope), "value": row.value(scope), "strong": row.strong}
        for row in rows
        if row.when is None or row.when.evaluate(scope)
    ]
    fields = [_field(one, state, scope, by_field) for one in action.fields if one.name not in state.forbidden]
    return {
        "order_name": order_name,
        "form": {
            "action_id": action.id,
            "title": action.title,
            "preview_url": f"{url}/preview",
            "submit_url": url,
            "sent_url": f"{url}/sent",
            "cancel_url": order_url(place),
            "token": token,
            "fields": fields,
            "summary": summary,
            "warnings": [str(one.text(scope)) for one in action.warnings if one.condition.evaluate(scope)],
            "errors": list(errors),
            "sentence": action.sentence(scope),
            "button": action.button(scope),
            "ready": ready,
            "danger": any(step.root == "orderCancel" for step in action.steps),
        },
    }


def _field(field: Field, state: FormState, scope: Scope, by_field: Mapping[str, str]) -> dict[str, Any]:
    visible = field.name not in state.hidden
    value, options = _shown(field, state)
    return {
        "name": field.name,
        "type": field.type,
        "label": field.label(scope) if visible else "",
        "help": field.help(scope) if field.help and visible else None,
        "error": by_field.get(field.name),
        "visible": visible,
        "required": field.required,
        "value": value,
        "max_label": field.max_label(scope) if field.max_label and visible else None,
        "max_length": field.max_length,
        "options": options,
        "readonly": field.type == "payments" and field.name in state.locked,
        "live": field.after_preview,
    }


def _shown(field: Field, state: FormState) -> tuple[Any, list[dict[str, Any]]]:
    raw = (state.raw or {}).get(field.name)
    value = state.values.get(field.name)
    if field.type == "line_items":
        return None, _line_rows(state.options.get(field.name) or [], value or [], raw)
    if field.type == "payments":
        return None, _payment_rows(field, value or [], raw if field.name in state.errors else None)
    if field.type == "boolean":
        return (bool(field.default) if raw is None else raw in ("true", True)), []
    options = [{"value": one.value, "label": one.label} for one in state.options.get(field.name) or []]
    typed = _untyped(field, value) if raw is None else raw
    return (typed or (None if field.type == "choice" else "")), options


def _untyped(field: Field, value: Any) -> Any:
    """What a box shows before anything is typed: a money field's default is worked out, others are as written."""
    return value.plain() if isinstance(value, Money) else None if field.type == "money" else field.default


def _line_rows(options: Sequence[LineOption], chosen: Sequence[LineSelection], raw: Any) -> list[dict[str, Any]]:
    quantities = {one.option.id: one.quantity for one in chosen}
    typed = raw if isinstance(raw, Mapping) else {}
    return [
        {
            "id": one.id,
            "key": one.id.rsplit("/", 1)[-1],
            "title": one.title,
            "variant": one.variant,
            "sku": one.sku,
            "price": one.price,
            "max": one.maximum,
            "quantity": typed.get(one.id, quantities.get(one.id, 0)),
        }
        for one in options
    ]


def _payment_rows(field: Field, chosen: Sequence[PaymentSelection], raw: Any) -> list[dict[str, Any]]:
    typed = raw if isinstance(raw, Mapping) else {}
    return [
        {
            "id": one.option.id,
            "label": one.option.label,
            "amount": one.amount,
            "value": typed.get(one.option.id, one.amount.plain()),
            "max": one.option.suggested if field.at_most_suggested else one.option.maximum,
            "manual": one.option.manual,
        }
        for one in chosen
    ]


def message(title: str, text: str, action: tuple[str, str] | None = None) -> dict[str, Any]:
    """Context of message.html."""
    return {
        "title": title,
        "text": text,
        "action": {"label": action[0], "url": action[1]} if action else None,
    }


def seconds_since(then: datetime, now: datetime) -> int:
    return max(0, int((now - then).total_seconds()))
