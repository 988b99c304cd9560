"""``python -m tests.faults.nursery``: a process under the shim that forks one workload after the other.

Each line of its input is ``FOLDER ROUNDS``; it answers with how the child ended: its exit code (3 when the store
said that it can't do its part), or minus its signal, and what the store said.
To fork is ten times quicker than to start Python anew. With the argument ``careless`` the stores don't wait for their
disk: a test must find that out."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from pathlib import Path
from typing import Final

from crdt_sync.errors import StoreError
from crdt_sync.stores import connection
from tests.faults.workload import work

EXIT_REFUSED: Final = 3


def main() -> None:
    if sys.argv[1:] == ["careless"]:
        first, *rest = connection.WRITER_PRAGMAS
        assert first == "synchronous = FULL"
        vars(connection)["WRITER_PRAGMAS"] = ("synchronous = NORMAL", *rest)
    for line in sys.stdin:
        folder, rounds = line.rsplit(" ", 1)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            live(Path(folder), int(rounds), theirs)
        os.close(theirs)
        with open(ours) as words:
            why = words.read().replace("\n", " ")
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), why, flush=True)


def live(folder: Path, rounds: int, words: int) -> None:
    code = 1
    try:
        asyncio.run(work(folder, rounds))
        code = 0
    except StoreError as error:
        code = EXIT_REFUSED
        os.write(words, f"{error.code}: {error}".encode())
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        # Not back into the parent's loop, whatever has happened.
        os._exit(code)


if __name__ == "__main__":
    main()
