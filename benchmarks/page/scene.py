"""A run with ground-truth segmentation of the rendered scene, advanced frame by frame by a test, with its page."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch

from streamseg.config import ViewerConfig
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.pipeline.segment_function import SegmentFunction
from streamseg.runtime import Runtime
from streamseg.runtime.operations import control_operations
from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.frame import Frame
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.synthetic import SceneRenderer
from streamseg.telemetry import DropCounter
from streamseg.viewer import Run, Viewer

STRIDE = 4
EMBEDDING_DIM = 64
MIN_PIXELS = 500
"""Minimum number of visible pixels of a detected object: two fifths of the object that the page's test tracks.

At half of the object or more, it would not be detected where the test clicks. At 300 or less, the part that is visible
between two other objects for some frames would start a track of its own, under whose id the object would return: the
page would then display the result of re-identification (log odds of 0 to 0.5 for equal appearance, where 1.1 are
required), which has its own tests.
"""


class ReleasedScene:
    """A source that delivers as many frames of the scene as were released; the first pixel encodes the frame index."""

    def __init__(self, renderer: SceneRenderer, source_id: str = "scene", *, first: int = 0) -> None:
        self.source_id = source_id
        self.frame_id = ""
        self.is_live = False
        self.drops = DropCounter()
        self._renderer = renderer
        self._index = first
        self._released = threading.Semaphore(0)
        self._stopped = threading.Event()

    def release(self, num_frames: int) -> None:
        """Release this many further frames."""
        for _ in range(num_frames):
            self._released.release()

    def frames(self) -> Iterator[Frame]:
        """Yield each frame as soon as it is released."""
        while not self._stopped.is_set():
            if not self._released.acquire(timeout=0.05):
                continue
            image = self._renderer.render(self._index)
            image[0, 0] = (self._index % 256, self._index // 256, 0)
            yield Frame(
                image=image,
                source_id=self.source_id,
                index=self._index,
                pts_seconds=self._index / self._renderer.fps,
                captured_ns=time.time_ns(),
                clock="arrival",
                received_ns=time.monotonic_ns(),
            )
            self._index += 1

    def stop(self) -> None:
        """End `frames`."""
        self._stopped.set()


class TruthSegmenter:
    """Returns the ground truth of the scene, without parts of objects."""

    def __init__(self, renderer: SceneRenderer) -> None:
        self._renderer = renderer

    def __call__(self, images: Sequence[ImageArray], regions: object = None) -> list[Instances]:
        """Return the ground truth of images whose first pixels encode their frame indices."""
        return [self._find(int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])) for image in images]

    def _find(self, index: int) -> Instances:
        height, width = self._renderer.size
        masks = truth_masks(self._renderer, index)
        track_ids = [track_id for track_id, mask in masks.items() if mask.area >= MIN_PIXELS]
        found = [masks[track_id] for track_id in track_ids]
        boxes = [(mask.x, mask.y, mask.x + mask.crop.shape[1], mask.y + mask.crop.shape[0]) for mask in found]
        grid = (width // STRIDE, height // STRIDE)
        cover = [
            cv2.resize(mask.full((height, width)).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
            for mask in found
        ]
        return Instances(
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.linspace(0.9, 0.8, len(found)),
            mask_logits=torch.tensor(np.array(cover)).reshape(-1, grid[1], grid[0]) * 8 - 4,
            grid_to_image=GridTransform(STRIDE, STRIDE, 0.0, 0.0),
            image_size=(height, width),
            embeddings=torch.tensor(np.array([embedding_of(one) for one in track_ids])).reshape(-1, EMBEDDING_DIM),
        )


def embedding_of(track_id: int) -> Float32Array:
    """Return a unit vector that differs for each object of the scene."""
    direction = np.random.default_rng(track_id).standard_normal(EMBEDDING_DIM).astype(np.float32)
    return direction / np.linalg.norm(direction)


def truth_masks(renderer: SceneRenderer, index: int) -> dict[int, CropMask]:
    """Return the visible mask of each object in a frame, by track id."""
    truth = renderer.truth(index)
    return {
        int(track_id): mask
        for track_id, mask, is_part in zip(truth.track_ids, truth.masks, truth.is_part, strict=True)
        if not is_part
    }


def inner_point(mask: CropMask) -> tuple[float, float]:
    """Return the point (x, y) of a mask that is farthest from its edge."""
    depth = cv2.distanceTransform(np.pad(mask.crop, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return mask.x + float(x) + 0.5, mask.y + float(y) + 0.5


class ResultSink:
    """A sink that keeps every result by its frame index."""

    def __init__(self) -> None:
        self.results: dict[int, FrameResult] = {}
        self._changed = threading.Condition()

    def write(self, result: FrameResult) -> None:
        """Keep a result."""
        with self._changed:
            self.results[result.frame.index] = result
            self._changed.notify_all()

    def wait_for(self, index: int) -> FrameResult:
        """Wait for the result of a frame."""
        with self._changed:
            assert self._changed.wait_for(lambda: index in self.results, 60)
        return self.results[index]

    def close(self) -> None:
        """Do nothing."""


class SceneRun:
    """A run, the URL of its page, and its results."""

    def __init__(
        self, renderer: SceneRenderer, source: ReleasedScene, results: ResultSink, url: str, first: int
    ) -> None:
        self.renderer = renderer
        self.url = url
        self._source = source
        self._results = results
        self._released = first - 1

    def show(self, index: int) -> FrameResult:
        """Advance the scene to this frame and wait for its result."""
        self._source.release(index - self._released)
        self._released = index
        return self._results.wait_for(index)

    def identity_of(self, prompt_id: str, index: int) -> int | None:
        """Return the scene's track id of the object that matches a prompt in a frame; None if no object does."""
        matches = [one for one in self._results.results[index].message.objects if prompt_id in one.prompt_ids]
        if not matches:
            return None
        (match,) = matches
        found = match.mask.full(self.renderer.size)
        overlaps = {
            track_id: np.count_nonzero(found & mask.full(self.renderer.size)) / np.count_nonzero(found)
            for track_id, mask in truth_masks(self.renderer, index).items()
        }
        return max(overlaps, key=lambda track_id: overlaps[track_id])


@contextlib.contextmanager
def scene_run(
    *,
    seed: int,
    num_objects: int = 6,
    size: tuple[int, int] = (360, 640),
    segmenter: SegmentFunction | None = None,
    first: int = 0,
) -> Iterator[SceneRun]:
    """Open a run that waits before frame `first`; without a segmenter, it uses the ground truth."""
    renderer = SceneRenderer(size[1], size[0], num_objects=num_objects, seed=seed)
    source, results = ReleasedScene(renderer, first=first), ResultSink()
    pipeline = Pipeline(segmenter if segmenter is not None else TruthSegmenter(renderer))
    with Viewer([source.source_id], ViewerConfig(port=0)) as viewer:
        runtime = Runtime([source], pipeline, [viewer, results])
        operations = control_operations(runtime)
        viewer.attach(Run(operations, lambda: runtime.stats().as_json(), lambda: pipeline.prompts))
        thread = threading.Thread(target=runtime.run)
        thread.start()
        try:
            yield SceneRun(renderer, source, results, viewer.url, first)
        finally:
            runtime.stop()
            thread.join(30)
