"""Stages that do little, for tests of what joins stages: a source, a segmenter, a sink."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from streamseg.config import TrackingConfig
from streamseg.fastsam.reference_masks import as_reference
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.modeling.network import STRIDES
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.pipeline.compose import SelectionMatcher
from streamseg.runtime.sink_slot import DEFAULT_POLICY, SinkPolicy
from streamseg.structures.frame import Frame
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import PointPrompt
from streamseg.telemetry import DropCounter, StageTimer
from streamseg.weights import save_weights
from tests.support.frames import make_frame

AT_ONCE = TrackingConfig(confirm_frames=1)
LEFT, RIGHT = [4.0, 8.0, 20.0, 40.0], [40.0, 8.0, 56.0, 40.0]


def fresh_frame(source_id: str, index: int = 0, *, size: tuple[int, int] = (48, 64)) -> Frame:
    """A picture of one grey, its index modulo 256, taken and received at this moment."""
    frame = make_frame(index, size=size, source_id=source_id)
    return replace(frame, captured_ns=time.time_ns(), received_ns=time.monotonic_ns(), pts_seconds=None)


def make_instances(
    boxes: Sequence[Sequence[float]], *, scores: Sequence[float] | None = None, image_size: tuple[int, int] = (48, 64)
) -> Instances:
    """Instances whose masks fill their boxes, on a grid of 4 pixels per cell; scores descend from 0.9."""
    # One cell more than the box on each side, so that interpolation does not round the corners off.
    height, width = image_size[0] // 4, image_size[1] // 4
    columns, rows = torch.arange(width) * 4 + 2, torch.arange(height) * 4 + 2
    given = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    inside_x = (columns >= given[:, None, 0] - 4) & (columns < given[:, None, 2] + 4)
    inside_y = (rows >= given[:, None, 1] - 4) & (rows < given[:, None, 3] + 4)
    logits = torch.where(inside_y[:, :, None] & inside_x[:, None, :], 8.0, -8.0)
    chosen = scores if scores is not None else [0.9 - 0.01 * row for row in range(len(given))]
    empty = Instances.empty(image_size)
    return Instances(given, torch.tensor(chosen, dtype=torch.float32), logits, empty.grid_to_image, image_size)


def make_result(index: int = 0, *, source_id: str = "cam", mask_scale: float = 1.0) -> FrameResult:
    """The result of one frame with one square, which is confirmed at once."""
    pipeline = Pipeline(SquareSegmenter(), tracking=AT_ONCE, matcher=SelectionMatcher(mask_scale))
    frame = make_frame(index, source_id=source_id)
    return pipeline.finish(frame, pipeline.segment([frame])[0], drops={"capture": {"corrupt": 1}})


class ScriptedSource:
    """Delivers `num_frames` frames, then raises `error` or ends.

    Args:
        source_id: of the frames.
        num_frames: None: endless.
        is_live: as in `Source`.
        error: raised after the last frame.
        permits: a frame is delivered for each permit; None: no waiting.
        size: (H, W) of the pictures.
        paced_seconds: time between two frames; waits as a camera does.
    """

    def __init__(
        self,
        source_id: str,
        num_frames: int | None = None,
        *,
        is_live: bool = False,
        error: BaseException | None = None,
        permits: threading.Semaphore | None = None,
        size: tuple[int, int] = (48, 64),
        paced_seconds: float = 0.0,
    ) -> None:
        self.source_id = source_id
        self.frame_id = ""
        self.is_live = is_live
        self.drops = DropCounter()
        self.num_delivered = 0
        self.is_closed = False
        self._num_frames = num_frames
        self._error = error
        self._permits = permits
        self._size = size
        self._paced_seconds = paced_seconds
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        try:
            while self._num_frames is None or self.num_delivered < self._num_frames:
                while self._permits is not None and not self._permits.acquire(timeout=0.02):
                    if self._stopped.is_set():
                        return
                if self._stopped.wait(self._paced_seconds):
                    return
                self.num_delivered += 1
                yield fresh_frame(self.source_id, self.num_delivered - 1, size=self._size)
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True

    def stop(self) -> None:
        self._stopped.set()


class SquareSegmenter:
    """Finds one square in every picture: its left edge is the picture's first value, modulo 32.

    Args:
        seconds: how long each call takes.
        fail_at: number of the call, from 0, that raises `error`.
        error: what it raises.
    """

    def __init__(self, *, seconds: float = 0.0, fail_at: int | None = None, error: BaseException | None = None) -> None:
        self.batch_sizes: list[int] = []
        self._seconds = seconds
        self._fail_at = fail_at
        self._error = error
        self._never = threading.Event()

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]], regions: object = None) -> list[Instances]:
        self.batch_sizes.append(len(images))
        self._never.wait(self._seconds)
        if self._error is not None and len(self.batch_sizes) - 1 == self._fail_at:
            raise self._error
        return [self._find(image) for image in images]

    def _find(self, image: npt.NDArray[np.uint8]) -> Instances:
        left = float(image[0, 0, 0] % 32)
        return make_instances([[left, 8, left + 16, 24]], image_size=(image.shape[0], image.shape[1]))


class FixedSegmenter:
    """Finds the same instances in every picture."""

    def __init__(self, boxes: Sequence[Sequence[float]]) -> None:
        self._boxes = boxes
        self.timer = StageTimer()

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]], regions: object = None) -> list[Instances]:
        with self.timer.stage("network"):
            return [make_instances(self._boxes, image_size=(image.shape[0], image.shape[1])) for image in images]


class ListSink:
    """Keeps every result; may raise instead, when a result is written or at the end."""

    def __init__(
        self,
        *,
        fail_at: int | None = None,
        error: BaseException | None = None,
        close_error: BaseException | None = None,
        policy: SinkPolicy = DEFAULT_POLICY,
    ) -> None:
        self.policy = policy
        self.results: list[FrameResult] = []
        self.num_closed = 0
        self.written = threading.Condition()
        self._fail_at = fail_at
        self._error = error
        self._close_error = close_error

    def write(self, result: FrameResult) -> None:
        if self._error is not None and len(self.results) == self._fail_at:
            raise self._error
        with self.written:
            self.results.append(result)
            self.written.notify_all()

    def wait_for(self, num_results: int, timeout_seconds: float = 30.0) -> None:
        """Wait until so many results were written."""
        with self.written:
            assert self.written.wait_for(lambda: len(self.results) >= num_results, timeout_seconds)

    def close(self) -> None:
        self.num_closed += 1
        if self._close_error is not None:
            raise self._close_error


class AsReference:
    """Applies FastSAM's rule for objects that fill the image to another segmenter, as `ReferenceSegmenter` does."""

    def __init__(self, segmenter: FixedSegmenter) -> None:
        self._segmenter = segmenter

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]], regions: object = None) -> list[Instances]:
        return [as_reference(instances) for instances in self._segmenter(images)]


def make_fastsam_pipeline(boxes: Sequence[Sequence[float]] = (LEFT, RIGHT), **settings: object) -> Pipeline:
    """A pipeline in FastSAM mode that finds these boxes in every image and confirms them at once."""
    given = {"tracking": AT_ONCE, "matcher": ReferenceMatcher(), **settings}
    return Pipeline(AsReference(FixedSegmenter(boxes)), **given)  # type: ignore[arg-type]


def make_pipeline(boxes: Sequence[Sequence[float]] = (LEFT, RIGHT), **settings: object) -> Pipeline:
    """A pipeline that finds these boxes in every picture, and knows them at once."""
    return Pipeline(FixedSegmenter(boxes), **{"tracking": AT_ONCE, **settings})  # type: ignore[arg-type]


def point(prompt_id: str, x: float, y: float) -> PointPrompt:
    """One foreground point."""
    return PointPrompt(prompt_id, ((x, y),), (1,))


@functools.cache
def seeded_weights(*, confident: bool = False) -> Path:
    """A file of untrained weights, of the smallest size; equal in every run, removed with the process.

    Args:
        confident: raise the scores from about 0.01 to 0.3, so that prompts are bound to objects.
    """
    folder = Path(tempfile.mkdtemp(prefix="streamseg-test-"))
    atexit.register(shutil.rmtree, folder)
    tensors = build_yolov8("n", seed=0).state_dict()
    for level in range(len(STRIDES)):
        tensors[f"model.22.cv3.{level}.2.bias"] += 4 * confident
    return save_weights(tensors, folder / "seeded.safetensors")


def small_settings() -> list[str]:
    """Settings of a whole run that is cheap: untrained weights, a small input, five objects in every frame."""
    return [
        f"segmentation.weights={seeded_weights()}",
        "segmentation.engine=torch",
        "segmentation.device=cpu",
        "segmentation.imgsz=64",
        "segmentation.conf=0",
        "segmentation.max_det=5",
        "tracking.high_score=0",
        "publish.endpoint=tcp://127.0.0.1:0",
        "publish.control_endpoint=tcp://127.0.0.1:0",
    ]


def small_scene(**values: object) -> dict[str, object]:
    """A section of a configuration: a small rendered scene."""
    return {"type": "scene", "id": "scene", "width": 128, "height": 96, "num_objects": 3, "fps": 100, **values}
