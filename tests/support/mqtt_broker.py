"""A real MQTT broker, mosquitto, and a client that collects what it retains."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from paho.mqtt import client as paho

from tests.support.waiting import wait_until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Broker:
    """Mosquitto on a port chosen by the system; it can be killed and started again.

    Args:
        folder: of its configuration.
        password: of the user `camera`; None: everyone may connect.
    """

    def __init__(self, folder: Path, *, password: str | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._settings = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", f"allow_anonymous {str(not password).lower()}"]
        if password is not None:
            users = folder / "users"
            users.write_text(f"camera:{password}\n")
            subprocess.run(["mosquitto_passwd", "-U", users], check=True, capture_output=True)
            users.chmod(0o644)
            folder.chmod(0o755)
            lines.append(f"password_file {users}")
            # Root's mosquitto becomes another user, who cannot read the temporary folders of the tests.
            lines.append("user root")
        self._settings.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", self._settings], stderr=subprocess.DEVNULL)
        wait_until(self._accepts)

    def kill(self) -> None:
        """Kill it; what it retains is lost. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def collected(port: int, **login: str) -> Iterator[dict[str, str]]:
    """Yield the retained payloads by topic, as they are now and while the context is open; deleted ones are absent."""
    topics: dict[str, str] = {}

    def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.payload:
            topics[message.topic] = message.payload.decode()
        else:
            topics.pop(message.topic, None)

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if login:
        client.username_pw_set(**login)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.subscribe("#", qos=1)
    client.loop_start()
    try:
        yield topics
    finally:
        client.disconnect()  # its thread ends by itself; `loop_stop` fails if it ends meanwhile
