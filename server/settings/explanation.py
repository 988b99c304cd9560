"""Settings explained: for ``--help``, ``check-config``, the documentation and the sentences of errors."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from crdt_sync.limits import Limits
from server.settings.fields import PREFIX, Settings


@dataclasses.dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting, explained: for ``--help``, ``check-config`` and the documentation."""

    name: str
    env: str
    type: str
    default: str
    doc: str


@dataclasses.dataclass(frozen=True, slots=True)
class SettingValue:
    """One setting as it stands, and who said so."""

    name: str
    value: str
    source: str


def explain_settings() -> tuple[SettingDoc, ...]:
    """Every setting, in the order of the file; limits last, as ``limits.NAME``."""
    docs = {name: str(field.description) for name, field in Settings.model_fields.items()} | _limit_docs()
    types = {name: _type_name(field.annotation) for name, field in Settings.model_fields.items() if name != "limits"}
    return tuple(
        SettingDoc(name, variable_of(name), types.get(name, "integer"), shown(default), docs[name])
        for name, default in defaults().items()
    )


def describe_settings(settings: Settings) -> tuple[SettingValue, ...]:
    """Every setting with its value and source. No setting is a secret: secrets are in files, which are only named."""
    values = flat({name: getattr(settings, name) for name in Settings.model_fields})
    values["secret_file"] = settings.secret_path
    return tuple(SettingValue(name, shown(value), settings.source_of(name)) for name, value in values.items())


def variable_of(name: str) -> str:
    """The environment variable of a setting: ``limits.clients_max`` is ``CRDT_SYNC_LIMITS__CLIENTS_MAX``."""
    return PREFIX + name.replace(".", "__").upper()


def defaults() -> dict[str, object]:
    """What holds where nobody said anything else, limits as ``limits.NAME``."""
    return flat({name: field.default for name, field in Settings.model_fields.items()})


def flat(values: Mapping[str, Any]) -> dict[str, object]:
    """Limits as ``limits.NAME`` beside the rest, so that sources can be laid over each other."""
    laid_out: dict[str, object] = {name: value for name, value in values.items() if name != "limits"}
    limits = values.get("limits", {})
    table = dataclasses.asdict(limits) if isinstance(limits, Limits) else limits
    return laid_out | {f"limits.{name}": value for name, value in table.items()}


def shown(value: object) -> str:
    """A value as it may be shown, without passwords."""
    if value is None:
        return "unset"
    if isinstance(value, tuple | list):
        return ", ".join(map(shown, value)) or "empty"
    # A pasted URL may carry a user's password.
    return re.sub(r"//[^/@\s]*@", "//[redacted]@", str(value)) if str(value) else "''"


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(get_args(annotation))
    names = {"tuple": "list", "Path": "path", "int": "integer", "float": "number", "str": "text"}
    return next(name for kind, name in names.items() if kind in str(annotation))


def _limit_docs() -> dict[str, str]:
    """What each bound is: the sentences are written once, under the fields of Limits."""
    docs = {
        f"limits.{field.name}": f"Bound of {field.name.removesuffix('_max').replace('_', ' ')}."
        for field in dataclasses.fields(Limits)
    }
    (table,) = ast.parse(textwrap.dedent(inspect.getsource(Limits))).body
    statements = list(ast.iter_child_nodes(table))
    for field, note in itertools.pairwise(statements):
        match field, note:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[f"limits.{name}"] = " ".join(text.split())
            case _:
                continue
    return docs
