"""Numbers for members, unique within the process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

next_member_id: Final[Callable[[], int]] = itertools.count(1).__next__
