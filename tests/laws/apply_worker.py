"""Applies updates from strangers to documents, in a process of its own: some of them would end it.

One line of input is a list of hexadecimal updates for one document. The number of each line is written before it is
applied, so that the last number written names the line that ended the process.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from pycrdt import Doc

MEMORY_BYTES_MAX = 4 << 30
CPU_S_MAX = 120


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    for number, line in enumerate(sys.stdin):
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        apply_all(json.loads(line))


def apply_all(updates: list[str]) -> None:
    doc: Doc[Any] = Doc()
    try:
        for update in updates:
            doc.apply_update(bytes.fromhex(update))
        doc.get_update()
    except (ValueError, RuntimeError) as error:
        sys.stdout.write(f"refused: {type(error).__name__}\n")


if __name__ == "__main__":
    main()
