"""Measure the benefit of the refiner: plain and sharp masks, raw and calibrated scores, with the same weights.

Reads the folder `eval-coco` of the data (--data, or the environment variable STREAMSEG_DATA). The network runs once per
image, so all rows of a table come from the same proposals. Outlines are compared object by object: an object's proposal
is the one whose plain and sharp masks fit it best on average, and it counts as found if that average reaches an IoU of
0.5, so neither side is favoured. Times are measured in turns on a frame of the rendered scene.

--image draws small and medium objects at the 75th, 85th and 95th percentile of the refiner's gain in IoU, none picked
by hand. They come from the rendered scene; `--crops coco` uses the images of COCO, whose licences do not allow
redistribution.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import DATA, Timing, measure, output_file, parser, report
from benchmarks.refiner_comparison.crops import Choice, draw, scene_objects
from benchmarks.refiner_comparison.pairs import Found, found_objects, outlines, paired
from streamseg.cli.terminal import ProgressBar, Table, print_table
from streamseg.engines import leave_cores
from streamseg.evaluation.matching import ImageMatches, match_image
from streamseg.evaluation.overlap import mask_ious
from streamseg.evaluation.proposals import MatchScores, score_matches
from streamseg.evaluation.scores import Calibration, calibration, judged_proposals
from streamseg.evaluation.truth import ImageTruth, labelled_images
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.arrays import Float64Array, ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.synthetic import SceneRenderer

SCORED_CONF = 0.05
"""Minimum raw score of evaluated proposals, as in `streamseg eval scores`."""
BOUNDARY_TARGET, RECALL_TARGET, TIME_TARGET = 0.05, 0.03, 1.15


class Comparison:
    """Results accumulated over images."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._matches: dict[str, list[ImageMatches]] = {"plain": [], "sharp": [], "calibrated": []}
        self._best: dict[str, list[float]] = {"plain": [], "sharp": []}
        self._judged: dict[str, list[Float64Array]] = {"all": [np.zeros((0, 3))], "on objects": [np.zeros((0, 3))]}

    def add(self, image: ImageArray, plain: Instances, sharp: Instances, truth: ImageTruth) -> None:
        """Add an image's proposals: the same rows in both, by descending raw score; `sharp` has calibrated scores."""
        raw, calibrated = (some.scores.numpy(force=True).astype(np.float64) for some in (plain, sharp))
        masks = {"plain": instance_masks(plain), "sharp": instance_masks(sharp)}
        ious = {name: mask_ious(some, truth.masks, truth.is_crowd) for name, some in masks.items()}
        for name, of, scores in (("plain", "plain", raw), ("sharp", "sharp", raw), ("calibrated", "sharp", calibrated)):
            areas = np.array([mask.area for mask in masks[of]], dtype=np.float64)
            self._matches[name].append(match_image(ious[of], scores, areas, truth.areas, truth.is_crowd))
        for name, best in self._best.items():
            best += ious[name][:, ~truth.is_crowd].max(axis=0, initial=0).tolist()
        boxes = sharp.boxes.numpy(force=True).astype(np.float64)
        judged = judged_proposals(boxes, ious["sharp"], truth)
        groups = {"all": (judged.every, judged.best), "on objects": (judged.on_objects, judged.own)}
        for name, (rows, own) in groups.items():
            table = np.stack([raw[rows], calibrated[rows], own], axis=1)
            self._judged[name].append(table[table[:, 0] > SCORED_CONF])
        targets = [truth.masks[row] for row in truth.objects]
        self.found += found_objects(image, masks["plain"], masks["sharp"], targets, truth.areas[truth.objects])

    def results(self) -> dict[str, Any]:
        """Return all figures by name; nan if there is nothing to measure."""
        judged = {name: np.concatenate(tables) for name, tables in self._judged.items()}
        return {
            "num_pictures": len(self._matches["plain"]),
            "num_objects": len(self._best["plain"]),
            "masks": {
                name: {
                    "recall": score_matches(self._matches[name]),
                    "mean_best_iou": float(np.mean(best)) if best else float("nan"),
                    "outlines": outlines(self.found, side),
                }
                for side, (name, best) in enumerate(self._best.items())
            },
            "scores": {
                name: {
                    "recall": score_matches(self._matches[of]),
                    **{group: calibration(table[:, column], table[:, 2]) for group, table in judged.items()},
                }
                for column, (name, of) in enumerate({"raw": "sharp", "calibrated": "calibrated"}.items())
            },
        }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="default", help="weights with a refiner")
    arguments.add_argument("--engine", default="auto")
    arguments.add_argument("--imgsz", type=int, default=None, help="default: that of the weights")
    arguments.add_argument("--data", type=Path, default=DATA, help="eval-coco, or a folder that contains it")
    arguments.add_argument("--limit", type=int, default=None, help="use the first N images only")
    arguments.add_argument("--objects", type=int, default=30, help="number of objects in the timed frame")
    arguments.add_argument("--runs", type=int, default=60)
    arguments.add_argument(
        "--image",
        "--picture",
        type=output_file,
        default=None,
        metavar="FILE",
        help="write three zoomed crops to this file (PNG)",
    )
    arguments.add_argument("--crops", choices=("scene", "coco"), default="scene", help="source of the crops")
    args = arguments.parse_args()
    if args.image is not None and args.image.suffix != ".png":
        arguments.error(f"--image must name a .png file, got {args.image}")
    folder = args.data / "eval-coco" if (args.data / "eval-coco").is_dir() else args.data

    options = {"imgsz": args.imgsz, "iou": 0.7}
    segmenter = Segmenter(args.weights, engine=args.engine, masks="sharp", scores="calibrated", **options)
    comparison = Comparison()
    both = paired(segmenter.engine, conf=0.001, max_det=1000, **options)
    bar = ProgressBar("images")
    for image, truth in labelled_images(folder, limit=args.limit, on_image=lambda done, _: bar.update(done)):
        comparison.add(image, *both(image), truth)
    bar.close()
    results = comparison.results()
    for table in (*mask_tables(results), score_table(results)):
        print_table(table)
        print()

    num_objects, timings = time_frames(segmenter, num_objects=args.objects, num_runs=args.runs, **options)
    print_table(time_table(num_objects, segmenter.imgsz, timings))
    print()
    for line in verdicts(results, timings):
        print(line)
    choice = None
    if args.image is not None:
        in_use = paired(segmenter.engine, conf=0.25, max_det=300, **options)
        candidates = comparison.found if args.crops == "coco" else list(scene_objects(in_use, limit=args.limit))
        choice = draw(candidates, args.image)
        print(describe(choice, args.image))
    report(
        {
            "benchmark": "refinement",
            "weights": args.weights,
            "engine": f"{segmenter.engine.name} on {segmenter.engine.device}",
            "imgsz": segmenter.imgsz,
            **results,
            "frame": {"size": (720, 1280), "num_objects": num_objects, "timings_ms": timings},
            "crops": choice and {"source": args.crops, **vars(choice)},
        },
        args.json,
    )
    return 0


def mask_tables(results: dict[str, Any]) -> tuple[Table, Table]:
    """Compare plain and sharp masks: recall, and accuracy of outlines."""
    recall, outline = {}, {}
    for name, of in results["masks"].items():
        scores: MatchScores = of["recall"]
        recall[name] = (*scores.recall.values(), *scores.recall_by_size.values(), of["mean_best_iou"])
        usual, narrow = of["outlines"].usual, of["outlines"].narrow
        outline[name] = (
            usual.mask_iou,
            usual.mask_iou_by_size["small"],
            usual.boundary_iou,
            *list(usual.boundary_iou_by_size.values())[:2],
            narrow.boundary_iou,
            *list(narrow.boundary_iou_by_size.values())[:2],
        )
        num_found = usual.num_objects
    return (
        before_and_after(
            f"Masks, ranked by the raw score: {results['num_objects']} objects in {results['num_pictures']} images",
            ("masks", "AR@10", "AR@100", "AR@1000", "small", "medium", "large", "mean best IoU"),
            recall,
        ),
        before_and_after(
            f"Outlines of the same {num_found} objects, found with an IoU of .5 on average (band: 2 % of the diagonal;"
            " narrow: .4 %)",
            ("masks", "mask IoU", "small", "boundary IoU", "small", "medium", "narrow", "small", "medium"),
            outline,
        ),
    )


def score_table(results: dict[str, Any]) -> Table:
    """Compare raw and calibrated scores on sharp masks."""
    rows = {}
    for name, of in results["scores"].items():
        groups: list[Calibration] = [of["on objects"], of["all"]]
        figures = [figure for group in groups for figure in (group.spearman, group.calibration_error)]
        rows[name] = (*figures, of["recall"].recall[10], of["recall"].recall[100])
    return before_and_after(
        f"Scores of sharp masks: {groups[0].num_proposals} proposals on labelled objects, {groups[1].num_proposals} in"
        f" total, with a raw score above {SCORED_CONF}",
        ("scores", "Spearman", "ECE", "Spearman, all", "ECE, all", "AR@10", "AR@100"),
        rows,
    )


def before_and_after(title: str, columns: tuple[str, ...], rows: dict[str, tuple[float, ...]]) -> Table:
    """Return a table of two rows and their difference."""
    before, after = rows.values()
    gain = tuple(second - first for first, second in zip(before, after, strict=True))
    return Table(title, columns, tuple((name, *row) for name, row in (*rows.items(), ("gain", gain))))


def time_frames(
    segmenter: Segmenter, *, num_objects: int, num_runs: int, **options: Any
) -> tuple[int, dict[str, Timing]]:
    """Return the number of objects, and the times from a 720p frame to full-size masks, plain and sharp in turns."""
    leave_cores(segmenter.engine)  # as in a run
    frame = SceneRenderer(1280, 720, num_objects=20, seed=11).render(0)
    plain = partial(Segmenter, engine=segmenter.engine, masks="plain", scores="raw", **options)
    sharp = partial(Segmenter, engine=segmenter.engine, masks="sharp", scores="calibrated", **options)
    scores = plain(conf=0.001)([frame])[0].scores.tolist()
    # As in a live run, a threshold limits the number of objects, so NMS does no extra work.
    conf = (scores[num_objects - 1] + scores[num_objects]) / 2 if len(scores) > num_objects else 0.001
    timings = measure(
        {
            "plain": partial(_masks_of, plain(conf=conf), frame),
            "sharp": partial(_masks_of, sharp(conf=conf), frame),
        },
        num_runs=num_runs,
    )
    return min(len(scores), num_objects), timings


def _masks_of(segmenter: Segmenter, frame: ImageArray) -> list[CropMask]:
    return instance_masks(segmenter([frame])[0])


def time_table(num_objects: int, imgsz: int, timings: dict[str, Timing]) -> Table:
    """Compare plain and sharp masks: time per frame."""
    plain = timings["plain"]
    return Table(
        f"A frame of 1280x720 with {num_objects} objects at imgsz {imgsz}, full-size masks included, in turns",
        ("masks", "p50 ms", "p95 ms", "p50 ratio", "p95 ratio"),
        tuple((name, of.p50, of.p95, of.p50 / plain.p50, of.p95 / plain.p95) for name, of in timings.items()),
    )


def verdicts(results: dict[str, Any], timings: dict[str, Timing]) -> Iterator[str]:
    """Yield the targets and whether they were reached."""
    plain, sharp = (of["outlines"] for of in results["masks"].values())
    raw, calibrated = (of["recall"].recall[10] for of in results["scores"].values())
    gain = sharp.usual.boundary_iou_by_size["small"] - plain.usual.boundary_iou_by_size["small"]
    narrow = sharp.narrow.boundary_iou_by_size["small"] - plain.narrow.boundary_iou_by_size["small"]
    ratio = timings["sharp"].p50 / timings["plain"].p50
    yield (
        f"boundary IoU of small objects {gain:+.3f} (narrow band {narrow:+.3f}), target {BOUNDARY_TARGET:+.3f}:"
        f" {_word(gain >= BOUNDARY_TARGET)}"
    )
    yield f"time per frame x {ratio:.3f}, at most x {TIME_TARGET:.2f}: {_word(ratio <= TIME_TARGET)}"
    yield (
        f"AR@10 by calibrated scores {calibrated - raw:+.3f}, target {RECALL_TARGET:+.3f}:"
        f" {_word(calibrated - raw >= RECALL_TARGET)}"
    )


def _word(reached: bool) -> str:
    return "reached" if reached else "missed"


def describe(choice: Choice | None, path: Path) -> str:
    """Describe the shown objects and how typical they are."""
    if choice is None:
        return f"{path} was not written: no small or medium object was found"
    ious = ", ".join(f"{plain:.3f} to {sharp:.3f}" for plain, sharp in choice.shown)
    return (
        f"wrote {path}: {choice.rule}, of {choice.num_objects}: IoU {ious}; median gain {choice.median_gain:+.3f},"
        f" better {choice.share_better:.0%}, worse {choice.share_worse:.0%}"
    )


if __name__ == "__main__":
    sys.exit(main())
