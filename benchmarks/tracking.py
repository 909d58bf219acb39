"""How well are identities kept on the rendered scene, beside association by boxes alone?

python -m benchmarks.tracking [--model WEIGHTS] [--seeds 0 1 …] [--json FILE]

The truth's boxes and masks are fed as detections, clean and spoilt; the masks go through the grid of
a 640 px network, as a model's would. `nested` adds the parts (head, torso, wheel …) to the objects.
With --model, what a network finds in the pictures is followed as well. The box tracker is ByteTrack's
recipe: the same motion model, rounds and life of a track, and box IoU as the only cost. The tracker's
constants were chosen on seeds 100 to 102; the seeds here differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Protocol

import cv2
import numpy as np
import torch

from benchmarks.harness import parser, report
from streamseg.capture.scene import SceneRenderer, SceneTruth
from streamseg.config import TrackingConfig
from streamseg.evaluation.identity import IdentityFrame, IdentityScores, score_identities
from streamseg.geometry import box_iou, letterbox
from streamseg.segmentation import Segmenter
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import CropMask
from streamseg.tracking import Tracker
from streamseg.tracking.association import assign
from streamseg.tracking.motion import Motion

SEEDS = range(6)
SIZE = (720, 1280)
SECONDS = 20.0
NUM_OBJECTS = 12


@dataclass(frozen=True)
class Variant:
    """One way to feed and to spoil the truth."""

    name: str
    fps: float = 30.0
    nested: bool = False
    dropout: float = 0.0
    """Share of the detections that are missing."""
    jitter: float = 0.0
    """Standard deviation of each edge of a box, in sizes of the box; the mask follows its box."""
    low: float = 0.0
    """Share of the detections whose score is below the tracker's `high_score`."""
    clutter: float = 0.0
    """Detections per frame that are nothing."""


VARIANTS = (
    Variant("objects"),
    Variant("nested", nested=True),
    Variant("nested, 10 fps", nested=True, fps=10.0),
    Variant("nested, 5 fps", nested=True, fps=5.0),
    Variant("nested, 10 % dropped", nested=True, dropout=0.1),
    Variant("nested, 3 % jitter", nested=True, jitter=0.03),
    Variant("nested, spoilt, 15 fps", nested=True, fps=15.0, dropout=0.1, jitter=0.03, low=0.2, clutter=1.0),
)


class FollowsObjects(Protocol):
    """What is compared."""

    def update(self, instances: Instances, time_seconds: float) -> Tracked:
        """The same rows with identities."""


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    variant: str
    tracker: str
    idf1: float
    id_precision: float
    id_recall: float
    switches: int
    fragmentations: int
    mota: float
    num_truth: int
    num_frames: int
    update_ms: float
    """Median time of an update."""


@dataclass(frozen=True, eq=False)
class Step:
    """One frame: what the tracker is given, and what is true about it."""

    instances: Instances
    time_seconds: float
    truth_ids: np.ndarray
    """(N,)"""
    similarity: np.ndarray
    """(N, K)"""
    counted: np.ndarray
    """bool (K,): rows that are right or wrong; the others are left out."""


class BoxTracker:
    """Two rounds of box IoU with a Kalman filter; 30 frames of patience, as ByteTrack has them."""

    def __init__(self, config: TrackingConfig) -> None:
        self._config = config
        self._motion: Motion | None = None
        self._ids = np.zeros(0, np.int64)
        self._num_seen = np.zeros(0, np.int64)
        self._last_seen = np.zeros(0)
        self._time = 0.0
        self._last_id = 0

    def update(self, instances: Instances, time_seconds: float) -> Tracked:
        """The same rows with identities."""
        boxes = instances.boxes.numpy().astype(np.float64)
        high = instances.scores.numpy() >= self._config.high_score
        elapsed, self._time = time_seconds - self._time, time_seconds
        motion = self._motion if self._motion is not None else Motion.start(np.zeros((0, 4)), instances.image_size)
        motion = motion.predicted(elapsed)
        costs = 1 - box_iou(torch.from_numpy(motion.boxes), torch.from_numpy(boxes)).numpy()
        confirmed = self._ids > 0
        matches = np.full(len(motion), -1)
        for rows, columns in ((confirmed, high), (confirmed, ~high), (~confirmed, high)):
            left = np.flatnonzero(rows & (matches < 0))
            free = np.flatnonzero(columns & ~np.isin(np.arange(len(boxes)), matches))
            matched, taken = assign(costs[np.ix_(left, free)], 0.8)
            matches[left[matched]] = free[taken]
        seen = matches >= 0
        kept = np.flatnonzero(~seen & confirmed & (time_seconds - self._last_seen <= self._config.max_lost_seconds))
        starting = np.flatnonzero(high & ~np.isin(np.arange(len(boxes)), matches))
        found = motion[seen].corrected(boxes[matches[seen]], elapsed)
        self._motion = found + Motion.start(boxes[starting], instances.image_size) + motion[kept]
        present = np.concatenate((self._ids[seen], np.full(len(starting), -1)))
        self._num_seen = np.concatenate((self._num_seen[seen] + 1, np.ones(len(starting), int), self._num_seen[kept]))
        for row in np.flatnonzero((present < 0) & (self._num_seen[: len(present)] >= self._config.confirm_frames)):
            self._last_id += 1
            present[row] = self._last_id
        self._last_seen = np.concatenate((np.full(len(present), time_seconds), self._last_seen[kept]))
        self._ids = np.concatenate((present, self._ids[kept]))
        ids = np.full(len(boxes), -1, np.int64)
        ids[np.concatenate((matches[seen], starting)).astype(int)] = present
        return Tracked(instances, torch.from_numpy(ids))


@cache
def scene(seed: int, fps: float) -> tuple[SceneTruth, ...]:
    """The truth of `SECONDS` of a scene."""
    renderer = SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=fps)
    return tuple(renderer.truth(index) for index in range(int(SECONDS * fps)))


def detections(truth: SceneTruth, variant: Variant, rng: np.random.Generator) -> tuple[Instances, np.ndarray]:
    """What a detector might see of a frame, and which row (K,) of the truth each is, -1 for clutter."""
    rows = np.flatnonzero(~truth.is_part | variant.nested)
    # Where a part is all that is visible of its whole, a detector's NMS leaves one of the two.
    overlaps = box_iou(torch.from_numpy(truth.boxes), torch.from_numpy(truth.boxes)).numpy() > 0.7
    rows = rows[~(truth.is_part & (overlaps & ~truth.is_part).any(axis=1))[rows]]
    rows = rows[rng.random(len(rows)) >= variant.dropout]
    boxes = truth.boxes[rows].astype(np.float64)
    boxes += np.tile(boxes[:, 2:] - boxes[:, :2], 2) * rng.normal(0, variant.jitter, boxes.shape)
    crops = [truth.masks[row] for row in rows]
    for _ in range(rng.poisson(variant.clutter)):
        corner, size = rng.random(2) * (SIZE[1], SIZE[0]), rng.uniform(20, 200, 2)
        boxes = np.concatenate((boxes, [[*corner, *(corner + size)]]))
        crops.append(CropMask(rng.random((8, 8)) > 0.3, 0, 0))
        rows = np.append(rows, -1)
    boxes = np.clip(boxes, 0, (SIZE[1], SIZE[0], SIZE[1], SIZE[0]))
    scores = rng.uniform(0.5, 0.95, len(boxes))
    scores[rng.random(len(boxes)) < variant.low] = 0.3
    order = np.argsort(-scores, kind="stable")
    return instances_of(boxes[order], scores[order], [crops[row] for row in order]), rows[order]


def instances_of(boxes: np.ndarray, scores: np.ndarray, crops: list[CropMask], imgsz: int = 640) -> Instances:
    """Masks on the prototype grid of a network of `imgsz`, each crop stretched over its box."""
    box = letterbox(SIZE, imgsz)
    transform = box.to_image(4)
    height, width = box.input_size[0] // 4, box.input_size[1] // 4
    logits = np.full((len(boxes), height, width), -4.0, np.float32)
    for row, crop in enumerate(crops):
        x0, y0 = (boxes[row, :2] - transform[2:]) / transform[:2]
        x1, y1 = (boxes[row, 2:] - transform[2:]) / transform[:2]
        cells = max(int(np.ceil(x1 - x0)), 1), max(int(np.ceil(y1 - y0)), 1)
        small = cv2.resize(crop.crop.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
        scale_x, scale_y = (x1 - x0) / cells[0], (y1 - y0) / cells[1]
        place = np.array([[scale_x, 0, x0 + scale_x / 2 - 0.5], [0, scale_y, y0 + scale_y / 2 - 0.5]])
        cover = cv2.warpAffine(small, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        logits[row] = 8 * cover - 4
    return Instances(
        torch.from_numpy(boxes.astype(np.float32)),
        torch.from_numpy(scores.astype(np.float32)),
        torch.from_numpy(logits),
        transform,
        SIZE,
    )


def grid_masks(instances: Instances) -> torch.Tensor:
    """The masks on the grid, inside their boxes: float (K, cells)."""
    scale_x, scale_y, offset_x, offset_y = instances.grid_to_image
    _, height, width = instances.mask_logits.shape
    x = (torch.arange(width) + 0.5) * scale_x + offset_x
    y = (torch.arange(height) + 0.5) * scale_y + offset_y
    x0, y0, x1, y1 = (side[:, None] for side in instances.boxes.unbind(dim=1))
    inside = ((y >= y0) & (y < y1))[:, :, None] & ((x >= x0) & (x < x1))[:, None, :]
    return ((instances.mask_logits > 0) & inside).flatten(1).float()


def mask_iou(first: Instances, second: Instances) -> np.ndarray:
    """IoU (N, M) of all masks of two sets on the same grid."""
    masks, others = grid_masks(first), grid_masks(second)
    shared = masks @ others.T
    union = masks.sum(dim=1)[:, None] + others.sum(dim=1)[None, :] - shared
    return (shared / union.clamp(min=1)).numpy().astype(np.float64)


def steps(variant: Variant, seed: int) -> Iterator[Step]:
    """The frames of one sequence, the same for every tracker."""
    rng = np.random.default_rng([seed, 7])
    for index, truth in enumerate(scene(seed, variant.fps)):
        instances, rows = detections(truth, variant, rng)
        given = np.sort(rows[rows >= 0])  # nobody can follow what is not there
        similarity = (given[:, None] == rows[None, :]).astype(np.float64)
        yield Step(instances, index / variant.fps, truth.track_ids[given], similarity, np.ones(len(rows), np.bool_))


def model_steps(segmenter: Segmenter, fps: float, seed: int) -> Iterator[Step]:
    """The frames of one sequence as a network sees them; the truth are the objects, without their parts.

    What the network finds beyond them (parts, the background) is neither right nor wrong, and not counted.
    """
    renderer = SceneRenderer(SIZE[1], SIZE[0], num_objects=NUM_OBJECTS, seed=seed, fps=fps)
    for index, truth in enumerate(scene(seed, fps)):
        instances = segmenter([renderer.render(index)])[0].to("cpu")
        known = instances_of(
            truth.boxes.astype(np.float64), np.ones(len(truth.boxes)), list(truth.masks), segmenter.imgsz
        )
        similarity = mask_iou(known, instances)
        similarity = similarity[~truth.is_part]
        counted = similarity.max(axis=0, initial=0.0) >= 0.5
        yield Step(instances, index / fps, truth.track_ids[~truth.is_part], similarity, counted)


def follow(make: Callable[[], FollowsObjects], sequence: Iterable[Step], times: list[float]) -> Iterator[IdentityFrame]:
    """Run one tracker over one sequence; the time of each update is added to `times`."""
    tracker = make()
    for step in sequence:
        start = time.perf_counter()
        tracked = tracker.update(step.instances, step.time_seconds)
        times.append(time.perf_counter() - start)
        ids = tracked.track_ids.numpy()[step.counted]
        yield IdentityFrame(step.truth_ids, ids, step.similarity[:, step.counted])


def total(scores: list[IdentityScores]) -> IdentityScores:
    """Sequences added up."""
    return IdentityScores(**{key: sum(getattr(score, key) for score in scores) for key in asdict(scores[0])})


TRACKERS: dict[str, Callable[[], FollowsObjects]] = {
    "streamseg": lambda: Tracker(TrackingConfig()),
    "boxes only": lambda: BoxTracker(TrackingConfig()),
}


def compare(name: str, sequences: Callable[[int], Iterable[Step]], seeds: Iterable[int]) -> list[Result]:
    """One row per tracker."""
    results = []
    scores: dict[str, list[IdentityScores]] = {name: [] for name in TRACKERS}
    times: dict[str, list[float]] = {name: [] for name in TRACKERS}
    for seed in seeds:
        sequence = list(sequences(seed))
        for tracker, make in TRACKERS.items():
            scores[tracker].append(score_identities(follow(make, sequence, times[tracker])))
    for tracker in TRACKERS:
        score = total(scores[tracker])
        results.append(
            Result(
                variant=name,
                tracker=tracker,
                idf1=round(score.idf1, 4),
                id_precision=round(score.id_precision, 4),
                id_recall=round(score.id_recall, 4),
                switches=score.num_switches,
                fragmentations=score.num_fragmentations,
                mota=round(score.mota, 4),
                num_truth=score.num_truth,
                num_frames=score.num_frames,
                update_ms=round(float(np.median(times[tracker])) * 1e3, 2),
            )
        )
    return results


HEADINGS = (
    f"{'variant':24} {'tracker':12} {'IDF1':>6} {'IDP':>6} {'IDR':>6} {'IDSW':>5} {'frag':>5} {'MOTA':>6} {'ms':>6}"
)


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="scenes to follow")
    flags.add_argument("--model", metavar="WEIGHTS", help="also follow what these weights find: default, or a path")
    flags.add_argument("--model-only", action="store_true", help="leave out the truth's boxes")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    sequences: dict[str, Callable[[int], Iterable[Step]]] = {
        variant.name: partial(steps, variant) for variant in VARIANTS if not arguments.model_only
    }
    if arguments.model is not None:
        segmenter = Segmenter(arguments.model)
        for fps in (30.0, 10.0):
            sequences[f"{arguments.model} weights, {fps:g} fps"] = partial(model_steps, segmenter, fps)
    results: list[Result] = []
    print(HEADINGS)
    for name, sequence in sequences.items():
        for row in compare(name, sequence, arguments.seeds):
            results.append(row)
            print(
                f"{row.variant:24} {row.tracker:12} {row.idf1:6.3f} {row.id_precision:6.3f} {row.id_recall:6.3f}"
                f" {row.switches:5d} {row.fragmentations:5d} {row.mota:6.3f} {row.update_ms:6.2f}",
                flush=True,
            )
    report({"seeds": arguments.seeds, "rows": [asdict(row) for row in results]}, arguments.json)


if __name__ == "__main__":
    main()
