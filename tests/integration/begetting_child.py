"""A worker that begins a process of its own, which holds its pipes: ``PARENT HOW``, with ``ends`` or ``stays``."""

from __future__ import annotations

import signal
import subprocess
import sys

if __name__ == "__main__":
    begotten = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    print(begotten.pid, flush=True)
    if sys.argv[2] == "stays":
        signal.pause()
