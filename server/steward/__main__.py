"""The steward: ``python -m server.steward PARENT MEMORY_BYTES``. Reads orders from standard input, reports on standard
output, ends with its input. It may crash or be killed at any moment; its supervisor expects that.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final

from server.scribes.confinement import confine, limit, tie_to
from server.scribes.frames import EXIT_MEMORY, EXIT_ORPHAN

THREAD_STACK_BYTES: Final = 1 << 20


def main(arguments: Sequence[str]) -> int:
    parent, memory_bytes_max = int(arguments[0]), int(arguments[1])
    # Not the address space: each tenant has threads, and what those reserve there they never use.
    limit(resource.RLIMIT_DATA, memory_bytes_max)
    threading.stack_size(THREAD_STACK_BYTES)
    confine()
    # When a relay is stopped, its whole group may be told; the relay itself ends us, last of all.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not tie_to(parent):
        return EXIT_ORPHAN
    # Only now, so that the limit holds for loading native code, too.
    from server.steward.household import keep_house  # noqa: PLC0415

    # Native code that prints must not speak in our name.
    with os.fdopen(os.dup(1), "wb", buffering=0) as sink:
        os.dup2(2, 1)
        try:
            asyncio.run(keep_house(sys.stdin, sink))
        except MemoryError:
            # There may be no memory to unwind or to write a traceback with.
            os._exit(EXIT_MEMORY)
        except BrokenPipeError:
            os._exit(EXIT_ORPHAN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
