"""From a source to frames: the rendered scene, cameras, files, network streams, pictures.

    open_source(SourceConfig) ─► Source ─► frames() ─► Frame, Frame, Frame …

Every frame knows when its picture was taken and which clock said so; every picture that was not
delivered is counted in `Source.drops`. A source runs in its caller's thread.
"""

from __future__ import annotations

from streamseg.capture.source import Source
from streamseg.config import ImagesSource, SceneSource, SourceConfig, StreamSource
from streamseg.errors import ConfigError

__all__ = ["Source", "open_source"]


def open_source(config: SourceConfig) -> Source:
    """Make the source that a section of the configuration describes.

    What can be seen without waiting is checked here: that a file is there and holds video, that a
    folder holds pictures. Cameras and network streams are first opened by `frames()`.

    Args:
        config: a source section with an id, as `Config.named_sources()` gives it.

    Raises:
        ConfigError: the section has no id.
        SourceError: the file or the folder cannot be used.
    """
    if not config.id:
        raise ConfigError(f"a {config.type} source needs an id; take it from Config.named_sources()")
    if isinstance(config, SceneSource):
        from streamseg.capture.scene import RenderedScene

        return RenderedScene(config)
    if isinstance(config, StreamSource):
        from streamseg.capture.stream import open_stream

        return open_stream(config)
    if isinstance(config, ImagesSource):
        from streamseg.capture.images import ImageFiles

        return ImageFiles(config)
    from streamseg.capture.webcam import Webcam

    return Webcam(config)
