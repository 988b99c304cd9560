"""What an endpoint needs of the running relay. Made once, by app.py; every request finds it in its state."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from crdt_sync.limits import Limits
from server.auth.access import AccessBook
from server.auth.client_tokens import ClientTokens
from server.rooms.registry import Rooms
from server.scribes.pool import Scribes
from server.steward.supervision import Steward
from server.storage.scrubber import Scrubber
from server.storage.tenants import Tenants
from server.telemetry.meters import Meters
from server.web.connections import Connections
from server.web.door import Door
from server.web.quotas import Quotas
from server.web.refusals import Refusals
from server.web.tenures import Tenures


@dataclass(frozen=True, slots=True)
class Relay:
    """The parts of one relay, open and running."""

    limits: Limits
    meters: Meters
    door: Door
    quotas: Quotas
    book: AccessBook
    tenures: Tenures
    refusals: Refusals
    tenants: Tenants
    rooms: Rooms
    connections: Connections
    handshake_timeout_s: float
    steward: Steward | None
    scribes: Scribes
    client_tokens: ClientTokens
    public_url: str | None
    """Where pages reach the relay, if that is not where their backends do."""
    scrubber: Scrubber


def relay_of(connection: HTTPConnection) -> Relay:
    """The relay that serves this request."""
    relay: Relay = connection.state.relay
    return relay
