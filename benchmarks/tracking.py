"""Measure identity preservation on the rendered scene, compared with association by boxes alone.

python -m benchmarks.tracking [--model WEIGHTS] [--seeds 0 1 …] [--json FILE]

Ground-truth boxes and masks serve as detections, clean and degraded; the masks are resampled to the grid of a 640 px
network, as a model's would be. `nested` adds the parts (head, torso, wheel …) to the objects. With --model, the
instances of a network are tracked as well. The box tracker follows ByteTrack: the same motion model, rounds and track
life cycle, with box IoU as the only cost. The tracker's constants were tuned on seeds 100 to 102; the seeds here
differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from benchmarks.harness import parser, report
from benchmarks.object_tracking.box_tracker import BoxTracker
from benchmarks.object_tracking.detections import VARIANTS
from benchmarks.object_tracking.sequences import Step, model_steps, truth_steps
from streamseg.config import TrackingConfig
from streamseg.evaluation.identity import IdentityFrame, IdentityScores, score_identities
from streamseg.segmentation import Segmenter
from streamseg.structures.instances import Instances, Tracked
from streamseg.tracking import Tracker

SEEDS = range(6)


class ComparedTracker(Protocol):
    """A tracker under comparison."""

    def update(self, instances: Instances, time_seconds: float) -> Tracked:
        """Return the instances with identities."""


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
    """Median duration of an update in milliseconds."""


def track(make: Callable[[], ComparedTracker], sequence: Iterable[Step], times: list[float]) -> Iterator[IdentityFrame]:
    """Run a tracker over a sequence; append the duration of each update in seconds to `times`."""
    tracker = make()
    for step in sequence:
        start = time.perf_counter()
        tracked = tracker.update(step.instances, step.time_seconds)
        times.append(time.perf_counter() - start)
        ids = tracked.track_ids.numpy()[step.counted]
        yield IdentityFrame(step.truth_ids, ids, step.similarity[:, step.counted])


def total(scores: list[IdentityScores]) -> IdentityScores:
    """Add the counts of several sequences."""
    return IdentityScores(**{key: sum(getattr(score, key) for score in scores) for key in asdict(scores[0])})


TRACKERS: dict[str, Callable[[], ComparedTracker]] = {
    "streamseg": lambda: Tracker(TrackingConfig()),
    "boxes only": lambda: BoxTracker(TrackingConfig()),
}


def compare(name: str, sequences: Callable[[int], Iterable[Step]], seeds: Iterable[int]) -> list[Result]:
    """Return one row per tracker."""
    results = []
    scores: dict[str, list[IdentityScores]] = {name: [] for name in TRACKERS}
    times: dict[str, list[float]] = {name: [] for name in TRACKERS}
    for seed in seeds:
        sequence = list(sequences(seed))
        for tracker, make in TRACKERS.items():
            scores[tracker].append(score_identities(track(make, sequence, times[tracker])))
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
    flags.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of the scenes")
    flags.add_argument("--model", metavar="WEIGHTS", help="also track the objects of these weights: default, or a path")
    flags.add_argument("--model-only", action="store_true", help="skip the ground-truth detections")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    sequences: dict[str, Callable[[int], Iterable[Step]]] = {
        variant.name: partial(truth_steps, variant) for variant in VARIANTS if not arguments.model_only
    }
    if arguments.model is not None:
        segmenter = Segmenter(arguments.model, embeddings=True)
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
