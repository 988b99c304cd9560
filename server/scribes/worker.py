"""A scribe: ``python -m server.scribes.worker PARENT MEMORY_BYTES CPU_S``. Reads tasks from standard input, answers on
standard output, ends with its input. It may crash, hang or run out of memory; its supervisor expects that.
"""

from __future__ import annotations

import math
import os
import resource
import struct
import sys
from collections.abc import Sequence
from typing import BinaryIO

from server.scribes.confinement import confine, limit, tie_to
from server.scribes.frames import (
    DONE,
    EXIT_MEMORY,
    EXIT_ORPHAN,
    HEAD,
    LAST,
    LENGTH_BYTES,
    READY,
    REFUSED,
    head,
    lengths,
)


def main(arguments: Sequence[str]) -> int:
    parent, memory_bytes_max, cpu_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    limit(resource.RLIMIT_AS, memory_bytes_max)
    confine()
    if not tie_to(parent):
        return EXIT_ORPHAN
    source = sys.stdin.buffer
    # Native code that prints must not speak in our name.
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)
        try:
            _serve(source, sink, memory_bytes_max, cpu_s)
        except MemoryError:
            # There may be no memory to unwind or to write a traceback with.
            os._exit(EXIT_MEMORY)
        except BrokenPipeError:
            os._exit(EXIT_ORPHAN)
    return 0


def _serve(source: BinaryIO, sink: BinaryIO, memory_bytes_max: int, cpu_s: float) -> None:
    # Only now, so that the limits hold for loading native code, too.
    from crdt_sync.errors import ReplicaBroken, SnapshotMismatch  # noqa: PLC0415
    from server.scribes.tasks import perform  # noqa: PLC0415

    _write(sink, READY, ())
    while request := _read(source):
        task, parts = request
        _allow_cpu(cpu_s)
        try:
            kind, answer = DONE, perform(task, parts)
        except SnapshotMismatch as error:
            kind, answer = REFUSED, (error.code.encode(), str(error).encode())
        except ReplicaBroken as error:
            # Native code that has failed once is not trusted with another document.
            kind, answer = REFUSED | LAST, (error.code.encode(), str(error).encode())
        del parts, request
        if _address_space_bytes() > memory_bytes_max // 2:
            # What a large document leaves behind in the address space would count against the next one.
            kind |= LAST
        _write(sink, kind, answer)
        if kind & LAST:
            return


def _allow_cpu(cpu_s: float) -> None:
    """End a task that nobody watches any more: the supervisor's own timeout comes first."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + cpu_s) + 1)


def _address_space_bytes() -> int:
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    else:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _read(source: BinaryIO) -> tuple[int, list[bytes]] | None:
    """The next task, or None at the end of input, wherever that comes: nobody is left to answer."""
    try:
        kind, count = HEAD.unpack(source.read(HEAD.size))
        return kind, [_exactly(source, length) for length in lengths(_exactly(source, count * LENGTH_BYTES))]
    except (struct.error, EOFError):
        return None


def _exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise EOFError
    return data


def _write(sink: BinaryIO, kind: int, parts: Sequence[bytes]) -> None:
    sink.write(head(kind, parts))
    sink.writelines(parts)
    sink.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
