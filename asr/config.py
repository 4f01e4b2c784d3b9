"""Strict settings: YAML files with `extends:`, dotted overrides, pydantic models that refuse unknown keys."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from asr.errors import ConfigError


class Settings(pydantic.BaseModel):
    """Base of every settings class: frozen, no unknown keys."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def resource(kind: str, name: str) -> Path:
    """Path of a file below the ``recipes`` or ``conf`` folder, in a checkout or in an installed wheel."""
    package = Path(__file__).parent
    for root in (package.parent / kind, package / f"_{kind}"):
        if (root / name).exists():
            return root / name
    raise ConfigError(f"no {kind}/{name} in this installation")


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping and merge what it `extends:` under its own keys.

    A parent is ``conf/NAME`` or ``recipes/NAME`` of the installation, or a path relative to the file.

    Raises
    ------
    ConfigError
        If the file is missing, not YAML, not a mapping, or extends itself.
    """
    return _load_yaml(Path(path), ())


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which of a key that stands twice would keep the second."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                what = f"{name!r} stands here twice"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _load_yaml(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError("extends itself", path=path, fix="remove the cycle from `extends:`")
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as e:
        raise ConfigError(f"cannot be read ({e.strerror})", path=path) from e
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        mark = getattr(e, "problem_mark", None)
        raise ConfigError(
            f"not valid YAML ({getattr(e, 'problem', None) or e})",
            path=path,
            line=mark.line + 1 if mark else None,
        ) from e
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigError("not a mapping of settings", path=path, fix="write `key: value` lines")
    parents = value.pop("extends", None) or []
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise ConfigError("extends names no file", path=path, fix="write `extends: FILE` or a list of files")
    merged: dict[str, Any] = {}
    for parent in parents:
        kind, _, name = parent.partition("/")
        file = resource(kind, name) if kind in ("conf", "recipes") else path.parent / parent
        merged = merge(merged, _load_yaml(file, (*seen, path.resolve())))
    return merge(merged, value)


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings merged key by key, `above` winning; lists are replaced, not joined."""
    out = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


def override(value: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``a.b=c`` assignments (c is YAML) to a nested mapping and return a new one."""
    for assignment in assignments:
        dotted, equals, text = assignment.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"cannot read --set {assignment!r}", fix="write --set section.key=value")
        try:
            nested: Any = yaml.safe_load(text)
        except yaml.YAMLError as e:
            raise ConfigError(f"--set {dotted}: {text!r} is not valid YAML") from e
        for key in reversed(dotted.split(".")):
            nested = {key: nested}
        value = merge(value, nested)
    return value


def parse(kind: type[S], value: dict[str, Any], where: str | Path | None = None) -> S:
    """Build settings of class `kind` from a mapping.

    Raises
    ------
    ConfigError
        Names the dotted key, what is wrong with it and, for an unknown key, the nearest known one.
    """
    try:
        return kind.model_validate(value)
    except pydantic.ValidationError as e:
        error = e.errors()[0]
        # pydantic adds the tag of a chosen union member to the location; a user never wrote that part
        dotted = [str(part) for part in error["loc"] if not _is_tag(part, value)]
        key = ".".join(dotted)
        if error["type"] == "extra_forbidden":
            near = _nearest(dotted, _known_keys(kind, value))
            fix = f"did you mean {near!r}?" if near else "see `asr show` of the recipe for the known keys"
            raise ConfigError(f"unknown key {key!r}", path=where, fix=fix) from e
        if error["type"] == "union_tag_not_found":
            fix = "begin with a recipe's, as by `extends: recipes/raw_ctc/recipe.yaml`"
            raise ConfigError(f"{key}: of no type", path=where, fix=fix) from e
        given = error["input"]
        got = f", not {given!r}" if isinstance(given, str | int | float | None) else ""
        raise ConfigError(f"{key or 'settings'}: {plain(error['msg'])}{got}", path=where) from e


def plain(message: str) -> str:
    """What pydantic says of a value, without its own terms: ``must be a number``."""
    message = message.replace("Value error, ", "").partition(", unable to")[0]
    message = message.replace("valid integer", "whole number").replace("a valid ", "a ")
    return message.replace("Input should be", "must be")


def _is_tag(part: int | str, value: Any) -> bool:
    return isinstance(part, str) and part in _tags(value)


def _tags(value: Any) -> set[str]:
    if not isinstance(value, dict):
        return set()
    found = {value["type"]} if isinstance(value.get("type"), str) else set()
    return found.union(*(_tags(v) for v in value.values()), set())


def _tag(kind: Any) -> str | None:
    """What ``type`` of a settings class must be for it to be chosen among several."""
    field = getattr(kind, "model_fields", {}).get("type")
    return None if field is None else field.default


def _nearest(dotted: list[str], known: list[str]) -> str | None:
    """The known key whose last part is most like that of `dotted`; the whole decides between equals."""
    last = {key.rpartition(".")[2] for key in known}
    near = difflib.get_close_matches(dotted[-1], sorted(last), n=1, cutoff=0.5)
    alike = [key for key in known if key.rpartition(".")[2] in near]
    return next(iter(difflib.get_close_matches(".".join(dotted), alike, n=1, cutoff=0.0)), None)


def _known_keys(kind: Any, value: Any) -> list[str]:
    """Every dotted key of a settings class and of the settings classes inside it that `value` has chosen."""
    keys: list[str] = []
    tags = _tags(value)
    stack, seen = [("", kind)], set()
    while stack:
        above, item = stack.pop()
        if (above, item) in seen:
            continue
        seen.add((above, item))
        if isinstance(item, type) and issubclass(item, pydantic.BaseModel):
            for name, field in item.model_fields.items():
                keys.append(above + name)
                stack.append((f"{above}{name}.", field.annotation))
        else:
            inner = [a for a in getattr(item, "__args__", ()) if a is not None and a is not Ellipsis]
            stack.extend((above, a) for a in [a for a in inner if _tag(a) in tags] or inner)
    return keys
