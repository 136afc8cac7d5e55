"""Interrupts: after SIGINT, SIGTERM or SIGHUP, work that publishes in parts finishes its batch; a second signal stops at once.

Work without parts has nothing to publish and stops at the first signal.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_state = {"patient": False, "asked": False}


@contextmanager
def finish_batch_first() -> Iterator[Callable[[], bool]]:
    """A block that finishes its batch after a signal; the function tells whether one has come."""
    _state.update(patient=True, asked=False)
    try:
        yield lambda: _state["asked"]
    finally:
        _state["patient"] = False


@contextmanager
def handle_signals() -> Iterator[None]:
    """Install the signal handlers, as a program does; a library leaves them to its host."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in SIGNALS}
    for one, handler in before.items():
        if handler in (signal.default_int_handler, signal.SIG_DFL):  # a job in the background is told to ignore them
            signal.signal(one, _on_signal)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _on_signal(number: int, frame: object) -> None:
    if not _state["patient"] or _state["asked"]:
        raise KeyboardInterrupt
    _state["asked"] = True
    os.write(2, b"advcli: finishing this batch; once more leaves at once\n")
