"""When to stop: a budget of seconds, or a signal, whenever it comes."""

import os
import signal
import threading

from diffmemlib.training.stopping import stop_when_asked


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_is_for_all_that_are_open_and_for_those_that_open_later():
    """Between two runs of one process, say, while the second is being made ready."""
    before = signal.getsignal(signal.SIGTERM)
    with stop_when_asked(None) as outer:
        with stop_when_asked(None) as first:
            assert not outer() and not first()
        ask()
        with stop_when_asked(None) as second:
            assert outer() and second()
    with stop_when_asked(None) as later:
        assert not later(), "what has ended is over"
        with stop_when_asked(None) as inner:
            ask()
            assert later() and inner()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_budget_stops_its_own_block_alone():
    with stop_when_asked(None) as outer, stop_when_asked(0) as inner:
        assert inner() and not outer()


def test_outside_the_main_thread_only_the_budget_counts():
    answers: list[bool] = []

    def work() -> None:
        with stop_when_asked(None) as never, stop_when_asked(0) as at_once:
            answers.extend([never(), at_once()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False, True]
