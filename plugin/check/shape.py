"""The form of a file: its JSON Schema turned into one finding a mistake, and the places it annotates."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

import plugin
from plugin.check.report import Report, did_you_mean, listed, nearest
from plugin.source import Pointer

_KINDS = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_LIMITS = {
    "minLength": "is empty",
    "maxLength": "has at most {} characters",
    "minItems": "needs at least {}",
    "minProperties": "is empty",
    "uniqueItems": "lists something twice",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
}


@dataclass(frozen=True)
class Site:
    """An annotated value. With `x-expr`: what kind of text it is, what it may name, what type it must give.

    With `x-names` the mode is `names`, and `type` is the kind of thing it names.
    """

    pointer: Pointer
    value: Any
    mode: str
    context: tuple[str, ...]
    type: str


@lru_cache(maxsize=8)
def language(name: str) -> Draft202012Validator:
    """The validator of one kind of file; the schemas travel with the plugin, not with the bundle."""
    here = Path(plugin.__file__).parent
    paths = [folder / "schemas" / f"{name}.schema.json" for folder in (here / "_bundle", here.parent)]
    path = next(one for one in paths if one.is_file())
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def check_shape(report: Report, name: str) -> bool:
    """Report everything that does not fit the schema; True when all fits."""
    before = len(report.findings)
    errors = list(_few(language(name).iter_errors(report.source.data)))
    closed = [error for error in errors if error.validator == "additionalProperties"]
    unknown = {_pointer(error): _unknown_keys(error) for error in closed}
    for error in errors:
        pointer = _pointer(error)
        if error.validator == "additionalProperties":
            _report_unknown(report, pointer, error)
        elif error.validator == "required":
            missing = _missing(error)
            if not any(nearest(key, [missing]) for key in unknown.get(pointer, ())):
                report.at(pointer, "missing-key", f"{_thing(pointer)} needs the key '{missing}'", key=True)
        else:
            report.at(pointer, *_explain(error))
    return len(report.findings) == before


def _few(errors: Iterator[ValidationError]) -> Iterator[ValidationError]:
    for _count, error in zip(range(50), errors, strict=False):
        yield error


def _pointer(error: ValidationError) -> Pointer:
    return tuple(error.absolute_path)


def _thing(pointer: Pointer) -> str:
    """`form.lines` or `steps[0].poll`, as people say it."""
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in pointer)
    return text.removeprefix(".") or "this file"


def _missing(error: ValidationError) -> str:
    return re.sub(r"^'(.*)' is a required property$", r"\1", error.message, flags=re.DOTALL)


def _schema(error: ValidationError) -> dict[str, Any]:
    assert isinstance(error.schema, dict)
    return error.schema


def _unknown_keys(error: ValidationError) -> list[str]:
    patterns = _schema(error).get("patternProperties", {})
    known = _schema(error).get("properties", {})
    given: Any = error.instance
    return [key for key in given if key not in known and not any(re.search(p, key) for p in patterns)]


def _report_unknown(report: Report, pointer: Pointer, error: ValidationError) -> None:
    known = list(_schema(error).get("properties", {}))
    patterns = list(_schema(error).get("patternProperties", {}))
    for key in _unknown_keys(error)[:20]:
        if patterns and not known:
            report.at(
                (*pointer, key),
                "bad-name",
                f"'{key}' cannot be a name in {_thing(pointer)}",
                _name_rule(patterns[0]),
                key=True,
            )
        else:
            cure = did_you_mean(key, known) or f"{_thing(pointer)} has {listed(known)}"
            report.at((*pointer, key), "unknown-key", f"{_thing(pointer)} has no key '{key}'", cure, key=True)


def _name_rule(pattern: str) -> str:
    if pattern.startswith("^[_A-Za-z]"):
        return "use letters, digits and _"
    if "\\." in pattern:
        return "use lower-case words joined by dots, for instance shopify.order.refund"
    return "use lower-case letters, digits and _, a letter first"


def _explain(error: ValidationError) -> tuple[str, str, str | None]:
    """Rule, message and cure of an error about one value."""
    value: Any = error.instance
    wanted: Any = error.validator_value
    rule, cure = "wrong-value", _schema(error).get("description")
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        rule, said = "wrong-type", f"must be {listed(_KINDS[kind] for kind in kinds)}, not {_kind(value)}"
    elif error.validator in ("enum", "const"):
        options = wanted if error.validator == "enum" else [wanted]
        cure = did_you_mean(value, options) if isinstance(value, str) else None
        said = f"must be {listed(options)}, not {_short(value)}"
    elif error.validator == "pattern":
        said = f"cannot be {_short(value)}"
    else:
        said = _LIMITS.get(str(error.validator), "is wrong").format(wanted)
    return rule, f"{_thing(_pointer(error))} {said}", cure


def _kind(value: Any) -> str:
    return {bool: "true or false", int: "a number", str: "text", list: "a list", dict: "a mapping"}.get(
        type(value), "nothing"
    )


def _short(value: Any) -> str:
    text = f"'{value}'" if isinstance(value, str) else str(value)
    text = _kind(value) if isinstance(value, (list, dict)) else text
    return text if len(text) <= 60 else f"{text[:57]}…'"


# ---------------------------------------------------------------- annotated places


def sites(name: str, data: Any) -> list[Site]:
    """Every annotated place of a well-formed file, in the order of the file."""
    root = language(name).schema
    assert isinstance(root, Mapping)
    return list(_walk(root, root, data, ()))


def _walk(root: Mapping[str, Any], schema: Mapping[str, Any], value: Any, pointer: Pointer) -> Iterator[Site]:
    if "x-names" in schema:
        yield Site(pointer, value, "names", (), schema["x-names"])
    note = schema.get("x-expr")
    if note and (isinstance(value, str) or note["type"] == "input"):
        yield Site(pointer, value, note["mode"], tuple(note["context"]), note["type"])
        return
    for below in _applied(root, schema, value):
        yield from _walk(root, below, value, pointer)
    if isinstance(value, dict):
        for key, inner in value.items():
            for below in _of_key(schema, key):
                yield from _walk(root, below, inner, (*pointer, key))
    if isinstance(value, list) and "items" in schema:
        for index, inner in enumerate(value):
            yield from _walk(root, schema["items"], inner, (*pointer, index))


def _applied(root: Mapping[str, Any], schema: Mapping[str, Any], value: Any) -> Iterator[Mapping[str, Any]]:
    """The schemas that hold for the same value: a reference, and the branch its `type` chooses."""
    if "$ref" in schema:
        yield root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    for branch in schema.get("allOf", ()):
        if value.get("type") == branch["if"]["properties"]["type"]["const"]:
            yield branch["then"]


def _of_key(schema: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    if key in schema.get("properties", {}):
        yield schema["properties"][key]
    for pattern, below in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            yield below
