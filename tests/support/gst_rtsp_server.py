"""An RTSP camera with GStreamer's server; runs in the system's Python, which has its bindings.

    /usr/bin/python3 gst_rtsp_server.py PORT WIDTH HEIGHT FPS PATTERN [USER:PASSWORD]      PORT 0: the system chooses

Prints `ready PORT` when it accepts connections. With USER:PASSWORD it rejects every request (401) until it reads a line
on its standard input, and then those without this password. Debian packages: gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-base, -good, -bad, -ugly.
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


def main(port: str, width: str, height: str, fps: str, pattern: str, account: str = "") -> None:
    """Serve /live, and the same at /door, until killed."""
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
    for path in ("/live", "/door"):
        server.get_mount_points().add_factory(path, factory)
    if account:
        _require_account(server, factory, *account.split(":"))
    server.attach(None)
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _require_account(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, user: str, password: str
) -> None:
    """Reject every request until a line is read, and then those without the password."""
    permissions = GstRtspServer.RTSPPermissions()
    for permission in ("access", "construct"):
        permissions.add_permission_for_role("viewer", f"media.factory.{permission}", True)
    factory.set_permissions(permissions)
    auth = GstRtspServer.RTSPAuth()
    server.set_auth(auth)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")

    def accept(*_: object) -> bool:
        sys.stdin.readline()
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        print("accepts", flush=True)
        return False

    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_IN, accept)


if __name__ == "__main__":
    main(*sys.argv[1:])
