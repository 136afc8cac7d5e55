"""Keep freed memory for the next batch, instead of giving it back to the system after every layer.

glibc unmaps a large block when it is freed, and the next layer faults it in again, page by page: measured on two cores, a
small network trains at half its speed that way. A program may ask otherwise; a library leaves this to its host.
"""

import contextlib
import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 2**31 - 1
LARGEST = 1 << 28


def keep_freed() -> None:
    """Tell the allocator, where it is one that listens."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another libc
            allocator = ctypes.CDLL(None)
            allocator.mallopt(MMAP_THRESHOLD, LARGEST)
            allocator.mallopt(TRIM_THRESHOLD, KEPT)
