"""A run on the rendered scene that sees exactly what is there, frame by frame as a test lets it, with its page."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch

from streamseg.config import ViewerConfig
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.pipeline.pipeline import SegmentFunction
from streamseg.runtime import Runtime
from streamseg.runtime.operations import control_operations
from streamseg.structures.frame import Frame
from streamseg.structures.instances import GridTransform, Instances
from streamseg.structures.message import CropMask
from streamseg.synthetic import SceneRenderer
from streamseg.telemetry import DropCounter
from streamseg.viewer import Run, Viewer

STRIDE = 4
NUM_LOOKS = 64
LEAST_PIXELS = 500
"""What shows less of itself is not found: two fifths of the object that the page's test follows.

From half of it on, it is not found where it is clicked. With 300 or less, what shows of it between two others for some
pictures begins an identity of its own, under which it comes back: then the page shows what re-acquisition makes of it
(log odds of 0 to 0.5 with the same looks, where 1.1 are asked for), which has tests of its own.
"""


class ReleasedScene:
    """Pictures of the scene, as many as were released; each carries its number in its first pixel."""

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
        """Let the scene go on by so many pictures."""
        for _ in range(num_frames):
            self._released.release()

    def frames(self) -> Iterator[Frame]:
        """Each as soon as it is released."""
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
        """Let `frames` end."""
        self._stopped.set()


class TruthSegmenter:
    """Finds the objects of the scene, without their parts."""

    def __init__(self, renderer: SceneRenderer) -> None:
        self._renderer = renderer

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]], regions: object = None) -> list[Instances]:
        """The truth of the pictures whose numbers are in their first pixels."""
        return [self._find(int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])) for image in images]

    def _find(self, index: int) -> Instances:
        height, width = self._renderer.size
        masks = truth_masks(self._renderer, index)
        track_ids = [track_id for track_id, mask in masks.items() if mask.area >= LEAST_PIXELS]
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
            embeddings=torch.tensor(np.array([looks_of(one) for one in track_ids])).reshape(-1, NUM_LOOKS),
        )


def looks_of(track_id: int) -> npt.NDArray[np.float32]:
    """A direction of its own for each object of the scene: no two look alike."""
    direction = np.random.default_rng(track_id).standard_normal(NUM_LOOKS).astype(np.float32)
    return direction / np.linalg.norm(direction)


def truth_masks(renderer: SceneRenderer, index: int) -> dict[int, CropMask]:
    """The visible part of each object in a picture, by identity."""
    truth = renderer.truth(index)
    return {
        int(track_id): mask
        for track_id, mask, is_part in zip(truth.track_ids, truth.masks, truth.is_part, strict=True)
        if not is_part
    }


def inner_point(mask: CropMask) -> tuple[float, float]:
    """The point (x, y) of a mask that is farthest from its edge."""
    depth = cv2.distanceTransform(np.pad(mask.crop, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return mask.x + float(x) + 0.5, mask.y + float(y) + 0.5


class Newest:
    """Keeps every result by the number of its picture."""

    def __init__(self) -> None:
        self.results: dict[int, FrameResult] = {}
        self._changed = threading.Condition()

    def write(self, result: FrameResult) -> None:
        """Keep it."""
        with self._changed:
            self.results[result.frame.index] = result
            self._changed.notify_all()

    def wait_for(self, index: int) -> FrameResult:
        """The result of a picture, once there is one."""
        with self._changed:
            assert self._changed.wait_for(lambda: index in self.results, 60)
        return self.results[index]

    def close(self) -> None:
        """There is nothing to close."""


class SceneRun:
    """The run, its page's address, and what it found."""

    def __init__(self, renderer: SceneRenderer, source: ReleasedScene, results: Newest, url: str, first: int) -> None:
        self.renderer = renderer
        self.url = url
        self._source = source
        self._results = results
        self._released = first - 1

    def show(self, index: int) -> FrameResult:
        """Let the scene go on up to this picture, and wait for it."""
        self._source.release(index - self._released)
        self._released = index
        return self._results.wait_for(index)

    def identity_of(self, prompt_id: str, index: int) -> int | None:
        """Which object of the scene answers a prompt in a picture; None where no object does."""
        answers = [one for one in self._results.results[index].message.objects if prompt_id in one.prompt_ids]
        if not answers:
            return None
        (answer,) = answers
        shown = answer.mask.full(self.renderer.size)
        overlaps = {
            track_id: np.count_nonzero(shown & mask.full(self.renderer.size)) / np.count_nonzero(shown)
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
    """A run that waits before its first picture, which is number `first`; without a segmenter, it finds the truth."""
    renderer = SceneRenderer(size[1], size[0], num_objects=num_objects, seed=seed)
    source, results = ReleasedScene(renderer, first=first), Newest()
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
