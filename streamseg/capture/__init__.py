"""Frame sources: cameras, video files, network streams, image files and the rendered scene.

    open_source(SourceConfig) ─► Source ─► frames() ─► Frame, Frame, Frame …

Each frame carries its capture time and the clock that measured it. Each frame that is not delivered
is counted in `Source.drops`. A source runs in the thread of its caller.

source          the `Source` protocol, frame indices, delays between reconnection attempts
health          state machine: connecting, live, stalled, frozen, waiting, denied
reconnection    what follows a failed connection to a network stream
webcam          a local camera (OpenCV)
video_file      a video file
network_stream  RTSP, HTTP, UDP … with reconnection
rtsp            RTSP and RTP without FFmpeg's demuxer
demuxer         packets of the other live streams, from FFmpeg
live_packet     packets of live streams
images          image files
animation       an animated image file
on_demand       decoding of live streams when a frame is wanted
content         the kind of source that a file needs, by its content
scene           the rendered scene
decoder         containers, decoding and conversion to RGB (PyAV)
timeline        one monotonic time per frame, made from the stamps of a container or a camera
recording       frames of a recording with their indices and times
recording_folder  layout of a recorded run on disk
folder_recording  the frames of such a folder
mcap_recording  the frames of an MCAP file
mcap_objects    the objects that are recorded in it
cdr_reader      ROS 2 messages in it
recorded_frame  one frame of a recording
recorded_objects  recorded masks as instances
replay          replay of a recorded source
display         display matrix and sample aspect ratio
probe           try a source for a moment
truncation      detection of truncated video files
clock           capture times and lateness
pacing          real-time playback of recordings, drops of overdue frames
"""

from __future__ import annotations

from streamseg.capture.source import Source
from streamseg.config import ImagesSource, RecordingSource, RosSource, SceneSource, SourceConfig, StreamSource
from streamseg.errors import ConfigError, SourceError

__all__ = ["Source", "open_source"]


def open_source(config: SourceConfig, *, gives_up: bool = True) -> Source:
    """Create the source described by a section of the configuration.

    The content of a local file decides how it is read (`content.fit_to_content`), not its suffix or the section's type.
    Everything that can be checked without waiting is checked here: that a file exists and contains
    video, that a folder contains images. Cameras and network streams are not opened before `frames()`.

    Args:
        config: a source section with an id, as returned by `Config.named_sources()`.
        gives_up: a camera or stream that cannot be opened raises an error in `frames()`; False: it is retried until
            the source is stopped, and `health` reports its state.

    Raises:
        ConfigError: the section has no id.
        SourceError: the file or folder cannot be used.
    """
    if not config.id:
        raise ConfigError(f"a {config.type} source needs an id; use the sections from Config.named_sources()")
    from streamseg.capture.content import fit_to_content, is_animation

    config = fit_to_content(config)
    if isinstance(config, RosSource):
        raise SourceError(f"source {config.id!r} is the ROS topic {config.topic}; receive it with: streamseg ros")
    if isinstance(config, SceneSource):
        from streamseg.capture.scene import RenderedScene

        return RenderedScene(config)
    if isinstance(config, ImagesSource):
        from streamseg.capture.images import ImageFiles

        return ImageFiles(config)
    if isinstance(config, RecordingSource):
        from streamseg.capture.replay import Replay

        return Replay(config)
    if isinstance(config, StreamSource):
        from streamseg.config.address import is_network, local_path

        if is_network(config.url):
            from streamseg.capture.network_stream import NetworkStream

            return NetworkStream(config, gives_up=gives_up)
        if is_animation(local_path(config.url)):
            from streamseg.capture.animation import AnimatedImage

            return AnimatedImage(config)
        from streamseg.capture.video_file import VideoFile

        return VideoFile(config)
    from streamseg.capture.webcam import Webcam

    return Webcam(config, gives_up=gives_up)
