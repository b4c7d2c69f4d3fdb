"""The HTTP door of the admin pages; who asks, and how a view is shown, is the card's own."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from plugin import admin, lifting, reports
from plugin.app import App
from plugin.flow import View
from plugin.logs import tell
from plugin.shapes import Session

Show = Callable[[View], Response]
Posted = Callable[[], tuple[Mapping[str, Any], str]]


def routes(
    app: App, session: Callable[[], Session], show: Show, posted: Posted
) -> list[tuple[str, str, Callable[..., Response]]]:  # fmt: skip
    door = _Door(app, session, show, posted)
    one = "/admin/alarms/<alarm>"
    return [
        ("/admin", "GET", door.overview),
        ("/admin/stores/<store>", "GET", door.store),
        ("/admin/permissions", "GET", door.permissions),
        ("/admin/runs", "GET", door.runs),
        ("/admin/runs/csv", "GET", door.csv),
        ("/admin/refunds", "GET", door.refunds),
        (one, "GET", door.open_lift),
        (f"{one}/preview", "POST", door.preview_lift),
        (one, "POST", door.lift),
    ]


class _Door:
    def __init__(self, app: App, session: Callable[[], Session], show: Show, posted: Posted) -> None:
        self._app = app
        self._session = session
        self._show = show
        self._posted = posted

    def overview(self) -> Response:
        return self._show(admin.overview(self._app, self._session()))

    def store(self, store: str) -> Response:
        return self._show(admin.store(self._app, self._session(), store))

    def permissions(self) -> Response:
        return self._show(admin.permissions(self._app, self._session()))

    def runs(self) -> Response:
        return self._show(admin.runs(self._app, self._session(), reports.asked(request.args)))

    def refunds(self) -> Response:
        return self._show(admin.refunds(self._app, self._session(), reports.asked(request.args)))

    def csv(self) -> Response:
        """A spreadsheet takes it for UTF-8 by the mark at its start."""
        session = self._session()
        admin.authorize(self._app, session)
        text, count = reports.as_csv(self._app.tools, reports.asked(request.args), admin.domains(self._app))
        tell("admin.exported", agent=session.agent.id, count=count)
        answer = Response(f"\ufeff{text}", content_type="text/csv; charset=utf-8")
        answer.headers["Content-Disposition"] = 'attachment; filename="runs.csv"'
        return answer

    def open_lift(self, alarm: str) -> Response:
        return self._show(lifting.open_page(self._app, self._session(), alarm))

    def preview_lift(self, alarm: str) -> Response:
        return self._show(lifting.preview(self._app, self._session(), alarm, *self._posted()))

    def lift(self, alarm: str) -> Response:
        return self._show(lifting.lift(self._app, self._session(), alarm, *self._posted()))
