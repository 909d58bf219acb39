"""A camera on a loopback port and its source, for tests of network streams."""

import threading

from streamseg.capture import open_source
from streamseg.config import StreamSource
from tests.support.rtsp_camera import RtspCamera

PASSWORD = "open-sesame"
"""Password in the address of every camera."""


class Site:
    """The source that reads a camera on a loopback port."""

    def __init__(self, server, *, scheme="rtsp", **values):
        url = f"{scheme}://admin:{PASSWORD}@127.0.0.1:{server.port}/live"
        self.source = open_source(StreamSource(id="camera", url=url, **{"timeout_seconds": 2.0, **values}))


def rtsp(encoded, finished, *scripts, **values):
    """Return a camera that plays these scripts, one per connection."""
    return RtspCamera(scripts, encoded, finished.wait, threading.Event().wait, **values)
