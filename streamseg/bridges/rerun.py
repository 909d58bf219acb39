"""Log of a run for the rerun viewer: images, masks, boxes, ids and ages over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from streamseg.drawing import colour_of
from streamseg.errors import ConfigError, DataError
from streamseg.pipeline import FrameResult
from streamseg.publish.jpeg import EncodeImage
from streamseg.resources import OutputLock, Resource, claim_output
from streamseg.ros.id_image import IdPainter, pixel_id
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.structures.message import Message

__all__ = ["RerunLog", "check_target"]

SUFFIX: Final = ".rrd"
SCHEMES: Final = ("rerun://", "rerun+http://", "rerun+https://")
OPACITY: Final = 0.5
FLUSH_SECONDS: Final = 1.0
"""Maximum wait for a viewer at the end."""


def check_target(target: str) -> None:
    """Raise ConfigError if a target is neither a file nor an address, or if rerun-sdk is not installed."""
    if not target.startswith(SCHEMES) and not target.endswith(SUFFIX):
        raise ConfigError(
            f"rerun logs to a file *{SUFFIX} or to the address of a viewer, rerun+http://HOST:9876/proxy; got"
            f" {target[:100]!r}"
        )
    _library()


class RerunLog(Resource):
    """Sink that logs each frame, below the id of its source.

    image                EncodedImage, JPEG
    image/instances      SegmentationImage: track id of each pixel
    image/boxes          Boxes2D with track ids, labels and scores
    age_ms               time series: age of the frame when its message was made
    num_objects          time series
    prompts/<id>         time series: confidence of the prompt's match

    Time lines: `captured` (capture time) and `frame` (index).

    Args:
        target: file to replace, ending in .rrd, or address of a viewer: rerun+http://127.0.0.1:9876/proxy.
        encode_image: returns an image as JPEG.

    Raises:
        ConfigError: rerun-sdk is not installed, or the target is neither.
        DataError: the file cannot be written, or another run writes it.
    """

    policy = SinkPolicy("rerun")

    def __init__(self, target: str, encode_image: EncodeImage) -> None:
        check_target(target)
        self._rerun = _library()
        self._encode_image = encode_image
        self._paint = IdPainter()
        self._known_ids: set[int] = set()
        self._lock: OutputLock | None = None
        self._stream: Any = self._rerun.RecordingStream("streamseg")
        if target.startswith(SCHEMES):
            try:
                self._stream.connect_grpc(target)
            except (RuntimeError, ValueError) as error:
                raise ConfigError(f"rerun rejects the address {target[:100]!r}: {error}") from error
            return
        path = Path(target)
        self._lock = claim_output(path, "the log for rerun")
        try:
            self._stream.save(path)
        except (RuntimeError, OSError) as error:
            self._lock.close()
            raise DataError(f"cannot write the log for rerun to {path}: {error}") from error

    def write(self, result: FrameResult) -> None:
        """Log one frame."""
        rerun, message = self._rerun, result.message
        prefix = message.source_id
        self._stream.set_time("captured", timestamp=np.datetime64(message.captured_ns, "ns"))
        self._stream.set_time("frame", sequence=message.frame_index)
        self._add_colours(message)
        jpeg = self._encode_image(result.frame.image)
        self._stream.log(f"{prefix}/image", rerun.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        self._stream.log(
            f"{prefix}/image/instances", rerun.SegmentationImage(self._paint(message).copy(), opacity=OPACITY)
        )
        self._stream.log(f"{prefix}/image/boxes", self._boxes(message))
        self._stream.log(f"{prefix}/age_ms", rerun.Scalars(message.age_ms))
        self._stream.log(f"{prefix}/num_objects", rerun.Scalars(len(message.objects)))
        for status in message.prompts:
            self._stream.log([prefix, "prompts", status.prompt_id], rerun.Scalars(status.confidence))

    def close(self) -> None:
        """Write what is buffered and close. Idempotent."""
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        try:
            stream.flush(timeout_sec=FLUSH_SECONDS)
        except RuntimeError as error:
            raise DataError(f"the log for rerun is incomplete: {error}") from error
        finally:
            stream.disconnect()
            if self._lock is not None:
                self._lock.close()

    def _boxes(self, message: Message) -> Any:
        boxes = np.array([one.box for one in message.objects], dtype=np.float32).reshape(-1, 4)
        return self._rerun.Boxes2D(
            array=boxes,
            array_format=self._rerun.Box2DFormat.XYXY,
            class_ids=[pixel_id(one.track_id) for one in message.objects],
            labels=[f"{one.track_id} {one.label or ''} {one.score:.2f}".replace("  ", " ") for one in message.objects],
        )

    def _add_colours(self, message: Message) -> None:
        """Log the colours of all ids known so far, when a new one appears: those of the overlays."""
        ids = {pixel_id(one.track_id): one for one in message.objects if one.track_id > 0}
        if ids.keys() <= self._known_ids:
            return
        self._known_ids |= ids.keys()
        context = [
            self._rerun.AnnotationInfo(id=value, label=str(value), color=colour_of(value)) for value in self._known_ids
        ]
        self._stream.log("/", self._rerun.AnnotationContext(context), static=True)


def _library() -> Any:
    try:
        import rerun
    except ModuleNotFoundError as error:
        if error.name != "rerun":
            raise
        raise ConfigError("rerun needs the package rerun-sdk; run: pip install 'streamseg[rerun]'") from error
    return rerun
