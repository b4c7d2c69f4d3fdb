"""The tables, one definition for SQLite and PostgreSQL; what must hold is written as constraints."""

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
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

STATES = "('intent','sending','confirmed','settled','failed','unknown','review')"

runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("store", String(255), nullable=False),
    Column("order_id", String(32), nullable=False),
    Column("action_id", String(100), nullable=False),
    Column("action_digest", String(64), nullable=False),
    Column("agent_id", String(100), nullable=False),
    Column("agent_name", String(200), nullable=False),
    Column("customer_id", String(100), nullable=False),
    Column("conversation", String(100)),
    Column("door", String(10), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    Column("facts", Text, nullable=False),
    Column("texts", LargeBinary, nullable=False),
    Column("outcome", Text),
    Column("lease_owner", String(100)),
    Column("lease_epoch", Integer, nullable=False, server_default="0"),
    Column("lease_until", DateTime(timezone=True)),
)
# One open run per order: two agents, two servers and two clicks meet here.
Index(
    "one_open_run",
    runs.c.store,
    runs.c.order_id,
    unique=True,
    sqlite_where=text("is_open"),
    postgresql_where=text("is_open"),
)
Index("runs_of_order", runs.c.store, runs.c.order_id)

steps = Table(
    "steps",
    metadata,
    Column("run_id", String(36), ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(50), nullable=False),
    Column("idempotency_key", String(36), nullable=False, unique=True),
    Column("marker", String(12), nullable=False),
    Column("root", String(100), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount", String(24), nullable=False),
    Column("shop_currency", String(3), nullable=False),
    Column("shop_amount", String(24), nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_sent_at", DateTime(timezone=True)),
    Column("last_sent_at", DateTime(timezone=True)),
    Column("receipt", Text),
    Column("error", Text),
    Column("error_field", String(100)),
    CheckConstraint(f"state in {STATES}", name="known_state"),
    CheckConstraint("amount not like '-%'", name="no_negative_amount"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("run_id", String(36), ForeignKey("runs.id"), primary_key=True),
    Column("note", LargeBinary, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", DateTime(timezone=True), nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("store", String(255), primary_key=True),
    Column("order_id", String(32), primary_key=True),
    Column("name", String(50), nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("updated_at", String(40), nullable=False),
    Column("email_hash", String(64), nullable=False),
    Column("header", Text),
    Column("legacy", Boolean, nullable=False),
    Column("snapshot", LargeBinary),
    Column("snapshot_at", DateTime(timezone=True)),
    Column("webhook_at", DateTime(timezone=True)),
)
Index("orders_of_customer", orders.c.email_hash)

customers_seen = Table(
    "customers_seen",
    metadata,
    Column("store", String(255), primary_key=True),
    Column("email_hash", String(64), primary_key=True),
    Column("listed_at", DateTime(timezone=True), nullable=False),
)

webhooks_seen = Table(
    "webhooks_seen",
    metadata,
    Column("store", String(255), primary_key=True),
    Column("topic", String(100), primary_key=True),
    Column("webhook_id", String(100), primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("domain", String(255), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("way", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("grant", LargeBinary),
    Column("grant_until", DateTime(timezone=True)),
    Column("refresh_before", LargeBinary),
    Column("app_secrets", LargeBinary),
    Column("settings", Text, nullable=False),
    Column("problem", Text),
    Column("renewing_until", DateTime(timezone=True)),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("webhooks_checked_at", DateTime(timezone=True)),
    CheckConstraint("state in ('waiting','active','refused','gone')", name="known_connection_state"),
)

# One use each: a row is deleted by the callback that brings its state back.
oauth_states = Table(
    "oauth_states",
    metadata,
    Column("state_hash", String(64), primary_key=True),
    Column("domain", String(255), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# Keys that outlive a change of the installation's secret, sealed with it.
sealed_keys = Table(
    "sealed_keys",
    metadata,
    Column("purpose", String(50), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
