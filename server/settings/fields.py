"""Every setting with its bounds, its meaning and its default; what must hold between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from crdt_sync.errors import InvalidName
from crdt_sync.limits import Limits
from crdt_sync.values import check_tenant

PREFIX = "CRDT_SYNC_"


class SettingsError(ValueError):
    """A setting that the relay can't start with. The message is one sentence and holds no secret."""

    def __init__(self, setting: str, sentence: str, *, source: str | None = None) -> None:
        super().__init__(sentence)
        self.setting, self.source = setting, source


class BrokenRelation(ValueError):
    """Two settings, each fine by itself, that contradict each other."""

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
    public_url: str | None = _setting(
        None,
        "Where pages reach the relay, such as https://sync.shop.example, for the URLs in the client tokens of y-sweet; "
        "unset: where the request for one came to.",
    )
    handshake_timeout_s: float = _setting(
        5.0, "A connection that has not said which document it wants after this time is closed.", gt=0, le=60
    )
    request_timeout_s: float = _setting(
        60.0,
        "A request over HTTP that was not answered after this time is cut off, unless its answer is being read.",
        gt=0,
    )
    trusted_proxies: List = _setting(
        ("127.0.0.1", "::1"),
        "Addresses of proxies whose X-Forwarded-For says who the client is; without it all behind a proxy share one "
        "address.",
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

    scrub_interval_s: float = _setting(
        86_400.0,
        "Every document on disk is read and checked once in this time, where scrub_bytes_per_s allows it; 0: never.",
        ge=0,
    )
    scrub_bytes_per_s: int = _setting(
        4 << 20, "The scrubber rests after each document until it has read no more than this, on average.", ge=1
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

    carry: Literal["on", "off"] = _setting(
        "on",
        "Whether a member may bring, when the relay asks what it holds, edits under another user's client id; "
        "what is brought so is logged.",
    )

    scribe_count: int = _setting(1, "Worker processes that load documents.", ge=1, le=64)
    scribe_memory_bytes_max: int = _setting(1 << 30, "Address space of one worker process.", ge=128 << 20)
    scribe_timeout_s: float = _setting(60.0, "A worker that is busy with one task for longer is killed.", gt=0)

    steward: Literal["on", "off"] = _setting(
        "on", "Whether the relay does its duties in its tenants' documents, in a process beside it."
    )
    steward_interval_s: float = _setting(
        1.0, "The steward looks after a tenant's documents at most this often.", ge=0.01, le=3_600
    )
    steward_memory_bytes_max: int = _setting(2 << 30, "Address space of the steward's process.", ge=256 << 20)

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

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_origin(cls, url: str | None) -> str | None:
        if url is not None and not _is_origin(url):
            raise ValueError("must be a scheme and a host, such as https://sync.shop.example, without a path")
        return url

    @model_validator(mode="after")
    def _relations_hold(self) -> Settings:
        if self.slow_member_timeout_s > self.shutdown_timeout_s:
            raise BrokenRelation(
                "slow_member_timeout_s", "at most", "shutdown_timeout_s", "or a stuck member would outlive a stop"
            )
        if self.handshake_timeout_s > self.shutdown_timeout_s:
            raise BrokenRelation(
                "handshake_timeout_s", "at most", "shutdown_timeout_s", "or a silent connection would outlive a stop"
            )
        if self.compact_log_bytes_min > self.limits.document_bytes_max:
            raise BrokenRelation(
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


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # Browsers leave out a default port, a path and everything after it, and write the host in lower case.
        return bool(
            parts.scheme in ("http", "https") and parts.hostname and text == f"{parts.scheme}://{parts.netloc}"
        ) and ("@" not in text and text == text.lower() and parts.port != 0)
    except ValueError:
        return False
