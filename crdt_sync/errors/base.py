"""The root of all errors that this project raises on purpose."""

from __future__ import annotations

from typing import ClassVar


class SyncError(Exception):
    """Root of the tree. ``code`` is stable and for programs, the message is one sentence for people."""

    code: ClassVar[str] = "sync-error"
    retryable: ClassVar[bool] = False
