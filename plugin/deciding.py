"""The page on which a person decides about a run: those that wait, one beside its order, the choice, the press.

Whoever may decide sees the runs of every customer of our stores; nobody else sees any of this. The form's
token names the press and holds the world it was rendered from: the same press twice is one decision, and
a world that moved on is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin import views
from plugin.drafts import store_of
from plugin.errors import ActInShopify, LookAgain, NothingHere, OrderActionsError, TooBusy, WaitForRun
from plugin.flow import PATIENCE, View, outcome_view
from plugin.permissions import READ, require
from plugin.ports import Tools
from plugin.reading import Seen, look
from plugin.review import (
    AGAIN,
    MAX_REASON,
    REVIEW,
    Choice,
    choices,
    doubtful,
    existing,
    foreign,
    in_doubt,
    resolve,
    stand_still,
    work_on,
    world,
)
from plugin.shapes import OrderFacts, Place, Resolution, Run, Session, Step, StepState
from plugin.standing import action_title, refunds, waiting, way_back
from plugin.telling import STEP_STATES
from plugin.tokens import FormClaims, Tokens, new_run_id

PAUSE = 0.2  # seconds between two tries to hold a run that somebody works on
FORM = "review"  # stands where a form of an action has the digest of its file
ENDED = "This run does not wait for a decision any more: {title}. Nothing was done by this press."
OTHER_FORM = "This form is not of this run. Nothing was done; open the run again."
OTHER_CHOICE = "This is not the choice you were shown. Nothing was done; look at it and press again."
OTHER_VALUES = "This form was already sent with other values. Look at the run again."
BY_COMMAND = "When you know what became of it: `order-actions runs resolve {run} --as done`, or `--as not-done`."
NOT_DECIDED = (
    "We did not hear back. Nothing was decided by this form so far, and what you wrote is kept. "
    "You may press again: this form decides once at most."
)
CHOOSE = "Choose what is right. Nothing is sent before you press the button."


@dataclass(frozen=True)
class Answers:
    """What the person put into the form."""

    how: str
    reason: str

    @property
    def wrong(self) -> str | None:
        if not self.reason:
            return "Say why, for whoever reads this run later."
        return None if len(self.reason) <= MAX_REASON else f"At most {MAX_REASON} characters."


@dataclass(frozen=True)
class Case:
    """A run in doubt beside its fresh order, and what could be decided."""

    run: Run
    step: Step
    seen: Seen
    offered: list[Choice]

    def chosen(self, how: str) -> Choice | None:
        return next((one for one in self.offered if one.how == how and one.blocked is None), None)


# ---------------------------------------------------------------- the pages


def reviews(tools: Tools, session: Session) -> View:
    """The runs that wait for a person, the longest waiting first; from our tables."""
    _authorize(tools, session)
    runs = sorted(waiting(tools, tools.runs.open_runs()), key=lambda one: one.created_at)
    back = views.order_url(session.place) if session.place else "/orders"
    context = {
        "title": views.waiting_text(len(runs)) if runs else "No run waits for a decision",
        "rows": [_row(tools, one) for one in runs],
        "back_url": back,
        "refresh_url": views.REVIEWS_URL,
    }
    return View("review_list", context)


def open_review(tools: Tools, tokens: Tokens, session: Session, place: Place, run_id: str) -> View:
    """One run beside its order: one call. A run that needs nobody is shown as it stands."""
    run = _run_of(tools, session, place, run_id)
    if in_doubt(run) is None:
        return outcome_view(tools, session, run)
    return _page(tools, tokens, session, _case(tools, run), Answers("", ""), new_run_id())


def preview(
    tools: Tools, tokens: Tokens, session: Session, place: Place, run_id: str, raw: Mapping[str, Any], token: str
) -> View:  # fmt: skip
    """The same page with what the choice would do now; the token's time starts anew."""
    run = _run_of(tools, session, place, run_id)
    claims = _claims(tokens, session, run, token)
    return _page(tools, tokens, session, _same_case(tools, run, claims), _answers(raw), claims.run_id)


def decide(
    tools: Tools, tokens: Tokens, session: Session, place: Place, run_id: str, raw: Mapping[str, Any], token: str
) -> View:  # fmt: skip
    """Carry the decision out once, and tell how the run stands. The same press again gets the same answer."""
    run = _run_of(tools, session, place, run_id)
    form, answers = _claims(tokens, session, run, token, even_old=True), _answers(raw)
    try:
        return _same_again(tools, session, form, answers) or _press(
            tools, tokens, session, run, _claims(tokens, session, run, token), answers
        )
    except OrderActionsError:
        told_already = _same_again(tools, session, form, answers)
        if told_already is None:
            raise
        return told_already


def sent(tools: Tools, tokens: Tokens, session: Session, place: Place, run_id: str, token: str) -> View:
    """What became of a decision whose answer was lost; from our tables."""
    run = _run_of(tools, session, place, run_id)
    made = _made(tools, _claims(tokens, session, run, token, even_old=True))
    return outcome_view(tools, session, run) if made else View("message", views.message("Not decided", NOT_DECIDED))


def _press(
    tools: Tools, tokens: Tokens, session: Session, run: Run, claims: FormClaims, answers: Answers
) -> View:  # fmt: skip
    _must_doubt(tools, run)
    if answers.wrong or not answers.how or answers.how != claims.moves:
        case = _same_case(tools, run, claims)
        return _page(tools, tokens, session, case, answers, claims.run_id, sent=True, other=answers.how != claims.moves)
    until = tools.clock.now().timestamp() + PATIENCE
    while True:
        try:
            decided = resolve(
                tools, session.agent, run.id, answers.how, answers.reason,
                press=claims.run_id, shown=claims.fingerprint,
            )  # fmt: skip
            return outcome_view(tools, session, decided)
        except WaitForRun as held:  # the worker looks at it, or this very press came twice
            if _made(tools, claims) or tools.clock.now().timestamp() > until:
                raise TooBusy(str(held)) from held
            tools.clock.sleep(PAUSE)


# ---------------------------------------------------------------- the parts


def _authorize(tools: Tools, session: Session) -> None:
    """Permission before anything is read."""
    for permission in (READ, REVIEW):
        require(session.agent, permission, tools.bundle.permissions)


def _run_of(tools: Tools, session: Session, place: Place, run_id: str) -> Run:
    _authorize(tools, session)
    store_of(tools, place)
    run = tools.runs.run(run_id)
    if run is None or run.place != place:
        raise NothingHere("There is no such run on this order.")
    return run


def _case(tools: Tools, run: Run) -> Case:
    step = doubtful(run)
    try:
        seen = look(tools, run.place)
    except (NothingHere, ActInShopify) as error:
        raise ActInShopify(f"{error} {BY_COMMAND.format(run=run.id)}") from error
    return Case(run, step, seen, choices(work_on(tools, run), step, seen.facts))


def _same_case(tools: Tools, run: Run, claims: FormClaims) -> Case:
    """Raises LookAgain when the order or the run is not what the person was shown."""
    _must_doubt(tools, run)
    case = _case(tools, run)
    stand_still(claims.fingerprint, case.step, case.seen.facts)
    return case


def _must_doubt(tools: Tools, run: Run) -> None:
    if in_doubt(run) is None:
        raise LookAgain(ENDED.format(title=views.TITLES[views.run_state(run, tools.clock.now())]))


def _claims(tokens: Tokens, session: Session, run: Run, token: str, *, even_old: bool = False) -> FormClaims:
    """`even_old`: what became of a form may be asked when it could not be sent any more."""
    claims = tokens.open_form(token, even_old=even_old)
    mine = (claims.agent_id, claims.place, claims.action_id, claims.action_digest)
    if mine != (session.agent.id, run.place, run.id, FORM):
        raise LookAgain(OTHER_FORM)
    return claims


def _answers(raw: Mapping[str, Any]) -> Answers:
    how, reason = (value if isinstance(value := raw.get(name), str) else "" for name in ("how", "reason"))
    kept = "".join(one for one in reason.replace("\r\n", "\n") if one.isprintable() or one == "\n")
    return Answers(how, kept.strip())


def _made(tools: Tools, claims: FormClaims) -> Resolution | None:
    return next((one for one in existing(tools, claims.action_id).resolutions if one.id == claims.run_id), None)


def _same_again(tools: Tools, session: Session, claims: FormClaims, answers: Answers) -> View | None:
    made = _made(tools, claims)
    if made is None:
        return None
    if (made.how, made.reason) != (answers.how, answers.reason):
        raise LookAgain(OTHER_VALUES)
    return outcome_view(tools, session, existing(tools, claims.action_id))


# ---------------------------------------------------------------- what the templates are given


def _page(
    tools: Tools, tokens: Tokens, session: Session, case: Case, answers: Answers, press: str, *,
    sent: bool = False, other: bool = False,
) -> View:  # fmt: skip
    """The rendered page. A missing reason is told once the form was sent."""
    run, step, facts = case.run, case.step, case.seen.facts
    chosen = case.chosen(answers.how)
    claims = FormClaims(
        press, session.agent.id, run.place, run.id, FORM, world(step, facts), chosen.how if chosen else "", {}
    )
    label, back = way_back(tools, session, run)
    url = views.review_url(run.place, run.id)
    wrong = answers.wrong if sent or answers.reason else None
    context = {
        "title": f"{action_title(tools, run)} on {facts.name}",
        "order_name": facts.name,
        "preview_url": f"{url}/preview", "url": url, "back_url": back, "back_label": label,
        "token": tokens.seal_form(claims, tools.clock.now()),
        "state": views.TITLES[views.run_state(run, tools.clock.now())],
        "why": _why(tools, run, step, facts),
        "order": _order(tools, case),
        "record": _record(tools, run),
        "choices": [_choice(one, chosen) for one in case.offered],
        "reason": answers.reason, "reason_error": wrong, "max_reason": MAX_REASON,
        "errors": [OTHER_CHOICE] if other and chosen else [],
        "sentence": chosen.effect if chosen else CHOOSE,
        "button": chosen.title if chosen else "Choose what is right",
        "ready": chosen is not None and answers.wrong is None,
        "danger": chosen is not None and chosen.how == AGAIN,
    }  # fmt: skip
    return View("review", context, 422 if sent else 200)


def _why(tools: Tools, run: Run, step: Step, facts: OrderFacts) -> list[str]:
    others = foreign(tools, run, facts)
    return [one for one in (step.error, others and views.FOREIGN.format(amount=others.show())) if one]


def _order(tools: Tools, case: Case) -> dict[str, Any]:
    """The order as Shopify shows it now; each refund says whose it is."""
    facts, store = case.seen.facts, store_of(tools, case.seen.place)
    known = refunds(tools, case.seen, tools.runs.runs_of(case.seen.place))
    return {
        "name": facts.name,
        "admin_url": views.admin_url(store, case.seen.place.order),
        "store_name": store.name,
        "financial_status": facts.financial_status,
        "fulfillment_status": facts.fulfillment_status,
        "cancelled_at": facts.cancelled_at,
        "staff_note": facts.staff_note if facts.cancelled_at is not None else None,
        "paid": facts.rate_presentment,
        "refunded": facts.refunded,
        "net": facts.net_presentment,
        "refunds": [{**one, "this_run": one["run_id"] == case.run.id} for one in known],
    }


def _record(tools: Tools, run: Run) -> dict[str, Any]:
    return {
        "action": action_title(tools, run),
        "agent": run.agent_name,
        "at": run.created_at.isoformat(),
        "steps": [_step(one) for one in run.steps],
        "decisions": [views.decision(one) for one in run.resolutions],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "number": step.position + 1,
        "name": step.name,
        "call": step.root,
        "state": STEP_STATES[step.state],
        "amount": step.moves if step.moves > 0 else None,
        "reference": step.marker,
        "attempts": step.attempts,
        "first_sent_at": step.first_sent_at.isoformat() if step.first_sent_at else None,
        "last_sent_at": step.last_sent_at.isoformat() if step.last_sent_at else None,
    }


def _choice(one: Choice, chosen: Choice | None) -> dict[str, Any]:
    return {"how": one.how, "title": one.title, "effect": one.effect, "blocked": one.blocked, "checked": one is chosen}


def _row(tools: Tools, run: Run) -> dict[str, Any]:
    step = next(one for one in run.steps if one.state is StepState.REVIEW)
    return {
        "url": views.review_url(run.place, run.id),
        "name": str(run.facts["name"]),
        "store_name": store_of(tools, run.place).name,
        "action": action_title(tools, run),
        "agent": run.agent_name,
        "at": run.created_at.isoformat(),
        "amount": step.moves if step.moves > 0 else None,
        "why": step.error or "",
    }
