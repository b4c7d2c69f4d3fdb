"""The fake Kustomer over HTTP. Which of its rules are beliefs is said in docs/kustomer.md."""

import base64
import hashlib
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import BaseWSGIServer
from werkzeug.wrappers import Response as AnyResponse

from ..running import start, stop
from . import pages
from .state import MACHINE, ORG_ID, State

HERE = Path(__file__).parent
CLIENT_SECRET = "client-secret"
Answer = AnyResponse | tuple[Response, int] | tuple[Response, int, dict[str, str]]


@dataclass
class Running:
    """A started Kustomer; tests turn its switches in `state`."""

    server: BaseWSGIServer
    state: State
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        stop(self.server, self.thread)


def serve(port: int = 0) -> Running:
    state = State()
    server, thread = start(_app(state), port, "sandbox-kustomer")
    return Running(server, state, thread)


def error(status: int, code: str, words: str, *, old: bool = False) -> tuple[Response, int]:
    """Both shapes Kustomer uses; the older one is JSON:API's."""
    if old:
        return jsonify(errors=[{"status": status, "code": code, "title": words, "source": {"parameter": "id"}}]), status
    return jsonify(errors=[{"code": code, "message": words, "meta": {}}]), status


def _compared(contact: str) -> str:
    return contact.casefold() if "@" in contact else "".join(one for one in contact if one in "+0123456789")


def _one(kind: str, key: str, attributes: dict[str, Any], **more: Any) -> Response:
    return jsonify(data={"type": kind, "id": key, "attributes": attributes, **more})


def _app(state: State) -> Flask:
    app = Flask("kustomer", static_folder=None)
    door = _Door(state)
    for rule, method, view in (
        ("/v1/users/current", "GET", door.current),
        ("/v1/users/<key>", "GET", door.user),
        ("/v1/role-groups", "GET", door.role_groups),
        ("/v1/auth/tokens/current", "GET", door.token),
        ("/v1/customers/<key>", "GET", door.customer),
        ("/v1/customers/<key>/klasses/<klass>", "POST", door.create),
        ("/v1/conversations/<key>", "GET", door.conversation),
        ("/v1/conversations/<key>/notes", "GET", door.notes),
        ("/v1/notes", "POST", door.note),
        ("/v1/klasses", "POST", door.make_klass),
        ("/v1/klasses/<klass>", "GET", door.klass),
        ("/v1/klasses/<klass>/<key>", "GET", door.kobject),
        ("/v1/klasses/<klass>/<key>", "PUT", door.update),
        ("/v1/apps/available", "POST", door.register),
        ("/v1/apps/available", "GET", door.available),
        ("/v1/apps/available/<key>/secret", "POST", door.secret),
        ("/v1/apps/install", "POST", door.install),
        ("/v1/apps", "GET", door.installed),
        ("/v1/commands/<name>/run", "POST", door.run),
        ("/oauth/authorize", "GET", door.authorize),
        ("/oauth/token", "POST", door.exchange),
        ("/card.js", "GET", door.script),
        ("/", "GET", door.start),
        ("/", "POST", door.sign_in),
        ("/desk", "GET", door.desk),
        ("/desk/notes", "GET", door.timeline),
    ):
        app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
    app.before_request(door.guard)
    app.after_request(door.lose)
    return app


class _Door:
    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = state.lock

    def guard(self) -> Any:
        state = self._state
        if not request.path.startswith(("/v1/", "/oauth/token")):
            return None
        state.asked.append(f"{request.method} {request.path}")
        if state.faults and state.faults[0] != "lost":
            return self._fault(state.faults.pop(0) if state.faults[0] != "outage" else "outage")
        if request.path.startswith("/v1/") and self._who() is None:
            return error(401, "unauthorized", "Token is not valid.")
        return None

    def lose(self, answer: Response) -> Response:
        """What was asked is done, and nobody is told."""
        if request.method != "POST" or self._state.faults[:1] != ["lost"]:
            return answer
        self._state.faults.pop(0)
        return Response("the answer is lost", 502)

    def _fault(self, kind: str) -> Answer:
        if kind == "limit":
            answer, status = error(429, "rate_limited", "Too many requests.")
            return answer, status, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}
        return error(503, "unavailable", "Kustomer is away.")

    def _who(self) -> str | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return MACHINE if token == self._state.key else self._state.access.get(token)

    # ------------------------------------------------------------ people

    def current(self) -> Answer:
        who = str(self._who())
        return _one("user", who, self._state.users[who])

    def user(self, key: str) -> Answer:
        found = self._state.users.get(key)
        return _one("user", key, found) if found else error(404, "notfound", "Not Found", old=True)

    def role_groups(self) -> Answer:
        rows = [
            {"type": "role_group", "id": key, "attributes": {"name": one}} for key, one in self._state.groups.items()
        ]
        return jsonify(data=rows)

    def token(self) -> Answer:
        return _one("token", "t", {"roles": self._state.roles})

    def customer(self, key: str) -> Answer:
        kind, _, wanted = key.partition("=")
        for one, attributes in self._state.customers.items():
            reached = [row[kind] for row in attributes.get(f"{kind}s", [])] if kind in ("email", "phone") else []
            # unproven: that a phone is found however it is written
            if one == key or _compared(wanted) in [_compared(row) for row in reached]:
                return _one("customer", one, attributes)
        return error(404, "notfound", "Not Found", old=True)

    # ------------------------------------------------------------ notes and objects

    def conversation(self, key: str) -> Answer:
        owner = self._state.conversations.get(key)
        if owner is None:
            return error(404, "notfound", "Not Found", old=True)
        return _one("conversation", key, {}, relationships={"customer": {"data": {"type": "customer", "id": owner}}})

    def notes(self, key: str) -> Answer:
        if key not in self._state.conversations:
            return error(404, "notfound", "Not Found", old=True)
        rows = [{"type": "note", "attributes": one} for one in self._state.notes if one["conversation"] == key]
        page, size = int(request.args.get("page", "1")), self._state.page_size
        more = f"/v1/conversations/{key}/notes?page={page + 1}" if len(rows) > page * size else None
        return jsonify(data=rows[(page - 1) * size : page * size], links={"next": more})

    def note(self) -> Answer:
        body = request.get_json()
        if "createdBy" in body and "org.admin" not in self._state.roles:
            return error(403, "forbidden", "createdBy needs the role org.admin.")
        with self._lock:
            self._state.notes.append(body)
        return jsonify(data={"type": "note", "id": "n", "attributes": body}), 201

    def make_klass(self) -> Answer:
        body = request.get_json()
        if body["name"] in self._state.klasses:
            return error(409, "conflict", "The klass exists.")
        self._state.klasses[body["name"]] = body
        return jsonify(data={"type": "klass", "id": body["name"], "attributes": body}), 201

    def klass(self, klass: str) -> Answer:
        found = self._state.klasses.get(klass)
        return _one("klass", klass, found) if found else error(404, "notfound", "Not Found", old=True)

    def create(self, key: str, klass: str) -> Answer:
        body = request.get_json()
        if wrong := _bad_attribute(body["custom"]):
            return error(400, "badparam", f"Additional properties not allowed: {wrong}", old=True)
        with self._lock:
            if body["externalId"] in self._state.kobjects:
                return error(409, "conflict", "externalId is taken.")
            self._state.kobjects[body["externalId"]] = {**body, "customer": key, "rev": 1}
        return jsonify(data={"id": f"k-{body['externalId']}", "attributes": body}), 201

    def kobject(self, klass: str, key: str) -> Answer:
        found = self._state.kobjects.get(key.removeprefix("externalId="))
        if found is None:
            return error(404, "notfound", "Not Found", old=True)
        return _one(f"kobject.{klass}", f"k-{found['externalId']}", found)

    def update(self, klass: str, key: str) -> Answer:
        body = request.get_json()
        with self._lock:
            found = self._state.kobjects[key.removeprefix("k-")]
            if self._state.conflicts or body.get("rev") != found["rev"]:
                self._state.conflicts = max(0, self._state.conflicts - 1)
                return error(409, "conflict", "rev is old.")
            if wrong := _bad_attribute(body["custom"]):
                return error(400, "badparam", f"Additional properties not allowed: {wrong}", old=True)
            found.update(body, rev=found["rev"] + 1)
        return _one(f"kobject.{klass}", key, found)

    # ------------------------------------------------------------ apps

    def register(self) -> Answer:
        body = request.get_json()
        if "org.admin.apps" not in self._state.roles:
            return error(403, "forbidden", "org.admin.apps is needed.")
        known = [one["version"] for one in self._state.apps.values()]
        if any(_order(one) >= _order(body["version"]) for one in known):
            return error(409, "conflict", "The version must rise.")
        body["app"] = f"{body['app']}_{ORG_ID}"  # a private app is given the organisation's id
        key = f"{body['app']}-{body['version']}"
        self._state.apps[key] = body
        return jsonify(data={"id": key, "attributes": {**body, "clientId": "client"}}), 201

    def available(self) -> Answer:
        rows = [{"id": key, "attributes": {**one, "clientId": "client"}} for key, one in self._state.apps.items()]
        return jsonify(data=rows)

    def secret(self, key: str) -> Answer:
        """Shown to whoever may register; the form of the answer is a belief."""
        if key not in self._state.apps:
            return error(404, "notfound", "Not Found", old=True)
        return jsonify(data={"id": key, "attributes": {"clientSecret": CLIENT_SECRET}})

    def install(self) -> Answer:
        body = request.get_json()
        if f"{body['app']}-{body['version']}" not in self._state.apps:
            return error(404, "notfound", "There is no such version.")
        self._state.installed[body["app"]] = body["version"]
        return jsonify(data={"id": body["app"], "attributes": {"status": "installing"}}), 202

    def installed(self) -> Answer:
        rows = self._state.installed.items()
        return jsonify(data=[{"id": app, "attributes": {"app": app, "version": one}} for app, one in rows])

    def run(self, name: str) -> Answer:
        """The proxy: honest, it says itself who asks and hides the secret; forging, it lets the caller say."""
        body, who = request.get_json(), str(self._who())
        own = {"x-kustomer-user-id": who, "x-kustomer-org-id": ORG_ID}
        secret = {"Authorization": f"Bearer {self._state.command_secret}"}
        given = {key.lower(): value for key, value in body.get("headers", {}).items()}
        forging = self._state.proxy == "forging"
        headers = {**own, **given, **secret} if forging else {**given, **own, **secret}
        url = self._state.command_url or self._command(name)
        if not url:
            return error(404, "notfound", "Not Found", old=True)
        answer = requests.post(url, json=body.get("body"), headers=headers, timeout=10)
        shown = headers if self._state.proxy in ("forging", "leaking") else {**headers, "Authorization": "***"}
        attributes = {"commandId": name, "requestHeaders": shown, "responseBody": answer.json(),
                      "statusCode": answer.status_code}  # fmt: skip
        return jsonify(data={"type": "command", "attributes": attributes})

    def _command(self, name: str) -> str:
        """Where the installed app that declared this command has it sent."""
        apps = [self._state.apps[f"{app}-{version}"] for app, version in self._state.installed.items()]
        own = name.partition(".")[2]  # behind the app's name, to which the organisation's id was added
        found = [one["url"] for app in apps for one in app.get("commands", []) if one["name"].partition(".")[2] == own]
        return str(found[0]) if found else ""

    # ------------------------------------------------------------ sign-in

    def authorize(self) -> Answer:
        """The one who is signed in agrees at once."""
        asked = request.args
        code = secrets.token_urlsafe(16)
        self._state.codes[code] = {"challenge": asked["code_challenge"], "redirect": asked["redirect_uri"],
                                   "user": self._state.signed_in}  # fmt: skip
        return redirect(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    def exchange(self) -> Answer:
        form = request.form
        with self._lock:
            user = self._by_code() if form["grant_type"] == "authorization_code" else self._by_refresh()
            if user is None or (form["client_id"], form["client_secret"]) != ("client", CLIENT_SECRET):
                return error(400, "invalid_grant", "The grant is not valid.")
            access, refresh = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
            self._state.access[access], self._state.refresh[refresh] = user, user
        return jsonify(access_token=access, refresh_token=refresh, expires_in=self._state.lasts, token_type="Bearer")

    def _by_code(self) -> str | None:
        kept = self._state.codes.pop(request.form["code"], None)
        digest = hashlib.sha256(request.form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        good = kept and (kept["challenge"], kept["redirect"]) == (challenge, request.form["redirect_uri"])
        return kept["user"] if kept and good else None

    def _by_refresh(self) -> str | None:
        return self._state.refresh.pop(request.form["refresh_token"], None)

    # ------------------------------------------------------------ the page around the card

    def script(self) -> AnyResponse:
        return Response((HERE / "static/card.js").read_bytes(), mimetype="text/javascript")

    def start(self) -> AnyResponse:
        """Who is signed in, and every customer with the card of the app that is installed."""
        return Response(pages.start(self._state), mimetype="text/html")

    def sign_in(self) -> AnyResponse:
        self._state.signed_in = request.form["user"]
        return redirect("/", 303)

    def timeline(self) -> Answer:
        """The notes of one conversation, for the page around the card."""
        wanted = request.args.get("conversation")
        return jsonify([one["body"] for one in self._state.notes if one["conversation"] == wanted])

    def desk(self) -> AnyResponse:
        page = (HERE / "static/desk.html").read_text(encoding="utf-8")
        return Response(page, mimetype="text/html")


def _bad_attribute(custom: dict[str, Any]) -> str | None:
    """A name whose suffix does not fit its value."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "Str": str,
        "Txt": str,
        "At": str,
        "Url": str,
        "Num": (int, float),
        "Bool": bool,
    }
    for name, value in custom.items():
        kind = next((one for end, one in kinds.items() if name.endswith(end)), None)
        if kind is None or not isinstance(value, kind) or (name.endswith("Str") and len(str(value)) > 1024):
            return name
    return None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
