"""No credential in any log line, whoever wrote it and wherever it stood."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import socket
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from server.auth.grants import DocumentPattern, Grant, Role
from server.auth.keys import secret_key
from server.auth.tickets import Tickets
from server.auth.tokens import TokenIssuer
from server.telemetry.logs import (
    CHATTY_LOGGERS,
    RepetitionFilter,
    configure_logging,
    event_processors,
    log_handler,
)
from server.telemetry.redaction import redact, redact_url
from tests.unit.server.tokens import CLAIMS, SECRET, segment, signed

Format = Literal["console", "json"]
GRANT = Grant("x", "acme", (DocumentPattern("*"),), Role.VIEWER, 1_000_000_000, "t")
issued = st.integers(1, 86_400).map(
    lambda ttl_s: TokenIssuer(secret_key(SECRET)).issue(tenant="acme", role="viewer", subject="x", ttl_s=ttl_s, now_s=0)
)
loose = st.just(signed(CLAIMS, header=json.dumps({"typ": "JWT", "alg": "HS256"}, indent=1).encode()))
tickets = st.builds(lambda: Tickets().issue(GRANT, 0))
credentials = issued | loose | tickets
# A mark at the front: six letters of "Authorization" are a word of every line that names the header.
opaque = st.from_regex(r"zQ9-[A-Za-z0-9_.-]{8,50}", fullmatch=True)
surroundings = st.text(max_size=12)


class Holder:
    """An object whose repr shows what it holds, as those of libraries do."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Holder({self.secret!r})"


def written(log_format: Format, record_with: Any) -> str:
    stream = io.StringIO()
    handler = log_handler(stream, log_format)
    logger = logging.Logger("test")  # noqa: LOG001  its handler must not outlive this line
    logger.addHandler(handler)
    record_with(
        structlog.wrap_logger(
            logger,
            wrapper_class=structlog.stdlib.BoundLogger,
            processors=[*event_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        ),
        logger,
    )
    return stream.getvalue()


def positions(secret: str, around: str) -> Iterator[Any]:
    """Every way in which a secret may reach a log line."""
    text = f"{around} {secret} {around}"
    yield lambda log, std: log.warning(text)
    yield lambda log, std: log.warning("event", key=text)
    yield lambda log, std: log.warning("event", key=secret, other={"deep": [{"deeper": (secret, {secret})}]})
    yield lambda log, std: log.warning("event", **{secret: 1})
    yield lambda log, std: log.warning("event", key={secret: 1})
    yield lambda log, std: log.warning("event", raw=text.encode("utf-8", "replace"))
    yield lambda log, std: log.warning("event", holder=Holder(secret))
    yield lambda log, std: log.warning("event", headers=[(b"authorization", b"Bearer " + secret.encode())])
    yield lambda log, std: log.warning("event %s", secret)
    yield lambda log, std: std.warning("event %s %r", secret, Holder(secret))
    yield lambda log, std: std.warning(text)
    yield lambda log, std: std.warning('"WebSocket %s" [accepted]', f"/ws/acme/x?a=1&token={secret}&b=2")
    yield lambda log, std: log.warning("event", exc_info=ValueError(text))
    yield lambda log, std: std.warning("event", exc_info=ValueError(text))
    yield lambda log, std: log.warning("event", stack=[Holder(secret)] * 3)
    yield lambda log, std: log.warning(Holder(secret))
    yield lambda log, std: log.warning("event", exception={"a": secret}, level=secret, logger=secret)


def traces(secret: str) -> list[str]:
    """The parts of a secret that would be of use."""
    return [part for part in secret.removeprefix("ticket_").split(".") if len(part) > 11]


@pytest.mark.parametrize("log_format", ["console", "json"])
@given(secret=credentials, around=surroundings)
def test_a_credential_in_any_position_never_shows(log_format: Format, secret: str, around: str) -> None:
    for position in positions(secret, around):
        line = written(log_format, position)
        assert line
        assert not [part for part in traces(secret) if part in line], line


@pytest.mark.parametrize("log_format", ["console", "json"])
@given(secret=opaque, around=st.text("abc xyz", max_size=8))
def test_a_credential_of_any_kind_does_not_show_where_one_is_expected(
    log_format: Format, secret: str, around: str
) -> None:
    for name in ("token", "ticket", "authorization", "Authorization", "sec_websocket_protocol", "secret", "Cookie"):
        assert secret not in written(log_format, lambda log, std, name=name: log.warning("event", **{name: secret}))
        assert secret not in written(
            log_format, lambda log, std, name=name: log.warning("event", headers={name: [secret]})
        )
    for text in (
        f"/ws/a?token={secret}&x=1",
        f"/ws/a?x=1&ticket={secret}",
        f"/ws/a?TOKEN={secret}",
        f"/ws/a?%74ok%65n={secret}",
        f"next=%2Fws%3Ftoken%3D{secret}",
        f"Authorization: Bearer {secret}",
        f"authorization: {secret}",
        f"{{'Authorization': 'Bearer {secret}'}}",
        f"[(b'authorization', b'bearer {secret}')]",
        f"Sec-WebSocket-Protocol: crdt-sync, bearer.{secret}",
        f"https://user:{secret}@host/",
    ):
        line = f"{around} {text} {around}"
        assert secret not in written(log_format, lambda log, std, line=line: log.warning(line))
        assert secret not in written(log_format, lambda log, std, text=text: std.warning("%s", text))


@given(credentials, surroundings)
def test_every_json_line_stays_json(secret: str, around: str) -> None:
    for position in positions(secret, around):
        lines = written("json", position).splitlines()
        assert len(lines) == 1
        assert json.loads(lines[0]).keys() >= {"event", "level", "logger", "timestamp"}


@given(opaque)
def test_a_redacted_url_keeps_the_rest(secret: str) -> None:
    url = redact_url(f"wss://host:1/ws/acme/doc?a=1&token={secret}&ticket={secret}&b=2")
    assert url == "wss://host:1/ws/acme/doc?a=1&token=[redacted]&ticket=[redacted]&b=2"


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize("text", ["acme/inventory/2026-11", "the token has expired", "room closed after 60.0 s", ""])
def test_what_is_no_credential_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "unit", ["a", "token=", "authorization", "bearer ", "ey", "eyJ", "://", "eyJaaaaaa.", "%74", "a://"]
)
def test_a_long_line_is_redacted_in_time_that_grows_with_its_length(unit: str) -> None:
    # Quadratic backtracking over a megabyte would not end while anybody waits.
    assert redact(unit * (1_000_000 // len(unit))) is not None


def test_the_first_part_of_a_cut_token_does_not_show() -> None:
    token = signed(CLAIMS)
    assert segment(CLAIMS)[:12] not in redact(f"no room {token[:80]!r}")


def test_a_line_that_can_not_be_rendered_is_not_printed_raw(capsys: pytest.CaptureFixture[str]) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise TypeError("opaque-secret")

    assert written("json", lambda log, std: log.warning("event", opaque=Unprintable(), also="opaque-secret")) == ""
    assert capsys.readouterr().err == "a log line of test was lost: TypeError\n"


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, CHATTY_LOGGERS)]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("untouched_logging")
def test_uvicorn_is_heard_from_warning_on_and_our_own_lines_from_the_level_on() -> None:
    stream = io.StringIO()
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler(stream))
    configure_logging("info", "json", stream)
    logging.getLogger("uvicorn.error").info('"WebSocket /ws/r?token=x" [accepted]')
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("websockets.server").info("< GET /")
    logging.getLogger("uvicorn.error").warning("heard")
    structlog.get_logger("relay").info("opened", room="acme/x", port=1)
    structlog.get_logger("relay").debug("too fine")
    logging.getLogger("crdt_sync").info("from %s", "the library")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["logger"], line["level"], line["event"]) for line in lines] == [
        ("uvicorn.error", "warning", "heard"),
        ("relay", "info", "opened"),
        ("crdt_sync", "info", "from the library"),
    ]
    assert lines[1]["room"] == "acme/x"


@pytest.mark.usefixtures("untouched_logging")
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_an_exception_is_logged_with_its_traceback_and_without_local_variables(log_format: Format) -> None:
    stream = io.StringIO()
    configure_logging("info", log_format, stream)
    hidden = "opaque-local-value"
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    assert "RuntimeError: broken" in stream.getvalue()
    assert hidden not in stream.getvalue()


@pytest.mark.usefixtures("untouched_logging")
def test_a_second_configuration_replaces_the_first_and_python_warnings_are_lines() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", "console", first)
    configure_logging("debug", "json", second)
    structlog.get_logger("relay").debug("once")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert first.getvalue() == ""
    assert "once" in second.getvalue()
    assert "old" in second.getvalue()


def test_repeated_warnings_are_held_back_and_counted() -> None:
    clock = iter([0.0] * 5 + [59.9, 60.0, 61.0]).__next__
    held = RepetitionFilter(burst=2, window_s=60, clock=clock)

    def record(event: str) -> logging.LogRecord:
        return logging.LogRecord("relay", logging.WARNING, "", 0, {"event": event}, (), None)

    assert [held.filter(record("a")) for _ in range(4)] == [True, True, False, False]
    assert held.filter(record("b"))
    assert not held.filter(record("a"))
    again = record("a")
    assert held.filter(again)
    assert again.msg == {"event": "a", "held_back": 3}
    assert held.filter(record("a"))


def test_repeated_lines_of_the_standard_library_are_one_kind_whatever_their_arguments() -> None:
    times = iter([0.0, 0.0, 0.0, 99.0])
    held = RepetitionFilter(burst=1, clock=times.__next__)
    records = [logging.LogRecord("x", logging.ERROR, "", 0, "from %s", (port,), None) for port in range(4)]
    assert [held.filter(record) for record in records] == [True, False, False, True]
    assert records[3].getMessage() == "from 3 (and 2 more like it, held back)"


def test_lines_below_a_warning_are_never_held_back_and_memory_is_bounded() -> None:
    held = RepetitionFilter(burst=1, kinds_max=2, clock=lambda: 0.0)
    info = logging.LogRecord("x", logging.INFO, "", 0, "same", (), None)
    assert [held.filter(info) for _ in range(3)] == [True] * 3
    for number in range(10):
        assert held.filter(logging.LogRecord("x", logging.WARNING, "", 0, f"kind {number}", (), None))


@pytest.mark.usefixtures("untouched_logging")
async def test_a_token_in_a_url_or_header_does_not_reach_the_log_through_uvicorn() -> None:
    stream, token = io.StringIO(), signed(CLAIMS)
    configure_logging("debug", "json", stream)

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError(f"no answer for {scope['query_string']!r} with {scope['headers']!r}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(fails, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        for extra in ("", f"{upgrade}Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n", "no header\r\n"):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            offer = f"Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: crdt-sync, bearer.{token}\r\n"
            writer.write(f"GET /ws/acme/x?token={token} HTTP/1.1\r\nHost: x\r\n{offer}{extra}\r\n".encode())
            assert (await asyncio.wait_for(reader.readline(), 30)).split()[1] in (b"500", b"400")
            writer.close()
        server.should_exit = True
        await asyncio.wait_for(serving, 30)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sum("RuntimeError: no answer" in line.get("exception", "") for line in lines) == 2
    assert not [part for part in traces(token) if part in stream.getvalue()]
