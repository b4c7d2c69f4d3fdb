"""plugin.yaml, and everything that only shows when all files of a bundle are seen together."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import GraphQLError, GraphQLSchema, parse

from plugin.check.action import CheckedAction, Manifest, check_action
from plugin.check.queries import read_selection, schema_of
from plugin.check.report import Report, did_you_mean
from plugin.check.shape import check_shape, sites
from plugin.check.templates import check_template
from plugin.check.types import Type
from plugin.cost import estimate
from plugin.documents import order_query
from plugin.findings import Finding, has_errors
from plugin.pace import AMOUNT
from plugin.source import Pointer, Source, load, load_text

_SETTING_TYPES = {
    "boolean": (bool, "Boolean"), "integer": (int, "Int"), "text": (str, "String"), "money": (str, "String"),
}  # fmt: skip
MOST = 500  # points one query of ours may cost; Shopify refuses more than 1000
_EDITOR = re.compile(r"# yaml-language-server: \$schema=(\S+)\s*\Z")


@dataclass(frozen=True)
class Reads:
    """What is read of an order: by each action, and by the cards."""

    actions: Mapping[str, tuple[Report, CheckedAction]]
    cards: Sequence[Source]


@dataclass
class Bundle:
    """One pass over one bundle; `findings` grows file by file."""

    root: Path
    findings: list[Finding]

    def check(self) -> None:
        report = self._well_formed("plugin.yaml", "plugin")
        if report is None:
            return
        raw = report.source.data
        files = self._names(report, raw)
        _settings(report, raw.get("settings", {}))
        self._editor_line(report)
        schema = self._schema(report, raw["shopify"]) if raw["shopify"]["schema"] in files else None
        actions = self._action_files([path for path in raw["actions"] if path in files])
        self.findings += report.findings
        if schema is None:
            self.findings += _all(actions)
            return
        manifest = _manifest(raw, actions, whole=not has_errors([*self.findings, *_all(actions)]))
        checked = {path: self._action(one, schema, manifest) for path, one in actions.items()}
        cards = self._cards(schema, raw["cards"], files)
        self._costs(schema, Reads(checked, cards), report)

    def _well_formed(self, path: str, kind: str) -> Report | None:
        """A file that is YAML and fits its schema; None, and findings, when not."""
        source = load(self.root / path, path)
        report = Report(source, list(source.findings))
        if source.findings or not check_shape(report, kind):
            self.findings += report.findings
            return None
        return report

    # ------------------------------------------------------------ plugin.yaml

    def _names(self, report: Report, raw: Mapping[str, Any]) -> frozenset[str]:
        """Everything plugin.yaml names must be there; gives the files that are."""
        known = {"permission": tuple(raw["permissions"]), "permission_set": tuple(raw["permission_sets"])}
        files: set[str] = set()
        for site in (one for one in sites("plugin", raw) if one.mode == "names"):
            name, kind = site.value, site.type.replace("_", " ")
            if site.type == "file":
                found = self._is_ours(name)
                files |= {name} if found else set()
            else:
                found = name in known[site.type]
            if not found:
                cure = did_you_mean(name, known.get(site.type) or self._files_beside(name))
                rule = "missing-file" if kind == "file" else f"unknown-{kind.replace(' ', '-')}"
                report.at(site.pointer, rule, f"there is no {kind} '{name}'", cure)
        return frozenset(files)

    def _is_ours(self, path: str) -> bool:
        try:
            file = (self.root / path).resolve(strict=True)
        except (OSError, RuntimeError):
            return False
        return file.is_file() and file.is_relative_to(self.root.resolve())

    def _files_beside(self, path: str) -> list[str]:
        return [one.relative_to(self.root).as_posix() for one in (self.root / path).parent.glob("*")]

    def _schema(self, report: Report, shopify: Mapping[str, str]) -> GraphQLSchema | None:
        version, path = shopify["api_version"], shopify["schema"]
        if version not in Path(path).name:
            report.at(
                ("shopify", "schema"),
                "api-version",
                f"the schema '{path}' is not of API version {version}",
                f"run `order-actions schema pull` for {version}, or set api_version back",
            )
        pointer = ("shopify", "schema")
        try:
            schema = schema_of((self.root / path).read_text(encoding="utf-8"))
        except (GraphQLError, UnicodeDecodeError, OSError, RecursionError, TypeError) as error:
            report.at(pointer, "schema", f"this schema cannot be read: {str(error).splitlines()[0]}")
            return None
        if schema.query_type is None or schema.mutation_type is None:
            report.at(pointer, "schema", "this schema has no query or no mutation type")
            return None
        return schema

    def _editor_line(self, report: Report) -> None:
        """The first line tells editors which schema completes and explains the file."""
        source = report.source
        found = _EDITOR.match(source.line(1))
        kind = "plugin" if source.path == "plugin.yaml" else "action"
        want = "../" * source.path.count("/") + f"schemas/{kind}.schema.json"
        cure = f"write # yaml-language-server: $schema={want}"
        if found is None:
            report.at((), "editor-schema", "the first line does not tell editors the schema", cure, severity="warning")
        elif "://" not in found[1] and not (self.root / source.path).parent.joinpath(found[1]).is_file():
            report.inside((), 0, "editor-schema", f"editors find no schema at '{found[1]}'", cure, severity="warning")

    # ------------------------------------------------------------ actions and cards

    def _action_files(self, paths: list[str]) -> dict[str, Report]:
        """The action files that are well formed; ids are used once."""
        found: dict[str, Report] = {}
        ids: dict[str, str] = {}
        for path in paths:
            one = self._well_formed(path, "action")
            if one is None:
                continue
            self._editor_line(one)
            name = one.source.data["id"]
            if ids.setdefault(name, path) != path:
                one.at(("id",), "same-id", f"'{name}' is the id of {ids[name]} already", "give it its own")
            found[path] = one
        return found

    def _action(self, report: Report, schema: GraphQLSchema, manifest: Manifest) -> tuple[Report, CheckedAction]:
        checked = check_action(report, schema, manifest)
        self.findings += report.findings
        return report, checked

    def _cards(self, schema: GraphQLSchema, cards: Mapping[str, Any], files: frozenset[str]) -> list[Source]:
        """Checks each template; the files of what the cards read."""
        for path in {card["template"] for card in cards.values()} & files:
            self._text(path, check_template)

        def read(text: Report) -> None:
            read_selection(text, schema, (), text.source.data)

        paths = {card["reads"] for card in cards.values() if "reads" in card} & files
        return [self._text(path, read) for path in sorted(paths)]

    def _text(self, path: str, check: Callable[[Report], object]) -> Source:
        source = load_text(self.root / path, path)
        text = Report(source, list(source.findings))
        if not source.findings:
            check(text)
        self.findings += text.findings
        return source

    # ------------------------------------------------------------ what queries cost

    def _costs(self, schema: GraphQLSchema, read: Reads, manifest: Report) -> None:
        """The order view is one query, and each preview travels with it."""
        if has_errors(self.findings):
            return
        view = manifest.source.data["cards"]["order_view"].get("reads")
        texts = [one.source.data["reads"] for one, _ in read.actions.values()]
        order = order_query([*texts, *(one.data for one in read.cards if one.path == view)])
        mine = Report(manifest.source)
        whole = estimate(parse(order.document()), schema)
        _dear(mine, ("cards", "order_view"), "the order view, all that cards and actions read,", whole)
        self.findings += mine.findings
        for report, checked in read.actions.values():
            if checked.preview is not None and whole <= MOST:
                mine = Report(report.source)
                total = estimate(parse(order.beside(report.source.data["preview"]["query"])), schema)
                _dear(mine, ("preview", "query"), "this query, with the order beside it,", total)
                self.findings += mine.findings


def _dear(report: Report, pointer: Pointer, what: str, points: int) -> None:
    if points > MOST:
        message = f"{what} costs about {points} points; {MOST} at most"
        report.at(pointer, "cost", message, "read less, or fewer at once", key=True)


def _settings(report: Report, settings: Mapping[str, Any]) -> None:
    for name, one in settings.items():
        wrong = type(one["default"]) is not _SETTING_TYPES[one["type"]][0]
        if wrong or (one["type"] == "money" and not AMOUNT.fullmatch(one["default"])):
            message = f"the default of '{name}' is not {one['type']}"
            report.at(("settings", name, "default"), "wrong-type", message)


def _all(actions: Mapping[str, Report]) -> list[Finding]:
    return [finding for one in actions.values() for finding in one.findings]


def _manifest(raw: Mapping[str, Any], actions: Mapping[str, Report], *, whole: bool) -> Manifest:
    settings = {name: Type(_SETTING_TYPES[one["type"]][1]) for name, one in raw.get("settings", {}).items()}
    ids = tuple(one.source.data["id"] for one in actions.values())
    return Manifest(tuple(raw["permissions"]), settings, ids if whole else None)
