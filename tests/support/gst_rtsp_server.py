"""An RTSP camera with GStreamer's server; runs in the system's Python, which has its bindings.

    /usr/bin/python3 gst_rtsp_server.py PORT WIDTH HEIGHT FPS PATTERN      PORT 0: the system chooses

Prints `ready PORT` when it accepts connections. Debian packages: gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-base,
-good, -bad, -ugly.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODER = (
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate=1000 ! h264parse config-interval=-1"
    " ! rtph264pay name=pay0 pt=96"
)
"""H.264 with a keyframe every second."""


def main(port: str, width: str, height: str, fps: str, pattern: str) -> None:
    """Serve /live until killed."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(
        f"( videotestsrc is-live=true pattern={pattern} ! video/x-raw,width={width},height={height},framerate={fps}/1"
        f" ! {ENCODER.format(fps=fps)} )"
    )
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
