"""When to stop before the end: a budget of seconds, or a signal that asks for it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


def time_budget(seconds: float | None) -> Callable[[], bool]:
    """Return a question that is answered yes once this many seconds have passed from now; None never is."""
    if seconds is None:
        return lambda: False
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


@contextmanager
def undisturbed_children() -> Iterator[None]:
    """Let processes that are started within the block never see Ctrl-C, which a terminal sends to all of them at once.

    So the parent alone ends on it, and ends them; one that comes within the block reaches it at the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # whose start, with the first process, would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_waiting: list[threading.Event] = []  # of every `stop_when_asked` that is open


@contextmanager
def stop_when_asked(budget: float | None) -> Iterator[Callable[[], bool]]:
    """Yield the same question, answered yes also from the first SIGTERM on, which schedulers send before they kill.

    Where one stands within another, the signal is for both. Its handler is put back afterwards; outside the main
    thread, where none can be set, only the budget counts.

    Parameters
    ----------
    budget
        Seconds, or None.
    """
    spent, asked = time_budget(budget), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield spent
        return
    _waiting.append(asked)

    def ask(*_: object) -> None:
        for event in _waiting:
            event.set()

    if any(event.is_set() for event in _waiting):  # it came before this one was opened
        asked.set()
    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield lambda: asked.is_set() or spent()
    finally:
        signal.signal(signal.SIGTERM, before)
        _waiting.remove(asked)
