import argparse
import os
import signal
import threading

import pytest

from streamseg.cli.entry import execute
from streamseg.cli.signals import Terminated, raise_terminated


def kill(number: signal.Signals) -> int:
    os.kill(os.getpid(), number)
    threading.Event().wait(10)  # the handler runs here
    return 0


@pytest.mark.parametrize(
    ("number", "is_service", "code"),
    [
        pytest.param(signal.SIGTERM, True, 0, id="SIGTERM of a service"),
        pytest.param(signal.SIGHUP, True, 0, id="SIGHUP of a service"),
        pytest.param(signal.SIGTERM, False, 143, id="SIGTERM of unfinished work"),
        pytest.param(signal.SIGINT, True, 130, id="Ctrl-C of a service"),
        pytest.param(signal.SIGINT, False, 130, id="Ctrl-C of unfinished work"),
    ],
)
def test_exit_code_of_a_signal(number, is_service, code):
    assert execute(argparse.Namespace(command=lambda args: kill(number), is_service=is_service)) == code


def test_second_signal_does_not_disturb_the_clean_up():
    cleaned = []
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        try:
            kill(signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            cleaned.append(True)

    with pytest.raises(Terminated), raise_terminated():
        work()
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) == before


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raise_terminated():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_change_nothing():
    entered = []

    def enter() -> None:
        with raise_terminated():
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]
