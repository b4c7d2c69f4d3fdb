"""What the fake organisation holds: users, role groups, customers, objects, notes, apps and tokens."""

import base64
import json
import threading
from dataclasses import dataclass, field
from typing import Any

ORG, ORG_ID = "acme", "5f0000000000000000000000"
MACHINE = "machine-1"
ROLES = ["org.admin.apps", "org.admin", "org.permission.klass.create", "org.permission.kobject.create",
         "org.permission.note.create", "org.permission.customer.read", "org.permission.user.read",
         "org.permission.role_group.read"]  # fmt: skip


def api_key(roles: list[str]) -> str:
    """In the form of a JWT, as Kustomer's keys are; nobody checks its signature here."""
    parts = ({"alg": "HS256"}, {"id": MACHINE, "org": ORG_ID, "orgName": ORG, "userType": "machine", "roles": roles})
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + ".x"


def _user(name: str, groups: list[str], kind: str = "user") -> dict[str, Any]:
    return {"displayName": name, "userType": kind, "email": f"{name.split()[0].lower()}@acme.test", "roles": [],
            "roleGroups": groups}  # fmt: skip


@dataclass
class State:
    """`faults`: outage and limit refuse; lost carries the next POST out and loses its answer.

    `proxy`: honest sets the headers itself and hides the token; forging passes on what a caller sends."""

    key: str = field(default_factory=lambda: api_key(ROLES))
    roles: list[str] = field(default_factory=lambda: list(ROLES))
    users: dict[str, dict[str, Any]] = field(default_factory=lambda: {
        "u-ana": _user("Ana Ruiz", ["g-agents"]), "u-sam": _user("Sam Okafor", ["g-leads"]),
        "u-adele": _user("Adele Brandt", ["g-admins"]),
        "u-nemo": _user("Nemo Quist", []), MACHINE: _user("Order actions", [], "machine"),
    })  # fmt: skip
    groups: dict[str, str] = field(default_factory=lambda: {
        "g-agents": "Support agents", "g-leads": "Support leads", "g-viewers": "Shopify viewers",
        "g-admins": "Administrators",
    })  # fmt: skip
    customers: dict[str, dict[str, Any]] = field(default_factory=lambda: {
        "c-ada": {"displayName": "Ada Fairweather", "emails": [{"email": "ada@example.com", "verified": True}]},
        "c-bilal": {"displayName": "Bilal Okafor", "emails": [{"email": "bilal@example.com", "verified": False}]},
        "c-gita": {"displayName": "Gita Ringer", "emails": [],
                   "phones": [{"phone": "555 0101"}, {"phone": "+1 555 010 1008", "verified": True}]},
    })  # fmt: skip
    conversations: dict[str, str] = field(default_factory=lambda: {"t-ada": "c-ada", "t-bilal": "c-bilal"})
    klasses: dict[str, dict[str, Any]] = field(default_factory=dict)
    kobjects: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    proxy: str = "honest"
    signed_in: str = "u-ana"
    command_url: str = ""
    command_secret: str = ""
    lasts: int = 3600
    conflicts: int = 0
    page_size: int = 100
    lock: threading.RLock = field(default_factory=threading.RLock)
