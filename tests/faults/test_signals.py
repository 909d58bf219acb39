"""Signals while a source is live, stalled, waiting or denied: the whole program, as a service runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from streamseg.publish import ControlClient
from tests.faults.site import address
from tests.support.fault_proxy import FaultProxy
from tests.support.rtsp_server import RtspServer, why_no_server
from tests.support.stages import small_settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_no_server() is not None, reason=why_no_server() or ""),
]

LARGE = 1920
"""Input size for which the network takes about a second on a CPU."""
REPLY_SECONDS, STATE_SECONDS = 60.0, 120.0
"""Time limits of a reply and of a change of the state on a busy machine; only the stop is measured."""
PROMISE_SECONDS, MARGIN_SECONDS = 1.0, 10.0
"""Time to stop, and the margin for a machine that is shared with the rest of the suite."""


class Service:
    """`streamseg run` in another process, with one camera behind a proxy."""

    def __init__(self, folder: Path, url: str, *sets: str) -> None:
        self.path = folder / "config.yaml"
        camera = {"type": "stream", "id": "cam", "url": url, "timeout_seconds": 120.0, "frozen_seconds": 2.0}
        self._sections = {"sources": [camera]}
        self.path.write_text(yaml.safe_dump(self._sections))
        settings = [word for setting in (*small_settings(), *sets) for word in ("--set", setting)]
        command = [sys.executable, "-m", "streamseg", "run", str(self.path), *settings]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.control = ""
        while not self.control:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.control = line.strip().removeprefix("control at ") if line.startswith("control at ") else ""

    def states(self) -> dict[str, str]:
        with ControlClient(self.control, timeout_seconds=REPLY_SECONDS) as client:
            return {one["id"]: one["state"] for one in client.call("sources.list")["sources"]}

    def wait_for(self, **states: str) -> None:
        deadline = time.monotonic() + STATE_SECONDS
        while (found := self.states()) != states:
            assert time.monotonic() < deadline, found

    def add_source(self, source_id: str) -> None:
        self._sections["sources"].append({"type": "scene", "id": source_id, "width": 128, "height": 96, "fps": 5})
        self.path.write_text(yaml.safe_dump(self._sections))

    def kill(self) -> None:
        """End the process if it is still there."""
        self.process.kill()
        self.process.communicate()

    def end(self, number: signal.Signals) -> tuple[float, str]:
        """Send a signal; return the seconds until the process has ended, and its standard error."""
        started = time.monotonic()
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=60)
        return time.monotonic() - started, log


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def service_in(state: str, folder: Path, stack: ExitStack) -> Service:
    """Start a service whose camera is in a state."""
    server = stack.enter_context(RtspServer(pattern="smpte75" if state == "frozen" else "ball"))
    proxy = stack.enter_context(FaultProxy(server.port))
    if state == "waiting":
        proxy.set_mode("refuse")
    if state == "connecting":
        proxy.set_mode("stall")
    service = Service(folder, address(proxy.port, "nothing" if state == "denied" else "live"))
    stack.callback(service.kill)
    if state == "stalled":
        service.wait_for(cam="live")
        proxy.set_mode("stall")
    service.wait_for(cam=state)
    return service


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGTERM, 0, id="SIGTERM"), pytest.param(signal.SIGINT, 130, id="SIGINT")],
)
@pytest.mark.parametrize("state", ["connecting", "live", "stalled", "frozen", "waiting", "denied"])
def test_signals_in_each_state(
    tmp_path: Path,
    stack: ExitStack,
    record_property: Callable[[str, object], None],
    state: str,
    number: signal.Signals,
    code: int,
):
    """SIGHUP adds a source while the camera stays in its state; then the run is stopped."""
    service = service_in(state, tmp_path, stack)
    service.add_source("extra")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(cam=state, extra="live")
    seconds, log = service.end(number)
    record_property("value", seconds)
    assert service.process.returncode == code, log
    assert seconds < PROMISE_SECONDS + MARGIN_SECONDS
    assert "open-sesame" not in log
    assert "Traceback" not in log


def test_stop_while_the_network_is_busy(
    tmp_path: Path, stack: ExitStack, record_property: Callable[[str, object], None]
):
    """A batch that takes longer than the stop is abandoned, and the process ends as usual."""
    server = stack.enter_context(RtspServer())
    service = Service(tmp_path, address(server.port), f"segmentation.imgsz={LARGE}")
    stack.callback(service.kill)
    service.wait_for(cam="live")
    seconds, log = service.end(signal.SIGTERM)
    record_property("value", seconds)
    assert service.process.returncode == 0, log
    assert seconds < PROMISE_SECONDS + MARGIN_SECONDS
    assert "Traceback" not in log


def test_hangup_reloads_the_configuration_while_a_camera_is_away(tmp_path: Path, stack: ExitStack):
    server = stack.enter_context(RtspServer())
    server.kill()
    service = Service(tmp_path, address(server.port))
    stack.callback(service.kill)
    service.add_source("extra")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(cam="waiting", extra="live")
    _, log = service.end(signal.SIGTERM)
    assert service.process.returncode == 0, log
    assert re.search(r"the configuration was reloaded: added extra\n", log)
