"""Reads settings from an argument, else the environment, else a TOML file, else takes the default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from server.settings.explanation import defaults, flat, shown, variable_of
from server.settings.fields import PREFIX, BrokenRelation, Settings, SettingsError

CONFIG_VARIABLE = PREFIX + "CONFIG"
# The project's own variables that are no settings of the relay: where the file is, where real test data is.
FOREIGN_VARIABLES = frozenset(
    {CONFIG_VARIABLE, *(PREFIX + name for name in ("DATA", "ESCROW_OPS", "HISTORIES", "MUTANTS", "SEEDS", "TOKEN"))}
)


def load_settings(config: Path | None = None, **arguments: Any) -> Settings:
    """Settings from arguments, else the environment, else a TOML file, else the defaults.

    The file is ``config``, else what ``CRDT_SYNC_CONFIG`` names, else none. An argument that is None was not given.
    Raises :class:`SettingsError` for the first wrong, unknown or contradictory setting.
    """
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    path = config if config is not None else _config_from_environment()
    layers: list[tuple[Mapping[str, object], Callable[[str], str]]] = [
        (_read_environment(), lambda name: f"environment variable {variable_of(name)}"),
        (_read_arguments(arguments), lambda name: f"argument {name}"),
    ]
    if path is not None:
        layers.insert(0, (_read_file(path), lambda name: f"file {path}"))
    for layer, source_of in layers:
        for name, value in layer.items():
            if isinstance(value, bool):
                raise SettingsError(
                    name, f"{name} must not be a boolean, but {source_of(name)} says {value!r}", source=source_of(name)
                )
            values[name], sources[name] = value, source_of(name)
    try:
        return Settings(sources=sources, **_nested(values))
    except ValidationError as error:
        raise _explain(error, values, sources) from error


def _config_from_environment() -> Path | None:
    text = os.environ.get(CONFIG_VARIABLE)
    if text == "":
        raise SettingsError("config", f"{CONFIG_VARIABLE} must name a file, but it is empty", source=CONFIG_VARIABLE)
    return Path(text) if text is not None else None


def _read_environment() -> dict[str, object]:
    known = {variable_of(name) for name in defaults()} | FOREIGN_VARIABLES
    for variable in sorted(os.environ):
        if variable.upper().startswith(PREFIX) and variable not in known:
            # Its value is not shown: a mistyped name may well hold a secret.
            raise SettingsError(
                variable, f"environment variable {variable} is no setting of the relay", source="environment"
            )
    return dict(flat(EnvSettingsSource(Settings)()))


def _read_file(path: Path) -> dict[str, object]:
    source = f"file {path}"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError("config", f"{source} can't be read: {error.strerror}", source=source) from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError alike
        raise SettingsError("config", f"{source} is no TOML: {error}", source=source) from error
    if not isinstance(table.get("limits", {}), dict):
        raise SettingsError("limits", f"limits must be a table [limits] in {source}", source=source)
    values = flat(table)
    _refuse_unknown(values, source)
    return values


def _read_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    values = flat({name: value for name, value in arguments.items() if value is not None})
    _refuse_unknown(values, "the arguments")
    return values


def _refuse_unknown(values: Mapping[str, object], source: str) -> None:
    for name in values:
        if name not in defaults():
            raise SettingsError(name, f"{name} in {source} is no setting of the relay", source=source)


def _nested(settings: Mapping[str, object]) -> dict[str, Any]:
    limits = {name.removeprefix("limits."): value for name, value in settings.items() if name.startswith("limits.")}
    return {name: value for name, value in settings.items() if "." not in name} | ({"limits": limits} if limits else {})


def _explain(error: ValidationError, values: Mapping[str, object], sources: Mapping[str, str]) -> SettingsError:
    first = error.errors()[0]
    broken = first.get("ctx", {}).get("error")
    if isinstance(broken, BrokenRelation):
        stands = defaults() | dict(values)
        facts = [f"{name} is {shown(stands[name])} ({sources.get(name, 'default')})" for name in broken.names]
        return SettingsError(broken.names[0], f"{broken}: {', '.join(facts)}", source=sources.get(broken.names[0]))
    reason = first["msg"].removeprefix("Value error, ")
    if first["loc"] == ("limits",):
        named = sorted({source for name, source in sources.items() if name.startswith("limits.")})
        return SettingsError("limits", f"limits: {reason} ({', '.join(named)})", source=", ".join(named))
    name = ".".join(str(part) for part in first["loc"][: 2 if first["loc"][0] == "limits" else 1])
    # Pydantic explains after a comma how it tried to read the value; who sets a port does not need that.
    must = re.sub(r"^\w+ should ", "must ", reason.partition(", unable")[0])
    source = sources[name]
    return SettingsError(name, f"{name} {must}, but {source} says {shown(first['input'])}", source=source)
