"""Every bound in one table, units last, with the relations that must hold between them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

ANY_DEPTH_CEILING = 128
_UNBOUNDED = 2**31 - 1


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
    """Nesting of the JSON of one presence entry."""
    presence_clock_step_max: int = 1_000_000
    """How far one entry may move an id's presence clock: a jump to the end would mute the id for good."""
    stateless_bytes_max: int = 16 << 10
    """Text of one stateless message."""
    waiting_bytes_max: int = 16 << 10
    """Kept of what a Hocuspocus connection says about documents whose token has not come; the oldest is forgotten."""
    inbox_messages_max: int = 1_024
    """Messages waiting in one room; a full inbox stops reading its sockets, and that is the backpressure."""
    turn_messages_max: int = 256
    """Messages that a room takes in together, and commits in one transaction."""
    documents_per_connection_max: int = 4_096
    """Documents that one connection may have open."""
    outbox_bytes_max: int = 4 << 20
    """Bytes queued for one connection beyond the answer that it is being sent; then it is shed."""
    outbox_messages_max: int = 1_024
    """Messages queued for one connection, likewise."""
    movement_clients_max: int = 2_000
    """Sessions that write into one document of movements; beyond, peers go on in the document of the day."""
    movements_max: int = 100_000
    """Movements in one document, likewise."""
    connections_max: int = 10_000
    """WebSockets open in the whole relay."""
    tenant_connections_max: int = 5_000
    """WebSockets open for one tenant."""
    user_connections_max: int = 1_000
    """WebSockets open for one subject of a tenant; a backend that hands out its own subject has many pages."""
    address_connections_max: int = 1_000
    """WebSockets open from one client address; of IPv6, from one /64 network."""
    strangers_max: int = 2_048
    """WebSockets open that have shown no token yet, which the Hocuspocus dialect allows for a moment."""
    half_open_max: int = 1_024
    """HTTP connections without a whole request; for one more, the one that has waited longest is dropped."""
    head_bytes_max: int = 16 << 10
    """Head of a request: its first line and its headers."""
    fragments_max: int = 64
    """Frames that one WebSocket message may be cut into."""
    control_frames_per_s: int = 10
    """Pings and pongs of one connection; beyond, it is read from at this rate."""
    stranger_bytes_max: int = 32 << 10
    """Held of an unfinished message of a connection that has shown no token yet."""
    unfinished_bytes_max: int = 128 << 20
    """Held of all unfinished messages of the relay; beyond, the oldest of them is given up with its connection."""
    connection_messages_per_s: int = 2_000
    """Messages of one connection; beyond, it is read from at this rate."""
    user_messages_per_s: int = 5_000
    """Messages of all connections of one subject of a tenant, likewise."""
    tenant_messages_per_s: int = 20_000
    """Messages of all connections of one tenant, likewise."""
    connection_bytes_per_s: int = 4 << 20
    """Bytes of messages of one connection, likewise."""
    user_bytes_per_s: int = 16 << 20
    """Bytes of messages of all connections of one subject of a tenant, likewise."""
    tenant_bytes_per_s: int = 64 << 20
    """Bytes of messages of all connections of one tenant, likewise."""
    presence_per_s: int = 50
    """Messages about presence of one connection, likewise, with one more for every 4 KiB: all in the room hear them."""
    user_requests_per_s: int = 50
    """Requests over HTTP with a token, of one subject of a tenant; beyond, they are refused."""
    wrong_tokens_per_s: int = 5
    """Wrong tokens and tickets from one address; beyond, the answer is to come back later. A good one is let in."""
    connection_wrong_tokens_max: int = 32
    """Wrong tokens shown within one connection."""
    burst_s: int = 10
    """So many seconds' worth of each rate may come at once."""
    rooms_max: int = 8_192
    """Rooms open in the whole relay; an idle one is closed for one more."""
    tenant_rooms_max: int = 4_096
    """Rooms open for one tenant, likewise."""
    tenant_documents_max: int = 1_000_000
    """Documents of one tenant that were ever written."""
    presence_bytes_max: int = 256 << 10
    """One message about presence: to read JSON that means harm takes 0.15 ms for each KiB, and all wait for it."""
    room_presence_bytes_max: int = 128 << 10
    """Presence of everybody in one room together."""

    # Without a type, or it would be a bound.
    is_for_stored = False
    """Whether this is for what was let in already; see :meth:`for_stored`."""

    def __post_init__(self) -> None:
        # A full turn must fit into a reader that was idle, or every burst would shed it.
        if self.outbox_messages_max <= self.turn_messages_max:
            raise ValueError("outbox_messages_max must exceed turn_messages_max")
        # A part must fit into a frame with room for its header, or a peer could not send its own edits.
        if self.update_part_bytes_max * 2 > self.frame_bytes_max:
            raise ValueError("update_part_bytes_max must be at most half of frame_bytes_max")
        # What one relay has let in, every scribe and peer must be able to read.
        if self.any_depth_max > ANY_DEPTH_CEILING:
            raise ValueError(f"any_depth_max must be at most {ANY_DEPTH_CEILING}")
        # Stock pages repeat what they are told, and they are told of everybody in one message.
        if self.room_presence_bytes_max * 2 > self.presence_bytes_max:
            raise ValueError("room_presence_bytes_max must be at most half of presence_bytes_max")
        # Or one entry that is allowed by itself could never be heard.
        if self.presence_state_bytes_max > self.room_presence_bytes_max:
            raise ValueError("presence_state_bytes_max must be at most room_presence_bytes_max")
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    def for_stored(self) -> StoredLimits:
        """The same, without bounds on what one update may hold: for what was judged when it came, update by update.

        A snapshot of many small updates may exceed what one may hold, and a limit that an operator has lowered since
        must not lock anybody out of a document. The depth of values stays bounded, because native code recurses.
        """
        unbounded = {
            "update_structs_max": _UNBOUNDED,
            "clients_max": _UNBOUNDED,
            "clock_step_max": _UNBOUNDED,
            "name_bytes_max": _UNBOUNDED,
            "key_bytes_max": _UNBOUNDED,
            "any_depth_max": ANY_DEPTH_CEILING,
        }
        return StoredLimits(**(asdict(self) | unbounded))


class StoredLimits(Limits):
    """What a reader of a store accepts: also what the gate has learned to refuse since it was let in."""

    __slots__ = ()
    is_for_stored = True


DEFAULT_LIMITS = Limits()
