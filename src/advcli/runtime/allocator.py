"""Keeps freed memory for the next batch, instead of returning it to the system after every layer.

glibc unmaps a large block when it is freed, and the next layer maps it again, page by page: measured on two cores, a small
network then trains at half its speed. A program may change this setting; a library leaves it to its host.
"""

import contextlib
import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 2**31 - 1
LARGEST = 1 << 28


def keep_freed() -> None:
    """Set the allocator's thresholds, if it is glibc's."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another libc
            allocator = ctypes.CDLL(None)
            allocator.mallopt(MMAP_THRESHOLD, LARGEST)
            allocator.mallopt(TRIM_THRESHOLD, KEPT)
