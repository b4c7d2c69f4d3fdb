"""Writes the two generated documents, `reference.md` and `unproven.md`: `python docs/generate.py`."""

import json
import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from plugin.app import VARIABLES
from plugin.cli import EXIT
from plugin.filters import FILTERS
from plugin.guard import ROUTES
from plugin.logs import EVENTS, KEYS
from plugin.metrics import documented
from plugin.operations import OPERATIONS
from plugin.sandbox.store import UNPROVEN

HERE = Path(__file__).parent
ROOT = HERE.parent
NOTICE = "<!-- Written by docs/generate.py. Change what it reads, not this file. -->"

Json = Mapping[str, Any]

MODES = {"condition": "bare expression", "value": "value", "text": "text", "input": "value"}

KINDS = {
    "object": "mapping",
    "array": "list",
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
}

FILTER_WORDS = {
    "money": "An amount for people, like `$29.95`.",
    "minus": "The same with a minus sign.",
    "amount": "An amount for Shopify, like `29.95`; null when there is none or it is zero.",
    "date": "A day for people, like `3 Nov 2026`.",
    "label": "A name of Shopify's as people read it: `PARTIALLY_REFUNDED` becomes `Partially refunded`.",
    "join": "The words of a list, with commas.",
    "length": "How many entries a list has.",
    "marked": "A text with our reference at its end; the reference alone when there is no text.",
    "prefixed": "A text with words before it; nothing when there is no text.",
    "line_options": "Lines with units that may be chosen. True: shipped units too.",
    "refund_lines": "Lines as `refundCreate` takes them. True: restock. Then the suggestion's rows, "
    "for their locations, and the location to use where there is none.",
    "units": "How many units were chosen.",
    "unshipped": "How many of the chosen units have not shipped.",
    "covers": "Whether every unit that is left of the order was chosen.",
    "lines_text": "The chosen lines in words, in brackets, with a space before.",
    "without_location": "How many rows would be restocked and have no location.",
    "location_choices": "Locations as the options of a choice.",
    "payment_options": "Payments that can be paid back: the full suggestion, the suggestion now, "
    "and an amount to spread in the listed order instead.",
    "total": "The sum of what is paid back, in this currency.",
    "edited": "Whether an amount differs from the one suggested.",
    "manual_gateways": "Names of chosen payments that Shopify only records.",
    "refund_transactions": "Payments as `refundCreate` takes them; rows of zero are left out.",
    "card_present": "How many payments were taken by card on a terminal.",
}

BELIEFS = (
    "That `app/uninstalled` names the store in `myshopify_domain`. In any other form an uninstall is noticed when "
    "Shopify refuses the token.",
    "That a phone the app may not read is null, with an error ACCESS_DENIED at its path. In any other form orders "
    "cannot be read.",
    "That Shopify accepts a refund of an amount, without lines, after `orderCancel` of a paid order. "
    "The cancel with less money rests on it: one `orderCancel` without a refund, then one `refundCreate`. "
    "It is plausible. Try it on a development store before you let agents use it.",
    "That a refund's note and a cancel's staff note come back as they were sent, spaces apart. "
    "A call in doubt whose note came back otherwise goes to a person.",
    "That a mutation refused by GraphQL's own validation, by access rights or by its cost ran nothing.",
    "What a list with `first` costs. It counts like a connection without the connection's own 2 points; "
    "estimates, and what the sandbox store charges, rest on it.",
    "That `orders(query: \"name:…\")` finds an order by its number however its prefix is written. What it finds "
    "is compared exactly; at worst an order is not found.",
    "That the result of a bulk operation lies at `storage.googleapis.com`, as every published example has it. "
    "Another address is refused, and named.",
    "That a bulk query takes `orders` with the filter `created_at` and the fields of a list's row.",
    "That `Order.phone` and a customer's phone are in E.164. Otherwise they match nothing.",
    "That a key of `@idempotent` is kept for 24 hours. We never send the same call again by ourselves yet, "
    "except when Shopify said that the rate limit refused it.",
)

ACCESS = runpy.run_path(str(ROOT / "tests/access.py"))["rows"]()  # it lies with the test that asks all of it
WHO = tuple(ACCESS[0].answers)
WHOSE = {"own": "the customer shown", "other": "another customer", "away": "a store not connected", "-": ""}
WHO_ASKS = (
    "`nobody` brings no token, `expired` an old one, `audience` a token for something else, `outsider` one of another "
    "organisation's installation; `no-set` has no permission set. 409 and 422 are forms that were let in and refused. "
    "`tests/test_access.py` asks all of it, and fails for a route that is not in the table."
)
ASKS_FROM = (
    "A request of a foreign page is 403. Whoever asks too often gets 429; `ORDER_ACTIONS_RATES` says how often that is."
)

FIELDS = ("line_items", "payments", "money", "text", "choice", "boolean")
SECTIONS = (
    ("availability_rule", "`availability`: a list of"),
    ("preview", "`preview`"),
    ("summary_row", "`preview.summary`: a list of"),
    ("warning", "`warnings`: a list of"),
    ("guard", "`guards`: a list of"),
    ("confirm", "`confirm`"),
    ("step", "`steps`: a list of"),
    ("poll", "`steps.*.poll`"),
    ("error_rule", "`steps.*.errors`: a list of"),
    ("result", "`result`"),
)


def texts() -> dict[Path, str]:
    """Every generated file with what it must hold."""
    return {HERE / "reference.md": _reference(), HERE / "unproven.md": _unproven()}


def _reference() -> str:
    action = json.loads((ROOT / "schemas/action.schema.json").read_text(encoding="utf-8"))
    plugin = json.loads((ROOT / "schemas/plugin.schema.json").read_text(encoding="utf-8"))
    parts = [
        NOTICE,
        "# Reference",
        "Lists that are written from the program itself. The words around them are in "
        "[integrators.md](integrators.md), [admins.md](admins.md) and [operations.md](operations.md).",
        *_action_file(action),
        "## Filters",
        "The piped value comes first. `!` means never null. Arguments in brackets may be left out.",
        _table(["filter", "takes", "gives", "what it does", "fields to select"], _filters()),
        "## Mutations",
        "A step may send these and no others.",
        _table(["mutation", "money it moves", "proof that it happened", "takes a key"], _operations()),
        *_bundle_file(plugin),
        "## What agents are told",
        "The sentences of the actions that come with the program.",
        *_sentences(),
        "## Environment variables",
        _table(["variable", "what it is"], [[f"`{name}`", one[1]] for name, one in VARIABLES.items()]),
        "An unknown variable that starts with `ORDER_ACTIONS_` is an error.",
        "## Log events",
        _table(["event", "level", "meaning"], [[f"`{name}`", one.level, one.meaning] for name, one in EVENTS.items()]),
        "## Keys of the log",
        _table(["key", "holds"], [[f"`{name}`", meaning] for name, meaning in KEYS.items()]),
        "## Metrics",
        _table(["name", "labels", "what it is"], [[f"`{name}`", *rest] for name, *rest in documented()]),
        "## Who gets which answer",
        "HTTP statuses by route, whose order the address names, and who asks. " + WHO_ASKS,
        _table(["route", "order of", *WHO], _access()),
        "Another method than those is 405 for everybody. " + ASKS_FROM,
        _table(["route", "has to bring", "pages whose requests are taken"], _guarded()),
        "## Exit codes",
        _table(["code", "meaning"], re.findall(r"^ +([0-9]) +(.+)$", EXIT, re.MULTILINE)),
    ]
    return "\n\n".join(parts) + "\n"


def _unproven() -> str:
    return "\n\n".join([
        NOTICE,
        "# What is not proved",
        "The sandbox store follows recordings of the real Shopify wherever there are some. "
        "Where there are none it follows a belief. "
            "A test that passes on the sandbox proves nothing about these.",
        "## Beliefs of the plugin",
        "\n".join(f"- {one}" for one in BELIEFS),
        "## Beliefs of the sandbox store",
        "Each has its tag in the code of `plugin/sandbox/store`.",
        "\n".join(f"- {one}" for one in UNPROVEN),
    ]) + "\n"  # fmt: skip


# ---------------------------------------------------------------- the schemas


def _action_file(schema: Json) -> Iterator[str]:
    parts = schema["$defs"]
    yield "## The action file"
    yield schema["description"]
    yield _keys(schema, schema)
    for name, title in SECTIONS:
        yield f"### {title}"
        yield _keys(parts[name], schema)
    yield "`match` is the word `any`, or some of these; all that are given must fit."
    yield _keys(parts["error_rule"]["properties"]["match"], schema)
    yield "### `form`: fields by name, each of one type"
    for name in FIELDS:
        yield f"#### `type: {name}`"
        yield parts[name]["description"]
        yield _keys(parts[name], schema)
    yield "A choice's list of options has entries with:"
    yield _keys(parts["option"], schema)


def _bundle_file(schema: Json) -> Iterator[str]:
    yield "## The bundle file, plugin.yaml"
    yield schema["description"]
    yield _keys(schema, schema)
    for title, part in (
        ("`shopify`", schema["properties"]["shopify"]),
        ("`permission_sets.<name>`", schema["$defs"]["permission_set"]),
        ("`permission_sets.<name>.limit`", schema["$defs"]["permission_set"]["properties"]["limit"]),
        ("`settings.<name>`", schema["$defs"]["setting"]),
        ("`cards.<name>`", schema["$defs"]["card"]),
        ("`crm`", schema["properties"]["crm"]),
    ):
        yield f"### {title}"
        yield _keys(part, schema)


def _keys(part: Json, whole: Json) -> str:
    """A table of the keys of one mapping."""
    required, rows = part.get("required", []), []
    for name, own in part["properties"].items():
        one = {**whole["$defs"].get(own.get("$ref", "").rsplit("/", 1)[-1], {}), **own}
        rows.append([f"`{name}`", "yes" if name in required else "", _kind(one), one["description"]])
    return _table(["key", "required", "holds", "meaning"], rows)


def _kind(one: Json) -> str:
    """What a key holds, and the names it may use."""
    if "const" in one:
        return f"`{one['const']}`"
    if "enum" in one:
        return " or ".join(f"`{value}`" for value in one["enum"])
    expression = one.get("x-expr")
    if expression is None:
        kinds = one["type"] if isinstance(one["type"], list) else [one["type"]]
        return " or ".join(KINDS[kind] for kind in kinds)
    wanted = "" if expression["type"] in ("input", "Any", "String!") else f" of type `{expression['type']}`"
    return f"{MODES[expression['mode']]}{wanted}: {', '.join(expression['context'])}"


# ---------------------------------------------------------------- the program's own tables


def _filters() -> Iterator[list[str]]:
    if FILTERS.keys() != FILTER_WORDS.keys():
        raise ValueError(f"filters without words, or words without: {FILTERS.keys() ^ FILTER_WORDS.keys()}")
    for name, one in FILTERS.items():
        must = len(one.takes) - one.optional
        takes = [*(f"`{kind}`" for kind in one.takes[:must]), *(f"[`{kind}`]" for kind in one.takes[must:])]
        needs = [f"{kind}: {', '.join(fields)}" for kind, fields in one.needs.items()]
        yield [f"`{name}`", ", ".join(takes), f"`{one.gives}`", FILTER_WORDS[name], "; ".join(needs)]


def _operations() -> Iterator[list[str]]:
    for name, one in OPERATIONS.items():
        proof = " or ".join(f"`{field}`" for field in one.proof)
        yield [f"`{name}`", one.moves.value, f"an id in {proof}", "yes" if one.keyed else "no"]


def _access() -> Iterator[list[str]]:
    for row in ACCESS:
        yield [f"`{row.route}`", WHOSE[row.of], *(str(row.answers[who]) for who in WHO)]


def _guarded() -> Iterator[list[str]]:
    for name, route in ROUTES.items():
        yield [f"`{name}`", route.proof.value, route.pages.value]


def _sentences() -> Iterator[str]:
    for path in sorted((ROOT / "actions").glob("*.yaml"), reverse=True):
        action = yaml.safe_load(path.read_text(encoding="utf-8"))
        yield f"### {action['title']}"
        for key, text, title in (
            ("availability", "reason", "Why it is closed"),
            ("warnings", "text", "Warnings"),
            ("guards", "reason", "What stops the button"),
        ):
            yield f"{title}:"
            yield "\n".join(f"- {_plain(one[text])}" for one in action.get(key, []))


def _plain(text: str) -> str:
    return re.sub(r"\$\{\{.*?\}\}", "…", text)


def _table(head: Sequence[str], rows: Iterator[list[str]] | Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
