"""What the relay can be told, and by whom. The only reader of the environment.

A setting comes from an argument, else from the environment, else from a TOML file, else from its default.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import os
import re
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from crdt_sync.errors import InvalidName
from crdt_sync.limits import Limits
from crdt_sync.values import check_tenant

PREFIX = "CRDT_SYNC_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
# The project's own variables that are no settings of the relay: where the file is, where real test data is.
FOREIGN_VARIABLES = frozenset(
    {CONFIG_VARIABLE, *(PREFIX + name for name in ("DATA", "ESCROW_OPS", "HISTORIES", "MUTANTS", "SEEDS", "TOKEN"))}
)


class SettingsError(ValueError):
    """A setting that the relay can't start with. The message is one sentence and holds no secret."""

    def __init__(self, setting: str, sentence: str, *, source: str | None = None) -> None:
        super().__init__(sentence)
        self.setting, self.source = setting, source


class _BrokenRelation(ValueError):
    def __init__(self, low: str, relation: str, high: str, why: str) -> None:
        super().__init__(f"{low} must be {relation} {high}, {why}")
        self.names = (low, high)


def _split_list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _refuse_empty(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return value


List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list)]
File = Annotated[Path, BeforeValidator(_refuse_empty)]


def _setting(default: Any, doc: str, **bounds: Any) -> Any:
    return Field(default, description=doc, **bounds)


class Settings(BaseSettings):
    """Everything the relay can be told, validated once, then frozen.

    Building one directly reads no environment and no file; :func:`load_settings` does.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", allow_inf_nan=False
    )

    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 for every IPv4 interface.", min_length=1)
    port: int = _setting(1234, "TCP port to listen on; 0 takes a free one.", ge=0, le=65_535)
    allowed_origins: List = _setting(
        (), "Web origins whose pages may connect, such as https://shop.example; empty: pages of every origin."
    )
    handshake_timeout_s: float = _setting(
        5.0, "A connection that has not said which document it wants after this time is closed.", gt=0, le=60
    )
    liveness_s: float = _setting(
        15.0,
        "A quiet connection is sent a sign of life this often; y-websocket clients leave after 30 s of silence.",
        gt=0,
        le=15,
    )
    shutdown_timeout_s: float = _setting(
        15.0, "How long a stop waits for connections before it cuts them; nothing acked is lost.", gt=0, lt=20
    )

    data_dir: File = _setting(Path("crdt-sync-data"), "Directory of the relay's files; made when missing.")
    tenants: List = _setting((), "Tenants served; empty: every tenant that a valid token names.")
    free_space_bytes_min: int = _setting(
        256 << 20, "With less free disk space than this the relay stops accepting writes and is not ready.", ge=0
    )
    compact_log_records_max: int = _setting(
        10_000, "A document's log is compacted when it holds more records than this.", ge=1
    )
    compact_log_bytes_min: int = _setting(1 << 20, "A log smaller than this is not compacted for its size.", ge=1)
    compact_log_ratio: float = _setting(
        2.0, "A log is compacted for its size when it exceeds this many times its snapshot's.", gt=0
    )

    secret_file: File | None = _setting(
        None, "File with the base64 secret that signs and verifies HS256 tokens; unset: secret.key in data_dir."
    )
    jwks_file: File | None = _setting(
        None, "JSON Web Key Set whose Ed25519 and RSA keys verify EdDSA and RS256 tokens of your own issuer."
    )
    token_issuer: str = _setting("crdt-sync", "The iss claim that every token must carry.", min_length=1)
    token_audience: str = _setting("crdt-sync", "The aud claim that every token must carry.", min_length=1)
    token_ttl_max_s: int = _setting(86_400, "Longest life of a token, from iat to exp.", ge=1)
    token_leeway_s: float = _setting(
        5.0, "How far in the future iat and nbf of a token may lie: its issuer's clock may be ahead.", ge=0, le=60
    )

    room_idle_s: float = _setting(60.0, "A room without members is closed after this time.", ge=0)
    slow_member_timeout_s: float = _setting(
        10.0, "A member that reads nothing for this long while its outbox is full is cut off.", gt=0
    )

    scribe_count: int = _setting(1, "Worker processes that load documents.", ge=1, le=64)
    scribe_memory_bytes_max: int = _setting(1 << 30, "Address space of one worker process.", ge=128 << 20)
    scribe_timeout_s: float = _setting(60.0, "A worker that is busy with one task for longer is killed.", gt=0)

    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least severe log lines shown.")
    log_format: Literal["console", "json"] = _setting("console", "Form of the log lines on standard error.")

    limits: Limits = _setting(Limits(), "What the relay accepts from a connection, see below.")

    _sources: Mapping[str, str] = PrivateAttr()

    def __init__(self, *, sources: Mapping[str, str] | None = None, **values: Any) -> None:
        super().__init__(**values)
        self._sources = sources if sources is not None else {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load_settings merges the sources itself: an error has to name the one that a value came from.
        return (init_settings,)

    @field_validator("tenants")
    @classmethod
    def _tenants_are_names(cls, tenants: tuple[str, ...]) -> tuple[str, ...]:
        for tenant in tenants:
            try:
                check_tenant(tenant)
            except InvalidName as error:
                raise ValueError(f"must be tenant names ({error.args[0]})") from error
        return tenants

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _is_origin(origin):
                raise ValueError("must be origins as browsers send them, such as https://shop.example:8443")
        return origins

    @model_validator(mode="after")
    def _relations_hold(self) -> Settings:
        if self.slow_member_timeout_s > self.shutdown_timeout_s:
            raise _BrokenRelation(
                "slow_member_timeout_s", "at most", "shutdown_timeout_s", "or a stuck member would outlive a stop"
            )
        if self.handshake_timeout_s > self.shutdown_timeout_s:
            raise _BrokenRelation(
                "handshake_timeout_s", "at most", "shutdown_timeout_s", "or a silent connection would outlive a stop"
            )
        if self.compact_log_bytes_min > self.limits.document_bytes_max:
            raise _BrokenRelation(
                "compact_log_bytes_min",
                "at most",
                "limits.document_bytes_max",
                "or a document would be full before its log is compacted",
            )
        return self

    def source_of(self, name: str) -> str:
        """Who set ``name``: an argument, an environment variable, a file, or ``default``."""
        return self._sources.get(name, "default")

    @property
    def secret_path(self) -> Path:
        """Where the HS256 secret is: ``secret_file``, or ``secret.key`` in the data directory."""
        return self.secret_file if self.secret_file is not None else self.data_dir / "secret.key"


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
        SettingDoc(name, variable_of(name), types.get(name, "integer"), _shown(default), docs[name])
        for name, default in _defaults().items()
    )


def describe_settings(settings: Settings) -> tuple[SettingValue, ...]:
    """Every setting with its value and source. No setting is a secret: secrets are in files, which are only named."""
    values = _flat({name: getattr(settings, name) for name in Settings.model_fields})
    values["secret_file"] = settings.secret_path
    return tuple(SettingValue(name, _shown(value), settings.source_of(name)) for name, value in values.items())


def variable_of(name: str) -> str:
    """The environment variable of a setting: ``limits.clients_max`` is ``CRDT_SYNC_LIMITS__CLIENTS_MAX``."""
    return PREFIX + name.replace(".", "__").upper()


def _defaults() -> dict[str, object]:
    return _flat({name: field.default for name, field in Settings.model_fields.items()})


def _config_from_environment() -> Path | None:
    text = os.environ.get(CONFIG_VARIABLE)
    if text == "":
        raise SettingsError("config", f"{CONFIG_VARIABLE} must name a file, but it is empty", source=CONFIG_VARIABLE)
    return Path(text) if text is not None else None


def _read_environment() -> dict[str, object]:
    known = {variable_of(name) for name in _defaults()} | FOREIGN_VARIABLES
    for variable in sorted(os.environ):
        if variable.upper().startswith(PREFIX) and variable not in known:
            # Its value is not shown: a mistyped name may well hold a secret.
            raise SettingsError(
                variable, f"environment variable {variable} is no setting of the relay", source="environment"
            )
    return dict(_flat(EnvSettingsSource(Settings)()))


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
    values = _flat(table)
    _refuse_unknown(values, source)
    return values


def _read_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    values = _flat({name: value for name, value in arguments.items() if value is not None})
    _refuse_unknown(values, "the arguments")
    return values


def _refuse_unknown(values: Mapping[str, object], source: str) -> None:
    for name in values:
        if name not in _defaults():
            raise SettingsError(name, f"{name} in {source} is no setting of the relay", source=source)


def _flat(values: Mapping[str, Any]) -> dict[str, object]:
    """Limits as ``limits.NAME`` beside the rest, so that sources can be laid over each other."""
    flat: dict[str, object] = {name: value for name, value in values.items() if name != "limits"}
    limits = values.get("limits", {})
    table = dataclasses.asdict(limits) if isinstance(limits, Limits) else limits
    return flat | {f"limits.{name}": value for name, value in table.items()}


def _nested(flat: Mapping[str, object]) -> dict[str, Any]:
    limits = {name.removeprefix("limits."): value for name, value in flat.items() if name.startswith("limits.")}
    return {name: value for name, value in flat.items() if "." not in name} | ({"limits": limits} if limits else {})


def _explain(error: ValidationError, values: Mapping[str, object], sources: Mapping[str, str]) -> SettingsError:
    first = error.errors()[0]
    broken = first.get("ctx", {}).get("error")
    if isinstance(broken, _BrokenRelation):
        stands = _defaults() | dict(values)
        facts = [f"{name} is {_shown(stands[name])} ({sources.get(name, 'default')})" for name in broken.names]
        return SettingsError(broken.names[0], f"{broken}: {', '.join(facts)}", source=sources.get(broken.names[0]))
    reason = first["msg"].removeprefix("Value error, ")
    if first["loc"] == ("limits",):
        named = sorted({source for name, source in sources.items() if name.startswith("limits.")})
        return SettingsError("limits", f"limits: {reason} ({', '.join(named)})", source=", ".join(named))
    name = ".".join(str(part) for part in first["loc"][: 2 if first["loc"][0] == "limits" else 1])
    # Pydantic explains after a comma how it tried to read the value; who sets a port does not need that.
    must = re.sub(r"^\w+ should ", "must ", reason.partition(", unable")[0])
    source = sources[name]
    return SettingsError(name, f"{name} {must}, but {source} says {_shown(first['input'])}", source=source)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Browsers leave out a default port, a path and everything after it, and write the host in lower case.
        return bool(
            parts.scheme in ("http", "https") and parts.hostname and text == f"{parts.scheme}://{parts.netloc}"
        ) and ("@" not in text and text == text.lower() and parts.port != 0)
    except ValueError:
        return False


def _shown(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, tuple | list):
        return ", ".join(map(_shown, value)) or "empty"
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
