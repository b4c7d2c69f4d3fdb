"""The tables, one definition for SQLite and PostgreSQL; what must hold is written as constraints.

Texts have no length here: one engine would enforce it and the other not.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

STATES = "('intent','sending','confirmed','settled','failed','unknown','review')"

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("store", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("action_id", Text, nullable=False),
    Column("action_digest", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("conversation", Text),
    Column("door", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    Column("facts", Text, nullable=False),
    Column("texts", LargeBinary, nullable=False),
    Column("outcome", Text),
    Column("ended", Text),
    Column("lease_owner", Text),
    Column("lease_epoch", Integer, nullable=False, server_default="0"),
    Column("lease_until", DateTime(timezone=True)),
    Column("look_at", DateTime(timezone=True), nullable=False),
)
# One open run per order: two agents, two servers and two clicks meet here.
# SQLite uses a partial index only where the query says the same words: `is_open = 1`, as SQLAlchemy writes it.
Index(
    "one_open_run",
    runs.c.store,
    runs.c.order_id,
    unique=True,
    sqlite_where=text("is_open = 1"),
    postgresql_where=text("is_open"),
)
Index("runs_of_order", runs.c.store, runs.c.order_id)
Index("runs_to_look_at", runs.c.look_at, sqlite_where=text("is_open = 1"), postgresql_where=text("is_open"))
Index("runs_of_store", runs.c.store, runs.c.created_at)
# What an admin asks for, newest first, among a million.
Index("runs_newest", runs.c.created_at, runs.c.id)
Index("runs_of_agent", runs.c.agent_id, runs.c.created_at, runs.c.id)
Index("runs_ended", runs.c.ended, runs.c.created_at, runs.c.id)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("marker", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", Text, nullable=False),
    Column("shop_currency", Text, nullable=False),
    Column("shop_amount", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_sent_at", DateTime(timezone=True)),
    Column("last_sent_at", DateTime(timezone=True)),
    Column("receipt", Text),
    Column("error", Text),
    Column("error_field", Text),
    CheckConstraint(f"state in {STATES}", name="known_state"),
    CheckConstraint("amount not like '-%'", name="no_negative_amount"),
)

# What a person decided about a run; only ever added to. The reason is encrypted.
resolutions = Table(
    "resolutions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.id"), nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("reason", LargeBinary, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
Index("resolutions_of_run", resolutions.c.run_id)

outbox = Table(
    "outbox",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("note", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", DateTime(timezone=True), nullable=False),
)
Index("notes_waiting", outbox.c.next_at, sqlite_where=text("state='waiting'"), postgresql_where=text("state='waiting'"))

orders = Table(
    "orders",
    metadata,
    Column("store", Text, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("email_hash", Text, nullable=False),
    Column("phone_hash", Text, nullable=False, server_default=""),
    Column("header", Text),
    Column("legacy", Boolean, nullable=False),
    Column("snapshot", LargeBinary),
    Column("snapshot_at", DateTime(timezone=True)),
    Column("webhook_at", DateTime(timezone=True)),
)
Index("orders_of_customer", orders.c.email_hash)
Index("orders_of_phone", orders.c.phone_hash)

# Orders that are being brought in: the operation of Shopify's, and how far its result was read.
backfills = Table(
    "backfills",
    metadata,
    Column("store", Text, primary_key=True),
    Column("since", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("lines", Integer, nullable=False),
)

customers_seen = Table(
    "customers_seen",
    metadata,
    Column("store", Text, primary_key=True),
    Column("email_hash", Text, primary_key=True),
    Column("listed_at", DateTime(timezone=True), nullable=False),
)

webhooks_seen = Table(
    "webhooks_seen",
    metadata,
    Column("store", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("webhook_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
)
Index("webhooks_of_store", webhooks_seen.c.store, webhooks_seen.c.received_at)

alarms = Table(
    "alarms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("agent_id", Text),
    Column("run_id", Text, ForeignKey("runs.id")),
    Column("position", Integer),
    Column("raised_at", DateTime(timezone=True), nullable=False),
    Column("text", Text, nullable=False),
    Column("lifted_at", DateTime(timezone=True)),
    Column("lifted_by", Text),
    Column("reason", Text),
    UniqueConstraint("kind", "run_id", "position", name="one_alarm_of_a_step"),
)
Index("alarms_of_store", alarms.c.store, alarms.c.kind)

# One row: where this database lives. One that was copied or restored finds itself elsewhere (stores/backup.py).
home = Table("home", metadata, Column("id", Integer, primary_key=True), Column("here", Text, nullable=False))

# One row a store: whoever writes a run that moves money holds it, so that payments are counted one after another.
gates = Table("gates", metadata, Column("store", Text, primary_key=True))

# What was accepted once and must not be accepted again: tokens of the CRM by their jti, OAuth states, tickets.
used_once = Table(
    "used_once",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False, index=True),
)

# Agents who connected their CRM account; the tokens are encrypted, the handle is kept as a keyed hash.
crm_grants = Table(
    "crm_grants",
    metadata,
    Column("handle_hash", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("busy_until", DateTime(timezone=True)),
)

# Orders that belong onto a timeline of the CRM, and how far the CRM knows them.
crm_orders = Table(
    "crm_orders",
    metadata,
    Column("store", Text, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("email", LargeBinary, nullable=False),
    Column("told", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", DateTime(timezone=True), nullable=False),
)

# Requests of one minute that any process has taken; `who` is a keyed hash of an agent, a store or an address.
request_counts = Table(
    "request_counts",
    metadata,
    Column("who", Text, primary_key=True),
    Column("minute", Integer, nullable=False, index=True),
    Column("taken", Integer, nullable=False),
)

crm_probes = Table(
    "crm_probes",
    metadata,
    Column("org", Text, primary_key=True),
    Column("safe", Boolean, nullable=False),
    Column("probed_at", DateTime(timezone=True), nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tokens", LargeBinary),
    Column("tokens_until", DateTime(timezone=True)),
    Column("refresh_before", LargeBinary),
    Column("app_secrets", LargeBinary),
    Column("settings", Text, nullable=False),
    Column("problem", Text),
    Column("renewing_until", DateTime(timezone=True)),
    Column("invited", Boolean, nullable=False),
    Column("connected_at", DateTime(timezone=True)),
    Column("webhooks_checked_at", DateTime(timezone=True)),
    CheckConstraint("state in ('waiting','active','refused','gone')", name="known_connection_state"),
)

# One use each: a row is deleted by the callback that brings its state back.
oauth_states = Table(
    "oauth_states",
    metadata,
    Column("state_hash", Text, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# Keys that outlive a change of the installation's secret, sealed with it.
sealed_keys = Table(
    "sealed_keys",
    metadata,
    Column("purpose", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

# What Shopify's privacy topics ask for. What identifies the customer is encrypted, and gone once it is done.
privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("wish", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("asked", LargeBinary),
    Column("report", LargeBinary),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("next_at", DateTime(timezone=True), nullable=False),
    Column("done_at", DateTime(timezone=True)),
)
