"""An RTSP camera on loopback: GStreamer's server (Debian: gir1.2-gst-rtsp-server-1.0), run by the system's Python.

Usage: /usr/bin/python3 camera.py FPS [CODEC] prints the port, and serves rtsp://127.0.0.1:PORT/live until it is ended.
"""

from __future__ import annotations

import sys
import threading
import time

import gi
import pattern

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=1000 key-int-max={key} "
    "! video/x-h264,profile=constrained-baseline ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def main() -> None:
    fps = int(sys.argv[1])
    encoder = ENCODERS[sys.argv[2] if len(sys.argv) > 2 else "h264"].format(key=fps)
    Gst.init(None)
    size = f"width={pattern.WIDTH},height={pattern.HEIGHT}"
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(
        f"( appsrc name=images is-live=true do-timestamp=true format=time max-buffers=100 "
        f"caps=video/x-raw,format=I420,{size},framerate={fps}/1 ! {encoder} )"
    )
    factory.connect("media-configure", lambda _, media: _start(media, fps))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _start(media: GstRtspServer.RTSPMedia, fps: int) -> None:
    """Render images at the given rate until the media is not needed any more."""
    source = media.get_element().get_by_name("images")
    ended = threading.Event()
    media.connect("unprepared", lambda _: ended.set())
    threading.Thread(target=_push, args=(source, fps, ended), daemon=True).start()


def _push(source: Gst.Element, fps: int, ended: threading.Event) -> None:
    number, due = 0, time.monotonic()
    while not ended.wait(max(due - time.monotonic(), 0.0)):
        image = pattern.render(number, time.monotonic_ns() // 1000)
        source.emit("push-buffer", Gst.Buffer.new_wrapped(image))
        number += 1
        due += 1 / fps


if __name__ == "__main__":
    main()
