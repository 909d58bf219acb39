"""What holds for every test: no developer's environment, reproducible examples, few threads."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.support.viewer_page_browser import chromium_of_module, open_tab  # noqa: F401

# A busy machine is no failure (the time limit of pytest bounds each test), and the same code gives the same verdict:
# run with --hypothesis-profile=default to look for new examples.
settings.register_profile("streamseg", deadline=None, derandomize=True)
settings.load_profile("streamseg")

# Small tensors gain nothing from threads, and two suites at once would fight for the cores.
torch.set_num_threads(1)

# `nohup` and shells that start a job in the background ignore these; programs respect that, and the tests' programs
# inherit it.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path_factory):
    """Exported graphs are kept for the session, away from the user's cache."""
    for name in [name for name in os.environ if name.startswith("STREAMSEG_") and name != "STREAMSEG_DATA"]:
        monkeypatch.delenv(name)
    # Not the fastest engine, which depends on the machine and its load.
    monkeypatch.setenv("STREAMSEG_ENGINE", "onnx")
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Every thread that the test starts ends with it."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert left == []
