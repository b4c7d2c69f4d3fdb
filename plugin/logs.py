"""The log: one entry for each thing an operator wants to know, and nothing in it that was not allowed by name."""

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import structlog

from plugin import metrics
from plugin.shapes import Run


@dataclass(frozen=True)
class Event:
    """How loud an event is, what it means, and the counter it moves; `result` is the event's last word."""

    level: str
    meaning: str
    counter: str | None = None


EVENTS: Mapping[str, Event] = {
    "server.started": Event("info", "a process begins to serve"),
    "server.stopped": Event("info", "the server ends"),
    "bundle.taken": Event("info", "the server was told to reload, and new processes take the bundle as it is now"),
    "bundle.refused": Event("error", "the server was told to reload, and goes on with the bundle before: this one has "
                            "errors"),
    "worker.started": Event("info", "the background work of a process begins"),
    "worker.stopped": Event("info", "the background work of a process ends"),
    "worker.failed": Event("error", "the look at a run, or another duty of the background work, ended in a way we did "
                           "not foresee; it goes on"),
    "request.failed": Event("error", "a request was answered with 500 or more; with a trace if we did not foresee it"),
    "request.shed": Event("warning", "a request was refused because the server is full", "submits_shed"),
    "run.begun": Event("info", "an agent pressed; run and steps are written down", "runs_begun"),
    "run.closed": Event("info", "a run ended; `outcome` says how", "runs_closed"),
    "run.decided": Event("info", "a person decided about a run in doubt; not carried out yet", "decisions"),
    "step.sent": Event("info", "the call is written down as being sent, just before it goes; `attempt` counts"),
    "step.verdict": Event("info", "what Shopify's answer proves", "sends"),
    "step.intent": Event("info", "the call never left; it is tried again"),
    "step.confirmed": Event("info", "Shopify did it; its job or its payments are followed"),
    "step.settled": Event("info", "finished and proved"),
    "step.failed": Event("info", "proved not done"),
    "step.unknown": Event("warning", "anything may have happened; the program finds out"),
    "step.review": Event("warning", "a person must decide"),
    "step.unread": Event("warning", "the order, or a cancel's job, could not be read for a call"),
    "order.unreadable": Event("error", "an order for the CRM's timeline cannot be read, as its secret was taken away; "
                              "others go on"),
    "order.searched": Event("info", "an agent looked for an order by its number; `order` when there is one"),
    "order.lent": Event("warning", "an agent used somebody else's order, found by its number"),
    "shopify.throttled": Event("info", "Shopify asked to slow down; the reading waits"),
    "shopify.failed": Event("warning", "Shopify could not be read"),
    "note.sent": Event("info", "the CRM took a run's note", "notes"),
    "note.late": Event("warning", "the CRM did not take a run's note; it is tried again", "notes"),
    "note.unreadable": Event("error", "a run's note cannot be read, as its secret was taken away; others go on"),
    "webhook.taken": Event("info", "a webhook was recorded", "webhooks"),
    "webhook.ignored": Event("info", "a webhook of a store or topic that is not ours", "webhooks"),
    "webhook.repeated": Event("info", "a webhook had been taken before", "webhooks"),
    "webhook.refused": Event("warning", "a webhook with a wrong signature, of another store, or that is no order",
                             "webhooks"),
    "privacy.done": Event("info", "a privacy request of Shopify was carried out"),
    "privacy.waits": Event("warning", "a privacy request waits for an open run, or for a note that is due"),
    "alarm.raised": Event("error", "somebody must look; see `order-actions alarms list`", "alarms_raised"),
    "admin.exported": Event("info", "an admin saved runs as a file; `count` says how many"),
    "alarm.lifted": Event("warning", "an alarm was lifted, by a person or because its reason is gone"),
}  # fmt: skip

# The only keys that reach a log line, with what they hold. Whatever else is passed is dropped.
KEYS: Mapping[str, str] = {
    "timestamp": "when, in UTC",
    "level": "info, warning or error",
    "event": "one of the table above; `library` for a line of a library",
    "run": "the run's id", "store": "the store's domain", "order": "Shopify's id of the order",
    "action": "the action's id", "agent": "the agent's id", "step": "the step's name",
    "attempt": "how many times the call was sent, this one included", "verdict": "what the answer proves",
    "outcome": "how the run ended", "alarm": "the alarm's id", "kind": "the alarm's kind",
    "by": "who lifted the alarm, or decided", "decision": "again, done, cancelled, refund or not-done",
    "reason_length": "how many characters the reason has; `order-actions runs show` prints it",
    "count": "how many",
    "topic": "the webhook's topic", "route": "the route's pattern, never the address", "method": "GET or POST",
    "status": "the HTTP status", "gate": "what was full: submits or requests", "error": "the class of what was raised",
    "trace": "where it was raised: files, lines and classes, without what was said",
    "pid": "the process", "bind": "the address listened on", "logger": "which library", "said": "a server's own line",
}  # fmt: skip

_MASKS = (
    re.compile(r"shp(?:at|ca|pa|ss|ua|rt)_[A-Za-z0-9_]+"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]+"),
    re.compile(r"\beyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
LONGEST = 4000
FRAMES = 12


def mask(text: str) -> str:
    """Tokens, e-mail addresses and passwords in addresses give way to `***`."""
    for one in _MASKS:
        text = one.sub("***", text)
    return text[:LONGEST]


def about(run: Run) -> dict[str, str]:
    """What every event of a run carries."""
    return {
        "run": run.id, "store": run.place.store, "order": run.place.order, "action": run.action_id,
        "agent": run.agent_id,
    }  # fmt: skip


def tell(event: str, run: Run | None = None, /, *, raised: BaseException | None = None, **known: Any) -> None:
    """Log the event and count it. Never raises: what cannot be told must not undo what was done."""
    one = EVENTS[event]
    fields = {**(about(run) if run else {}), **known}
    if raised is not None:
        fields["trace"] = trace(raised)
    try:
        if one.counter is not None:
            labels = metrics.COUNTERS[one.counter][1]
            metrics.count(one.counter, **{name: str(_label(event, fields, name)) for name in labels})
        structlog.get_logger().log(logging.getLevelNamesMapping()[one.level.upper()], event, **fields)
    except Exception as problem:  # noqa: BLE001 - a full disk or a closed pipe must not stop money half-way
        _last_resort(type(problem).__name__)


def _last_resort(what: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.__stderr__.write(f"the log failed: {what}\n")  # type: ignore[union-attr]


def _label(event: str, fields: Mapping[str, Any], name: str) -> Any:
    return event.rpartition(".")[2] if name == "result" else fields[name]


# ---------------------------------------------------------------- what a line may hold


def trace(error: BaseException) -> str:
    """Where it was raised. What an exception says is left out: it may quote a customer, a form or a query.

    Kept are the operating system's own words, and a database's first line, without its parameters.
    """
    lines, seen = list[str](), set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen and len(lines) < 4 * FRAMES:
        seen.add(id(one))
        lines.append(f"{type(one).__module__}.{type(one).__qualname__}{_words(one)}")
        frames = traceback.extract_tb(one.__traceback__)[-FRAMES:]
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        one = one.__cause__ or one.__context__
    return mask("\n".join(lines))


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f": {error.strerror}"
    origin = getattr(error, "orig", None)  # SQLAlchemy's: the driver's own error
    return f": {str(origin).splitlines()[0]}" if origin is not None and str(origin) else ""


def _allow(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Drop every key that is not in KEYS; mask what stays."""
    kept = {name: line[name] for name in KEYS if line.get(name) is not None}
    return {name: one if isinstance(one, int | float) else mask(str(one)) for name, one in kept.items()}


def configure(*, human: bool = False, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send all logs of this process, ours and libraries', to `stream`: JSON lines, or lines for people."""
    out = stream or sys.stdout
    shown: Any = _readable if human else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _allow,
            shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[library_handler(human=human, stream=out)], level=max(level, logging.WARNING),
                        force=True)  # fmt: skip


def _readable(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
    rest = " ".join(f"{name}={one}" for name, one in line.items() if name not in ("timestamp", "level", "event"))
    return f"{line['timestamp'][11:19]} {line['level']:<7} {line['event']:<16} {rest}"


def library_handler(*, human: bool = False, stream: TextIO | None = None) -> logging.Handler:
    """What libraries log, by the same rules. Only the server's own lines are let in as they are."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_Library(human))
    return handler


class _Library(logging.Formatter):
    def __init__(self, human: bool) -> None:
        super().__init__()
        self._human = human

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": "library",
            "logger": record.name,
            "pid": record.process,
        }
        raised = _raised(record.exc_info)
        if raised is not None:
            line["trace"] = trace(raised)
        elif record.name.startswith("gunicorn"):
            line["said"] = record.getMessage()
        allowed = dict(_allow(None, "", line))
        return _readable(None, "", allowed) if self._human else json.dumps(allowed)


def _raised(
    info: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None,
) -> BaseException | None:
    return info[1] if info else None
