"""Connections between actors and the relay: ordered streams that can be cut anywhere, or worse."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

STREAM_FRAMES_MAX = 6
"""Frames that fit into the buffers of one direction; a reader that has stopped blocks its writer from there on."""

KEEPALIVE_S = 40.0
"""After so long without an answer to a ping a connection is closed. Shorter than presence is remembered."""


class Stream:
    """One direction of a connection."""

    def __init__(self, *, hostile: bool) -> None:
        self._hostile = hostile
        self._frames: deque[bytes] = deque()
        self.moved_at_s = 0.0
        """When the next frame began to wait, as far as there is one."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        return len(self._frames) >= STREAM_FRAMES_MAX

    def send(self, frame: bytes, now_s: float) -> None:
        if not self._frames:
            self.moved_at_s = now_s
        self._frames.append(frame)

    def clear(self) -> None:
        self._frames.clear()

    def arrive(self, chance: Random, now_s: float) -> Sequence[bytes]:
        """The next frame; from a hostile stream any frame, none, or one that comes again later."""
        self.moved_at_s = now_s
        if not self._hostile:
            return (self._frames.popleft(),)
        fate = chance.random()
        if fate < 0.05:
            self._frames.popleft()
            return ()
        if fate < 0.15:
            frame = self._frames[0]
            self._frames.rotate(-1)
            return (frame,)
        if fate < 0.3:
            index = chance.randrange(len(self._frames))
            frame = self._frames[index]
            del self._frames[index]
            return (frame,)
        return (self._frames.popleft(),)


class Link:
    """A connection as the network has it. Each end notices in its own time that it is gone."""

    def __init__(self, number: int, pace: float, *, hostile: bool = False) -> None:
        self.number = number
        self.hostile = hostile
        self.pace = pace
        """How likely its frames move on when they may: a slow one fills its reader's outbox."""
        self.up = Stream(hostile=hostile)
        self.down = Stream(hostile=hostile)
        self.is_cut = False
        self.is_ended = False
        """The relay has closed it; what it sent before that still arrives."""

    @property
    def is_open(self) -> bool:
        return not (self.is_cut or self.is_ended)

    @property
    def is_moving(self) -> bool:
        return bool(self.up or self.down)

    def is_dead(self, now_s: float) -> bool:
        """Pings are not answered: both ends will give it up."""
        return any(stream and now_s - stream.moved_at_s > KEEPALIVE_S for stream in (self.up, self.down))

    def cut(self) -> None:
        """Everything in flight is lost."""
        self.is_cut = True
        self.up.clear()
        self.down.clear()

    def end(self) -> None:
        self.is_ended = True
        self.up.clear()
