"""What a Hocuspocus connection says about documents whose token has not come. Bounded, and nothing of it is read."""

from __future__ import annotations

from dataclasses import dataclass

from crdt_sync.limits import Limits
from crdt_sync.protocol.hocuspocus import Envelope

_ENTRY_BYTES = 256
"""What an address costs beside its bytes."""


@dataclass(slots=True)
class Early:
    """What there is to be heard once the token holds. Updates are not kept: they come again with the state."""

    state_request: bytes | None = None
    presence: bytes | None = None
    worth: int = 0
    """How many acks the answer to the state request is worth: its own, and those of the updates since."""

    def size_bytes(self, address: str) -> int:
        return _ENTRY_BYTES + len(address) + len(self.state_request or b"") + len(self.presence or b"")


class Waiting:
    """Early frames of one connection, by address. The oldest address is forgotten when they become too many bytes: a
    stock provider shows its token before it says anything that would be missed."""

    def __init__(self, limits: Limits) -> None:
        self._bytes_max = limits.waiting_bytes_max
        self._early: dict[str, Early] = {}
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def keep(self, envelope: Envelope, frame: bytes) -> None:
        """Keep what is needed of a frame; the latest of a kind counts."""
        address = envelope.address
        early = self.claim(address)
        if envelope.is_leave:
            return
        if envelope.is_state_request:
            early.state_request, early.worth = frame, 1
        elif envelope.is_presence:
            early.presence = frame
        elif envelope.is_update and early.state_request is not None:
            early.worth += 1
        self._put(address, early)

    def put_back(self, address: str, state_request: bytes, worth: int) -> None:
        """Keep the last question of a provider whose token has ended; it does not ask again with the next one."""
        self.claim(address)
        self._put(address, Early(state_request, worth=worth))

    def _put(self, address: str, early: Early) -> None:
        self._early[address] = early
        self._bytes += early.size_bytes(address)
        while self._bytes > self._bytes_max:
            self.claim(next(iter(self._early)))

    def claim(self, address: str) -> Early:
        """What is kept for an address, which is forgotten with this."""
        early = self._early.pop(address, None)
        if early is None:
            return Early()
        self._bytes -= early.size_bytes(address)
        return early
