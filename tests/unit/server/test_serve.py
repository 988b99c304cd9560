"""Where a relay that serves finds itself."""

from __future__ import annotations

import re
import socket

import pytest

from server.commands.serve import own_url


@pytest.mark.parametrize(
    ("family", "host", "url"),
    [
        (socket.AF_INET, "127.0.0.1", r"ws://127\.0\.0\.1:[0-9]+"),
        (socket.AF_INET, "0.0.0.0", r"ws://127\.0\.0\.1:[0-9]+"),  # noqa: S104  bound, and never listened on
        (socket.AF_INET6, "::1", r"ws://\[::1\]:[0-9]+"),
        (socket.AF_INET6, "::", r"ws://\[::1\]:[0-9]+"),
    ],
)
def test_a_relay_reaches_itself_where_it_listens_or_over_loopback(
    family: socket.AddressFamily, host: str, url: str
) -> None:
    try:
        listener = socket.socket(family)
        listener.bind((host, 0))
    except OSError as error:
        pytest.skip(f"this machine has no {host} ({error}); run it on one with IPv6")
    with listener:
        assert re.fullmatch(url, own_url(listener))
        assert own_url(listener).endswith(f":{listener.getsockname()[1]}")
