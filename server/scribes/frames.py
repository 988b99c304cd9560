"""What the relay and a worker say to each other: frames of a few byte strings over pipes. No I/O.

::

    frame := kind (u8), count (u32), count x length (u64), the byte strings      all integers big-endian

To the worker goes one of the tasks; back comes READY once, then one DONE or REFUSED for each task. A worker that
will end by itself after an answer adds LAST to its kind.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

COMPACT, DIFF, VIEW, CHECK, EXAMINE, REACH, PROVE = range(1, 8)
READY, DONE, REFUSED = 16, 17, 18
LAST: Final = 128

EXIT_MEMORY: Final = 77
"""Exit status of a worker that ran out of memory in Python; native code aborts then."""
EXIT_ORPHAN: Final = 78
"""Exit status of a worker whose supervisor is gone."""

HEAD: Final = struct.Struct(">BI")
LENGTH_BYTES: Final = 8


def head(kind: int, parts: Sequence[bytes]) -> bytes:
    """The bytes that precede ``parts``."""
    return HEAD.pack(kind, len(parts)) + struct.pack(f">{len(parts)}Q", *map(len, parts))


def lengths(data: bytes) -> Sequence[int]:
    """The lengths that follow a head; ``data`` is ``LENGTH_BYTES`` for each part."""
    return struct.unpack(f">{len(data) // LENGTH_BYTES}Q", data)
