"""A camera on a loopback port and the source that reads it, for tests of network streams."""

import threading

from streamseg.capture import open_source
from streamseg.config import StreamSource
from tests.support.rtsp_camera import RtspCamera

PASSWORD = "open-sesame"
"""In the address of every camera."""


class Site:
    """A camera on a loopback port and the source that reads it."""

    def __init__(self, server, *, scheme="rtsp", **values):
        url = f"{scheme}://admin:{PASSWORD}@127.0.0.1:{server.port}/live"
        self.source = open_source(StreamSource(id="camera", url=url, **{"timeout_seconds": 2.0, **values}))


def rtsp(pictures, finished, *scripts, **values):
    """A camera that plays these scripts, one for each connection."""
    return RtspCamera(scripts, pictures, finished.wait, threading.Event().wait, **values)
