"""Every bound in one table, units last, with the relations that must hold between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a side accepts. Both sides of a connection may differ: each judges what it receives."""

    frame_bytes_max: int = 4 << 20
    """One WebSocket message. A stock Yjs client sends everything that it wrote offline in one."""
    update_structs_max: int = 200_000
    """Structs in one update."""
    update_part_structs_max: int = 300
    """Structs applied to a document in one transaction: more of one array is quadratic in yrs >= 0.27."""
    update_part_bytes_max: int = 512 << 10
    """Our own peers cut what they send into parts of about this size."""
    clients_max: int = 10_000
    """Client ids in one document: every observed transaction costs time in proportion to them."""
    clock_step_max: int = 1 << 24
    """How far one update may move one client's clock: 11 bytes could otherwise burn a victim's clock space."""
    any_depth_max: int = 32
    """Nesting of a JSON-like value; a stack overflow in yrs needs about 13,000."""
    name_bytes_max: int = 256
    """Name of a root type."""
    key_bytes_max: int = 1024
    """Key of a map entry."""
    document_bytes_max: int = 256 << 20
    """Snapshot and log of one document together."""
    presence_states_max: int = 1_024
    """Presence entries in one frame."""
    presence_owned_max: int = 8
    """Presence ids that one connection may bring."""
    presence_state_bytes_max: int = 16 << 10
    """JSON text of one presence entry."""
    presence_depth_max: int = 16
    presence_clock_step_max: int = 1_000_000
    """How far one entry may move an id's presence clock: a jump to the end would mute the id for good."""
    inbox_messages_max: int = 1_024
    """Messages waiting in one room; a full inbox stops reading its sockets, and that is the backpressure."""
    turn_messages_max: int = 256
    documents_per_connection_max: int = 4_096
    """Documents that one connection of our own peers may have open."""
    outbox_bytes_max: int = 4 << 20
    """Bytes queued for one connection beyond the answer that it is being sent; then it is shed."""
    outbox_messages_max: int = 1_024

    def __post_init__(self) -> None:
        # A full turn must fit into a reader that was idle, or every burst would shed it.
        if self.outbox_messages_max <= self.turn_messages_max:
            raise ValueError("outbox_messages_max must exceed turn_messages_max")
        # A part must fit into a frame with room for its header, or a peer could not send its own edits.
        if self.update_part_bytes_max * 2 > self.frame_bytes_max:
            raise ValueError("update_part_bytes_max must be at most half of frame_bytes_max")
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


DEFAULT_LIMITS = Limits()
