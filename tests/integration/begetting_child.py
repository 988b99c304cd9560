"""A worker that begins a process of its own, which holds its pipes: ``PARENT HOW``, with ``ends`` or ``stays``."""

from __future__ import annotations

import subprocess
import sys
import time

if __name__ == "__main__":
    begotten = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(begotten.pid, flush=True)
    if sys.argv[2] == "stays":
        time.sleep(600)
