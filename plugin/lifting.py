"""The page that lifts an alarm: what stands, why it may end, one press."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin import alarms
from plugin.admin import URL, about, alarms_of, authorize, overview
from plugin.app import App
from plugin.errors import LookAgain, NothingHere, OrderActionsError
from plugin.flow import View
from plugin.ports import Alarm
from plugin.review import MAX_REASON
from plugin.shapes import Place, Session
from plugin.tokens import FormClaims, new_run_id

LIFT = "lift"  # stands where a form of an action has the digest of its file
ENDS = {
    "pace": "Refunds that it stopped go on at once, and counting begins anew.",
    "doubt": "The program goes on finding out; the run stays as it is.",
    "restored": "Refunds go on in every store. First compare open runs, and refunds since the backup, with Shopify.",
}
STAYS = "The run stays as it is: a person decides about it."


@dataclass(frozen=True)
class Lifting:
    """An alarm on the page that lifts it, and what the person wrote."""

    alarm: Alarm
    reason: str

    @property
    def wrong(self) -> str | None:
        if not self.reason:
            return "Say why, for whoever reads this alarm later."
        return None if len(self.reason) <= MAX_REASON else f"At most {MAX_REASON} characters."


def open_page(app: App, session: Session, alarm_id: str) -> View:
    authorize(app, session)
    return _page(app, session, Lifting(_standing(app, alarm_id), ""))


def preview(app: App, session: Session, alarm_id: str, raw: Mapping[str, Any], token: str) -> View:
    authorize(app, session)
    lifting = Lifting(_standing(app, alarm_id), _written(raw))
    _claims(app, session, lifting.alarm, token)
    return _page(app, session, lifting, lifting.wrong if lifting.reason else None)


def lift(app: App, session: Session, alarm_id: str, raw: Mapping[str, Any], token: str) -> View:
    """The same press twice lifts once and reads the same."""
    authorize(app, session)
    lifting = Lifting(_alarm(app, alarm_id), _written(raw))
    _claims(app, session, lifting.alarm, token)
    if lifting.wrong:
        return _page(app, session, lifting, lifting.wrong, status=422)
    try:
        alarms.lift(app.tools, session.agent, lifting.alarm.id, lifting.reason)
    except OrderActionsError:
        now = _alarm(app, alarm_id)
        if (now.lifted_by, now.reason) != (session.agent.name, lifting.reason):
            raise
    return overview(app, session, f"Alarm {lifting.alarm.id} is lifted.")


def _alarm(app: App, alarm_id: str) -> Alarm:
    found = next((one for one in alarms_of(app) if str(one.id) == alarm_id), None)
    if found is None:
        raise NothingHere("There is no such alarm.")
    return found


def _standing(app: App, alarm_id: str) -> Alarm:
    found = _alarm(app, alarm_id)
    if found.lifted_at is not None:
        raise LookAgain(f"{found.lifted_by} lifted this alarm before: {found.reason}")
    return found


def _written(raw: Mapping[str, Any]) -> str:
    value = raw.get("reason")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _claims(app: App, session: Session, alarm: Alarm, token: str) -> None:
    claims = app.tokens.open_form(token)
    mine = (session.agent.id, str(alarm.id), LIFT)
    if (claims.agent_id, claims.action_id, claims.action_digest) != mine:
        raise LookAgain("This form is not of this alarm. Nothing was done; open it again.")


def _page(app: App, session: Session, lifting: Lifting, error: str | None = None, status: int = 200) -> View:
    one, url = lifting.alarm, f"{URL}/alarms/{lifting.alarm.id}"
    claims = FormClaims(new_run_id(), session.agent.id, Place(one.store, ""), str(one.id), LIFT, {}, "", {})
    context = {
        "title": f"Lift alarm {one.id}", "url": url, "preview_url": f"{url}/preview", "back_url": URL,
        "token": app.tokens.seal_form(claims, app.tools.clock.now()), "about": about(one), "text": one.text,
        "raised_at": one.raised_at.isoformat(), "reason": lifting.reason, "error": error, "max_reason": MAX_REASON,
        "sentence": ENDS.get(one.kind, STAYS), "button": f"Lift alarm {one.id}", "ready": lifting.wrong is None,
    }  # fmt: skip
    return View("lift", context, status)
