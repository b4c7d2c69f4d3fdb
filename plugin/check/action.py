"""One action file: what each key may name, what is proven there, and what it must give."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import GraphQLSchema

from plugin.check.calls import check_call, check_root
from plugin.check.expressions import EVERYTHING, Facts, Known
from plugin.check.fields import after_preview, check_fields, form_types
from plugin.check.lets import check_lets, sound_lets
from plugin.check.queries import Query, is_valid, order_fields, parse_operation, read_selection
from plugin.check.report import Report, did_you_mean, listed
from plugin.check.shape import Site, sites
from plugin.check.types import ANY, MONEY, STRING, Type, list_of, noted, record, selected
from plugin.check.values import Reader, facts_of
from plugin.check.variables import Variables
from plugin.findings import has_errors
from plugin.source import Pointer

# A key that holds a condition, and how it came out where its neighbours are used.
_CONDITIONS = {"unless": True, "when": True, "visible_when": True, "require": False}
_AFTER_GUARDS = frozenset({"steps", "result", "note"})
_NAMES = ("order", "agent", "store", "settings", "form", "preview", "run", "result", "outcome", "error")


@dataclass(frozen=True)
class Manifest:
    """What action files refer to in plugin.yaml."""

    permissions: tuple[str, ...] = ()
    settings: Mapping[str, Type] = field(default_factory=dict)
    actions: tuple[str, ...] | None = None  # None when not all of them could be read


@dataclass(frozen=True)
class CheckedAction:
    """What the bundle needs of an action; None where the file was wrong."""

    reads: Query | None
    preview: Query | None


def check_action(report: Report, schema: GraphQLSchema, manifest: Manifest) -> CheckedAction:
    """Everything about one well-formed action file."""
    walk = _Action(report, schema, manifest)
    walk.check()
    return CheckedAction(walk.reads, walk.preview)


class _Action:
    """One walk over one file."""

    def __init__(self, report: Report, schema: GraphQLSchema, manifest: Manifest) -> None:
        self.report, self.schema, self.manifest = report, schema, manifest
        self.data: dict[str, Any] = report.source.data
        self.reader = Reader(report, schema)
        self.form: Mapping[str, Any] = self.data["form"]
        self.reads = read_selection(report, schema, ("reads",), self.data["reads"])
        self.preview = self._preview() if "preview" in self.data else None
        self.steps = [self._step(index, raw) for index, raw in enumerate(self.data["steps"])]
        self.lets = sound_lets(self.reader, self.data.get("let", {}))
        self.broken: frozenset[str] = frozenset(self.data.get("let", {})) - self.lets.keys()
        self.late = after_preview(self.form, self.lets)
        self.roots = self._roots()
        self.wrong: set[Pointer] = set()  # conditions with a mistake

    def _preview(self) -> Query | None:
        pointer = ("preview", "query")
        query = parse_operation(self.report, pointer, self.data["preview"]["query"], "query")
        return query if query and is_valid(self.report, self.schema, pointer, query) else None

    def _step(self, index: int, raw: Mapping[str, Any]) -> Query | None:
        pointer = ("steps", index)
        where = (*pointer, "mutation")
        query = parse_operation(self.report, where, raw["mutation"], "mutation")
        if query is None or not check_root(self.report, pointer, query):
            return None
        if not is_valid(self.report, self.schema, where, query):
            return None
        check_call(self.report, self.schema, pointer, raw, query)
        return query

    def _roots(self) -> dict[str, Type]:
        """Everything that has a name, at its widest."""
        permission = Type("String", values=self.manifest.permissions)
        roots = {
            "order": ANY,
            "agent": record("agent", {"id": STRING, "name": STRING, "permissions": list_of(permission)}),
            "store": record("store", {"domain": STRING, "name": STRING}),
            "settings": record("settings", self.manifest.settings),
            "run": record("run", {"key": STRING, "marker": STRING, "id": STRING}),
            "error": record(
                "error",
                {"message": STRING, "field": noted("[String!]", self.schema), "code": noted("String", self.schema)},
            ),
            "outcome": record("outcome", {"refunded": MONEY, "refund_ids": list_of(STRING)}),
        }
        if self.reads:
            roots["order"] = record("Order", selected(self.schema, "Order", order_fields(self.reads)))
        if "preview" in self.data:
            roots["preview"] = ANY
        if self.preview:
            fields = selected(self.schema, "QueryRoot", self.preview.operation.selection_set)
            roots["preview"] = record("preview", fields)
        return roots

    # ------------------------------------------------------------ what a place knows

    def known(self, pointer: Pointer, context: tuple[str, ...]) -> Known:
        """The names a place may use, and why the others may not be used."""
        roots = {name: self.roots[name] for name in context if name in self.roots}
        hidden: dict[str, str] = {}
        if "form" in context:
            fields, hidden = self._fields(pointer)
            roots["form"] = record("form", fields)
        if "result" in context:
            roots["result"] = record("result", self._results(pointer))
        elsewhere = {name: f"known here: {listed(roots)}" for name in _NAMES if name not in roots}
        if "preview" in context and "preview" not in roots:
            elsewhere["preview"] = "this action has no `preview`"
        return Known(roots, self.lets, self.broken, elsewhere | hidden)

    def _fields(self, pointer: Pointer) -> tuple[dict[str, Type], dict[str, str]]:
        fields = form_types(self.form, self.schema, complete=pointer[0] in _AFTER_GUARDS | {"guards"})
        hidden: dict[str, str] = {}
        if pointer[0] == "form":
            names = list(self.form)
            for name in names[names.index(str(pointer[1])) :]:
                hidden[f"form.{name}"] = f"a field uses only the fields above it, and '{name}' is not"
        if pointer[:2] == ("preview", "variables"):
            for name in self.late:
                hidden[f"form.{name}"] = f"'{name}' waits for the preview itself"
        return fields, hidden

    def _results(self, pointer: Pointer) -> dict[str, Type]:
        results: dict[str, Type] = {}
        for index, (raw, query) in enumerate(zip(self.data["steps"], self.steps, strict=True)):
            own = pointer[:2] == ("steps", index)
            results.setdefault(raw["name"], self._answer(query, skipped="when" in raw and not own))
        return results

    def _answer(self, query: Query | None, *, skipped: bool) -> Type:
        """What a step gives. Its objects are there: the runtime goes on only when they are."""
        if query is None:
            return ANY
        payload = next(iter(selected(self.schema, "Mutation", query.operation.selection_set).values()))
        fields = payload.fields or {}
        present = {key: one.present if one.fields is not None else one for key, one in fields.items()}
        return replace(payload, fields=present, null=skipped)

    def facts(self, pointer: Pointer, known: Known) -> Facts:
        """What the conditions around and before a place prove."""
        if pointer[-1] == "settled_when" or pointer[0] == "let":
            return frozenset()
        conditions: list[tuple[Pointer, bool]] = []
        passed = int(pointer[1]) if pointer[0] == "availability" else len(self.data["availability"])
        conditions += [(("availability", index, "unless"), False) for index in range(passed)]
        if pointer[0] in _AFTER_GUARDS:
            guards = range(len(self.data.get("guards", ())))
            conditions += [(("guards", index, "require"), True) for index in guards]
        for depth in range(len(pointer)):
            around = self._at(pointer[:depth])
            for key, truth in _CONDITIONS.items():
                if isinstance(around, dict) and key in around and pointer[depth] != key:
                    conditions.append(((*pointer[:depth], key), truth))
        if self.wrong & {where for where, _ in conditions}:
            return EVERYTHING
        return frozenset().union(*(facts_of(self._at(where), truth, known) for where, truth in conditions))

    def _at(self, pointer: Pointer) -> Any:
        value: Any = self.data
        for part in pointer:
            value = value[part]
        return value

    # ------------------------------------------------------------ the walk

    def check(self) -> None:
        annotated = sites("action", self.data)
        wide = next((one for one in annotated if one.pointer[0] == "let"), None)
        if wide is not None:
            self.broken |= check_lets(self.reader, self.known(wide.pointer, wide.context))
        check_fields(self.reader, self.form)
        annotated = [one for one in annotated if one.pointer[0] != "let"]
        for site in sorted(annotated, key=lambda one: one.mode != "condition"):
            self._site(site)
        self._step_names()
        self._unused()

    def _site(self, site: Site) -> None:
        if site.mode == "names":
            return self._name(site)
        known = self.known(site.pointer, site.context)
        facts = self.facts(site.pointer, known)
        if site.type == "input":
            query = self.preview if site.pointer[0] == "preview" else self.steps[int(site.pointer[1])]
            if query is not None:
                Variables(self.reader, known).check(site.pointer, site.value, query.operation, facts)
        elif site.mode == "condition":
            if self.reader.condition(site.pointer, site.value, known, facts, noted(site.type, self.schema)):
                self.wrong.add(site.pointer)
        elif site.mode == "value":
            self.reader.value(site.pointer, site.value, known, facts, noted(site.type, self.schema))
        else:
            self.reader.text(site.pointer, site.value, known, facts)
        return None

    def _name(self, site: Site) -> None:
        """The name of something else: a permission, an action, a field."""
        manifest = self.manifest
        tables = {"permission": manifest.permissions, "action": manifest.actions, "field": tuple(self.form)}
        known = tables[site.type]
        if known is not None and site.value not in known:
            cure = did_you_mean(site.value, known) or (f"there is {listed(known)}" if known else None)
            message = f"there is no {site.type} '{site.value}'"
            self.report.at(site.pointer, f"unknown-{site.type}", message, cure)

    def _step_names(self) -> None:
        names = [step["name"] for step in self.data["steps"]]
        for index, name in enumerate(names):
            if name in names[:index]:
                message = f"two steps are called '{name}'"
                self.report.at(("steps", index, "name"), "step-name", message, "name one differently")

    def _unused(self) -> None:
        """Warnings only, and only when nothing else is wrong: a mistake may hide a use."""
        if has_errors(self.report.findings):
            return
        for name in self.form:
            if f"form.{name}" not in self.reader.used:
                message = f"'{name}' is asked for but never used"
                self.report.at(
                    ("form", name), "unused-field", message, "use it or delete it", key=True, severity="warning"
                )
        for name in self.lets:
            if name not in self.reader.used:
                self.report.at(
                    ("let", name), "unused-let", f"'{name}' is never used", "delete it", key=True, severity="warning"
                )
