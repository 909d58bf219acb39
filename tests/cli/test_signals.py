import argparse
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from streamseg.cli.entry import execute
from streamseg.cli.signals import Terminated, on_hangup, raise_terminated


def kill(number: signal.Signals) -> int:
    os.kill(os.getpid(), number)
    threading.Event().wait(60)  # the handler runs here
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


def test_hangup_is_a_request_while_there_is_a_terminal_or_none_at_all():
    requests = []
    with raise_terminated(), on_hangup(lambda: requests.append(True)):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
    assert requests == [True] * 3


def test_hangup_of_the_terminal_ends_the_program():
    """A child on a pseudo-terminal of its own, which is closed."""
    code = (
        "import os, signal, threading\n"
        "from streamseg.cli.signals import Terminated, on_hangup\n"
        "try:\n"
        "    with on_hangup(lambda: os.write(report, b'reload ')):\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
        "        os.write(report, b'ready ')\n"
        "        threading.Event().wait(30)\n"
        "except Terminated as ended:\n"
        "    os.write(report, b'ended %d' % ended.number)\n"
    )
    reader, report = os.pipe()
    os.set_inheritable(report, True)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", f"report = {report}\n{code}"])
    os.close(report)
    with os.fdopen(reader, "rb") as reports:
        assert reports.read(len(b"reload ready ")) == b"reload ready ", "with its terminal, SIGHUP is a request"
        os.close(terminal)
        assert reports.read() == b"ended 1"
    os.waitpid(child, 0)


def test_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    requests = []
    try:
        with on_hangup(lambda: requests.append(True)):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert requests == []


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        pytest.param("", "done shut down", id="nothing-runs"),
        pytest.param(
            "threading.Thread(target=threading.Event().wait, daemon=True).start()", "done", id="abandoned-thread"
        ),
    ],
)
def test_process_with_an_abandoned_thread_ends_at_once(begin, expected):
    """Such a thread may be inside a library, and would abort the process while Python shuts down."""
    code = (
        "import atexit, threading; from streamseg.cli.entry import leave;"
        f" atexit.register(print, ' shut down', end=''); print('done', end=''); {begin or 'pass'}; leave(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, expected, "")
