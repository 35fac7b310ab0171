"""A pipeline as a form: fields are read off the JSON Schema, edits are applied to the specification, nothing is known about any stage.

A specification is plain data as in the YAML: a stage is `{name: parameters}`, a sequence of stages is a list. Here every place that
takes a stage holds a list of them, so that the form has one shape. Paths are tuples of keys and positions.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from engine.errors import BadInput

Path: TypeAlias = tuple[str | int, ...]
Kind = Literal["integer", "number", "boolean", "string", "choice", "numbers", "strings", "json"]
MAX_PATH = 64


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter: where it is, what it takes, what it means. `default` and bounds come from the schema."""

    path: Path
    name: str
    kind: Kind
    value: Any
    title: str
    description: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one component of a family ("fuser"), or for a sequence of stages ("stage")."""

    path: Path
    family: str
    title: str
    description: str
    components: tuple[Node, ...]
    """What is there now."""
    removable: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A chosen component with its fields and its own slots. `lists` are fields that hold several slots (the inputs of a fusion)."""

    path: Path
    name: str
    description: str
    fields: tuple[Field, ...]
    slots: tuple[Slot, ...]
    lists: tuple[tuple[Path, str, str], ...] = ()


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Follow a `$ref`; gives the definition (with the siblings of the reference laid over it) and its name."""
    ref = part.get("$ref", "")
    if not ref.startswith("#/$defs/"):
        return part, ""
    name = ref.removeprefix("#/$defs/")
    return {**schema["$defs"].get(name, {}), **{key: value for key, value in part.items() if key != "$ref"}}, name


def choices(schema: dict[str, Any], family: str) -> tuple[str, ...]:
    """The names of the components of a family."""
    tagged = schema["$defs"].get(family, {}).get("anyOf", ())
    return tuple(name for part in tagged for name in part.get("properties", {}))


def is_family(schema: dict[str, Any], name: str) -> bool:
    """Whether a definition lists tagged components (rather than being one)."""
    return bool(choices(schema, name))


def sequences(schema: dict[str, Any], family: str) -> bool:
    """Whether a place of this family takes several components after one another."""
    return any(part.get("type") == "array" for part in schema["$defs"].get(family, {}).get("anyOf", ()))


def root(schema: dict[str, Any], spec: dict[str, Any]) -> Slot:
    """The form of a whole specification that has been through `normal`."""
    return _slot(schema, ("pipeline",), "stage", "Stages", "", spec.get("pipeline", []), removable=False)


def _slot(
    schema: dict[str, Any], path: Path, family: str, title: str, description: str, value: Any, *, removable: bool
) -> Slot:
    if sequences(schema, family):
        items = [_node(schema, (*path, i), item) for i, item in enumerate(value)]
    else:
        items = [_node(schema, path, value)]
    return Slot(path, family, title, description, tuple(items), removable)


def _node(schema: dict[str, Any], path: Path, tagged: dict[str, Any]) -> Node:
    ((name, parameters),) = tagged.items()
    definition = schema["$defs"].get(name, {})
    fields: list[Field] = []
    slots: list[Slot] = []
    lists: list[tuple[Path, str, str]] = []
    for key, part in definition.get("properties", {}).items():
        here = (*path, name, key)
        resolved, ref = resolve(schema, part)
        title, about = resolved.get("title") or _title(key), part.get("description", "")
        item_ref = resolve(schema, part.get("items", {}))[1] if part.get("type") == "array" else ""
        present = key in parameters
        if ref and is_family(schema, ref):
            if present:
                slots.append(_slot(schema, here, ref, title, about, parameters[key], removable=False))
        elif item_ref and is_family(schema, item_ref):
            lists.append((here, title, about))
            few = len(parameters.get(key, ())) <= part.get("minItems", 0)
            slots += [
                _slot(schema, (*here, i), item_ref, f"{title.removesuffix('s')} {i + 1}", "", value, removable=not few)
                for i, value in enumerate(parameters.get(key, ()))
            ]
        else:
            fields.append(_field(here, key, resolved, parameters.get(key, resolved.get("default")), title, about))
    return Node(path, name, definition.get("description", ""), tuple(fields), tuple(slots), tuple(lists))


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _field(path: Path, key: str, part: dict[str, Any], value: Any, title: str, about: str) -> Field:
    options = [option for option in part.get("anyOf", ()) if option.get("type") != "null"]
    nullable = len(options) < len(part.get("anyOf", ()))
    named = [option for option in options if "enum" in option]  # a component by its name, or with its parameters
    if len(options) == 1 or (named and isinstance(value, str)):
        part = {**part, **(named or options)[0]}
    kind: Kind = "json"
    picks: tuple[str, ...] = ()
    if "enum" in part and all(isinstance(item, str) for item in part["enum"]):
        kind, picks = "choice", tuple(part["enum"])
    elif "const" in part and isinstance(part["const"], str):
        kind, picks = "choice", (part["const"],)
    elif part.get("type") in ("integer", "number", "boolean", "string"):
        kind = part["type"]
    elif part.get("type") == "array" and part.get("items", {}).get("type") in ("integer", "number", "string"):
        kind = "strings" if part["items"]["type"] == "string" else "numbers"
    low = part.get("minimum", part.get("exclusiveMinimum"))
    high = part.get("maximum", part.get("exclusiveMaximum"))
    return Field(path, key, kind, value, title, about, picks, low, high, nullable)


def walk(slot: Slot) -> Iterator[Field]:
    """All fields of a form, outermost first."""
    for node in slot.components:
        yield from node.fields
        for inner in node.slots:
            yield from walk(inner)


def show(field: Field) -> str:
    """A value as the text of its input."""
    if field.value is None:
        return ""
    if field.kind in ("numbers", "strings"):
        return ", ".join(_number(item) if isinstance(item, float) else str(item) for item in field.value)
    if field.kind == "boolean":
        return "true" if field.value else "false"
    if field.kind == "json":
        return json.dumps(field.value, ensure_ascii=False)
    return _number(field.value) if isinstance(field.value, float) else str(field.value)


def _number(value: float) -> str:
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def read(field: Field, text: str) -> Any:
    """The value that the text of an input stands for. Raises BadInput that names the field."""
    stripped = text.strip()
    if stripped == "" and field.nullable:
        return None
    try:
        if field.kind == "integer":
            return int(stripped)
        if field.kind == "number":
            return float(stripped)
        if field.kind == "boolean":
            return stripped in ("true", "on", "1")
        if field.kind == "numbers":
            return [float(item) for item in stripped.replace(";", ",").split(",") if item.strip()]
        if field.kind == "strings":
            return [item.strip() for item in stripped.split(",") if item.strip()]
        return json.loads(stripped) if field.kind == "json" else text
    except ValueError:
        words = {
            "integer": "a whole number",
            "number": "a number",
            "numbers": "numbers with commas between",
            "json": "JSON",
        }
        raise BadInput(f"{field.title}: {text!r} is not {words.get(field.kind, 'usable')}.") from None


def normal(schema: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """A copy in which every place for stages holds a list of `{name: parameters}`."""
    return {**spec, "pipeline": _normal(schema, "stage", spec.get("pipeline", []), 0)}


def _normal(schema: dict[str, Any], family: str, value: Any, depth: int) -> Any:
    if depth > MAX_PATH:
        raise BadInput("The pipeline is nested too deeply.")
    if isinstance(value, str):
        value = {value: {}}
    if sequences(schema, family):
        items = value if isinstance(value, list) else [value]
        return [_normal_node(schema, item, depth) for item in items]
    return _normal_node(schema, value, depth)


def _normal_node(schema: dict[str, Any], tagged: Any, depth: int) -> dict[str, Any]:
    if isinstance(tagged, str):
        tagged = {tagged: {}}
    if not isinstance(tagged, dict) or len(tagged) != 1:
        raise BadInput("A stage is written as `name: {parameters}`.")
    ((name, parameters),) = tagged.items()
    filled = dict(parameters) if isinstance(parameters, dict) else {}
    for key, part in schema["$defs"].get(name, {}).get("properties", {}).items():
        if key not in filled:
            continue
        ref = resolve(schema, part)[1]
        item_ref = resolve(schema, part.get("items", {}))[1] if part.get("type") == "array" else ""
        if ref and is_family(schema, ref):
            filled[key] = _normal(schema, ref, filled[key], depth + 1)
        elif item_ref and is_family(schema, item_ref) and isinstance(filled[key], list):
            filled[key] = [_normal(schema, item_ref, item, depth + 1) for item in filled[key]]
    return {name: filled}


def template(schema: dict[str, Any], name: str, depth: int = 0) -> dict[str, Any]:
    """A new component with what it requires filled in by the simplest components there are."""
    definition = schema["$defs"].get(name, {})
    parameters: dict[str, Any] = {}
    for key in definition.get("required", ()):
        part = definition["properties"][key]
        ref = resolve(schema, part)[1]
        item_ref = resolve(schema, part.get("items", {}))[1] if part.get("type") == "array" else ""
        if item_ref and is_family(schema, item_ref) and depth < 3:
            simple = _simple(schema, item_ref)
            parameters[key] = [
                _wrap(schema, item_ref, simple[i % len(simple)]) for i in range(max(1, part.get("minItems", 1)))
            ]
        elif ref and is_family(schema, ref) and depth < 3:
            parameters[key] = _wrap(schema, ref, _simple(schema, ref)[0])
    return {name: parameters}


def _simple(schema: dict[str, Any], family: str) -> list[str]:
    """Components that need nothing filled in; those that read an index first, so that a new fusion has something to fuse."""
    free = [
        name
        for name in choices(schema, family)
        if not schema["$defs"].get(name, {}).get("required") and name != "cutoff"
    ]
    return free or list(choices(schema, family))


def _wrap(schema: dict[str, Any], family: str, name: str) -> Any:
    return [{name: {}}] if sequences(schema, family) else {name: {}}


def parse_path(text: str) -> Path:
    """A path from the page: JSON list of keys and positions. Raises BadInput."""
    try:
        parts = json.loads(text)
    except ValueError:
        parts = None
    if (
        not isinstance(parts, list)
        or not 0 < len(parts) <= MAX_PATH
        or not all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts)
    ):
        raise BadInput("The form field is unknown; reload the page.")
    return tuple(parts)


def at(spec: Any, path: Path) -> Any:
    """The value at a path. Raises BadInput where there is none."""
    for part in path:
        if (isinstance(spec, list) and isinstance(part, int) and 0 <= part < len(spec)) or (
            isinstance(spec, dict) and isinstance(part, str) and part in spec
        ):
            spec = spec[part]  # type: ignore[index]
        else:
            raise BadInput("The form no longer fits the pipeline; reload the page.")
    return spec


def edit(schema: dict[str, Any], spec: dict[str, Any], operation: str, path: Path, value: str = "") -> dict[str, Any]:
    """A copy of a normal specification after one edit: `set` a field, `add` or `replace` a component, `remove`, move `up` or `down`.

    Raises BadInput for an edit that the form cannot have offered.
    """
    changed = copy.deepcopy(spec)
    if operation == "set":
        field = next((f for f in walk(root(schema, changed)) if f.path == path), None)
        if field is None:
            raise BadInput("The form field is unknown; reload the page.")
        at(changed, path[:-1])[path[-1]] = read(field, value)
    elif operation == "add":
        place = at(changed, path)
        if not isinstance(place, list):
            raise BadInput("Nothing can be added here.")
        inner = bool(path) and path[-1] != "pipeline" and not isinstance(path[-1], int)
        new = template(schema, _known(schema, value))
        place.append([new] if inner else new)
    elif operation == "replace":
        new = template(schema, _known(schema, value))
        at(changed, path[:-1])[path[-1]] = new
    else:
        _rearrange(changed, operation, path)
    return changed


def _known(schema: dict[str, Any], name: str) -> str:
    families = [key for key in schema["$defs"] if is_family(schema, key)]
    if any(name in choices(schema, family) for family in families):
        return name
    raise BadInput(f"There is no component called {name!r}.")


def _rearrange(changed: dict[str, Any], operation: str, path: Path) -> None:
    place, index = at(changed, path[:-1]), path[-1]
    at(changed, path)
    if not isinstance(place, list) or not isinstance(index, int):
        raise BadInput("This cannot be moved or removed.")
    if operation == "remove":
        place.pop(index)
    elif operation in ("up", "down"):
        other = index - 1 if operation == "up" else index + 1
        if 0 <= other < len(place):
            place[index], place[other] = place[other], place[index]
    else:
        raise BadInput(f"There is no edit called {operation!r}.")
