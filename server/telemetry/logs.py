"""Log lines: structlog's and the standard library's, in one form, on one stream, without credentials."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from server.telemetry.redaction import redact, redact_value

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
CHATTY_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets", "asyncio", "aiosqlite")
"""At INFO, uvicorn writes every URL with its query; at DEBUG, websockets writes every header and frame."""


def configure_logging(
    level: Literal["debug", "info", "warning", "error"],
    log_format: Literal["console", "json"],
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process to ``stream`` (standard error). To be called once, by the command line.

    Run uvicorn with ``log_config=None``, ``access_log=False`` and no ``log_level``, or it undoes this.
    """
    root = logging.getLogger()
    root.handlers[:] = [log_handler(stream if stream is not None else sys.stderr, log_format)]
    root.setLevel(LEVELS[level])
    for name in CHATTY_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(logging.WARNING, LEVELS[level]))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *event_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def log_handler(stream: TextIO, log_format: Literal["console", "json"]) -> logging.Handler:
    """A handler that writes records of either library to ``stream``, redacted and with repetitions held back."""
    if log_format == "json":
        shape: list[Processor] = [structlog.processors.format_exc_info, _redact_event]
        renderer: Processor = structlog.processors.JSONRenderer(default=repr, sort_keys=True)
    else:
        shape = [_redact_event]
        # Not rich's tracebacks: they show local variables, and one of them is the token.
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = _DiscreetStream(stream)
    handler.setFormatter(
        _RedactingFormatter(
            foreign_pre_chain=event_processors(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shape, renderer],
        )
    )
    handler.addFilter(RepetitionFilter())
    return handler


class RepetitionFilter(logging.Filter):
    """Lets the same warning through ``burst`` times per ``window_s``; the first one after that says how many were held.

    A client that misbehaves a thousand times a second must not fill the disk.
    """

    def __init__(
        self,
        *,
        burst: int = 20,
        window_s: float = 60.0,
        kinds_max: int = 1_024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._burst, self._window_s, self._kinds_max, self._clock = burst, window_s, kinds_max, clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now_s = self._clock()
        kind = (record.name, record.levelno, _event_of(record))
        since_s, count = self._seen.get(kind, (now_s, 0))
        held = 0
        if now_s - since_s >= self._window_s:
            held, since_s, count = max(0, count - self._burst), now_s, 0
        if len(self._seen) >= self._kinds_max and kind not in self._seen:
            # Forgetting shows too much for once, never too little.
            self._seen.clear()
        self._seen[kind] = (since_s, count + 1)
        if held and isinstance(record.msg, MutableMapping):
            record.msg["held_back"] = held
        elif held:
            record.msg = f"{record.msg} (and {held} more like it, held back)"
        return count < self._burst


class _DiscreetStream(logging.StreamHandler[TextIO]):
    """Says that a line could not be written, but not which: the standard library would print it unredacted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the standard library's name
        kind = sys.exc_info()[0]
        if sys.stderr is not None:
            sys.stderr.write(f"a log line of {record.name} was lost: {kind.__name__ if kind else 'unknown'}\n")


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """The last net: whatever was rendered, from whatever object, goes through it."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def event_processors() -> list[Processor]:
    """What every event gets before it is rendered: context, logger, level, time."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _redact_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # exc_info stays: the console renderer makes text of it, which passes the formatter's net.
    redacted = {name: value if name == "exc_info" else redact_value(name, value) for name, value in event.items()}
    # The console renderer takes these for text without looking.
    return redacted | {name: str(redacted[name]) for name in ("event", "stack", "exception") if name in redacted}


def _event_of(record: logging.LogRecord) -> str:
    # The message before its arguments are put in, so that a thousand addresses are still one kind of event.
    event = record.msg.get("event") if isinstance(record.msg, MutableMapping) else record.msg
    text: Any = event if event is not None else ""
    return str(text)[:200]
