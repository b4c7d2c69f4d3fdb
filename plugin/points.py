"""Named moments in the life of a run at which a proof pulls the plug; outside proofs they do nothing.

Every committed transaction has a point before and one after its commit, every call one before and one
after it. `tests/test_points.py` finds the step that has none.
"""

from collections.abc import Callable
from enum import Enum


class Point(Enum):
    """Each moment, in one sentence."""

    # the agent
    SESSION_OPEN = "the agent's session is verified, nothing is read"
    POST_RECEIVED = "a pressed form is here, nothing is judged"
    VALIDATED = "the form is judged on the fresh order, no run is written"
    ANSWER_READY = "the run went as far as it goes now, the agent has no answer"
    # reading an order
    ORDER_ASKED = "Shopify is about to be asked for the order"
    ORDER_ANSWERED = "Shopify answered with the order, nothing of it is kept"
    HEADER_WRITTEN = "the order's header is written, not committed"
    HEADER_COMMITTED = "the order's header is committed, its snapshot is not"
    SNAPSHOT_WRITTEN = "the order's snapshot is written, not committed"
    SNAPSHOT_COMMITTED = "the order's snapshot is committed, nothing is decided by it"
    LISTED_WRITTEN = "that a customer's orders were listed is written, not committed"
    LISTED_COMMITTED = "that a customer's orders were listed is committed"
    BACKFILL_WRITTEN = "how far orders were brought in is written, not committed"
    BACKFILL_COMMITTED = "how far orders were brought in is committed"
    # a run
    RUN_WRITTEN = "run and steps are written, not committed"
    RUN_COMMITTED = "run and steps are committed, nobody holds them"
    LEASE_WRITTEN = "the lease is written, not committed"
    LEASE_TAKEN = "the lease is committed, nothing is done with it"
    SENDING_WRITTEN = "that a call is about to be sent is written, not committed"
    SENDING_COMMITTED = "that a call is about to be sent is committed, no socket is open"
    ANSWERED = "the whole answer is here, not parsed"
    JUDGED = "the answer is judged, nothing of it is recorded"
    REFUSED = "Shopify refused, the order is not read back"
    RESULT_WRITTEN = "what is known of a step is written, not committed"
    RESULT_COMMITTED = "what is known of a step is committed, nothing follows from it yet"
    CLOSE_WRITTEN = "the run's end and its note are written, not committed"
    CLOSED = "the run's end and its note are committed"
    RELEASE_WRITTEN = "the lease's end is written, not committed"
    RELEASED = "the lease is given back"
    # afterwards
    RUN_DUE = "the worker found an open run, it does not hold it"
    SCHEDULE_WRITTEN = "when a run is looked at next is written, not committed"
    SCHEDULE_COMMITTED = "when a run is looked at next is committed"
    JOB_ASKED = "a cancel's job is about to be read"
    JOB_ANSWERED = "a cancel's job is read, nothing of it is recorded"
    DOUBT = "a call in doubt is about to be looked for in the order"
    DOUBT_SEEN = "the order of a call in doubt is read, nothing is decided"
    RESEND = "the same bytes are about to be sent again, nothing is committed"
    REVIEWED = "a person's decision holds the run, the order is not read"
    REVIEW_SEEN = "the order is read for a person's decision, nothing is done"
    DECISION_WRITTEN = "a person's decision is written, not committed"
    DECISION_COMMITTED = "a person's decision is committed, nothing is done by it"
    ALARM_WRITTEN = "an alarm is written, not committed"
    ALARM_COMMITTED = "an alarm is committed, nobody was told"
    REDACTION_WRITTEN = "a finished run is emptied of personal data, not committed"
    REDACTION_COMMITTED = "a finished run is emptied of personal data"
    # notes and webhooks
    NOTES_WRITTEN = "the notes that are due are taken, not committed"
    NOTES_COMMITTED = "the notes that are due are taken, none is posted"
    NOTE_DUE = "a note is about to be posted to the CRM"
    NOTE_POSTED = "the CRM has the note, the outbox does not know"
    NOTE_WRITTEN = "the note's fate is written, not committed"
    NOTE_COMMITTED = "the note's fate is committed"
    WEBHOOK_VERIFIED = "a webhook is genuine, not looked up"
    WEBHOOK_NEW = "a webhook was not seen before, nothing is done with it"
    WEBHOOK_TAKEN = "what a webhook says is kept, the webhook is not marked"
    WEBHOOK_WRITTEN = "that a webhook was seen is written, not committed"
    WEBHOOK_COMMITTED = "that a webhook was seen is committed, Shopify has no answer"


hook: Callable[[Point], None] | None = None  # set by a proof in its own process, by nothing else


def reached(point: Point) -> None:
    if hook is not None:
        hook(point)
