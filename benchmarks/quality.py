"""How good is a network? Class-less recall on COCO val2017 pictures, and on scenes that were never trained on.

Reads the folder `eval-coco` of the data (--data, or the environment variable STREAMSEG_DATA).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import parser, report
from streamseg.capture.scene import SceneRenderer
from streamseg.cli.progress import ProgressBar
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.message import CropMask

DATA = Path(os.environ.get("STREAMSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
NUM_SCENES, PICTURES_PER_SCENE, FRAME_STEP = 10, 5, 45


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="default")
    arguments.add_argument("--engine", default="auto")
    arguments.add_argument("--half", action="store_true", default=None, help="half precision; default: on CUDA only")
    arguments.add_argument("--imgsz", type=int, nargs="+", default=[None], help="several are compared")
    arguments.add_argument("--data", type=Path, default=DATA)
    args = arguments.parse_args()
    rows = []
    for imgsz in args.imgsz:
        options = {} if imgsz is None else {"imgsz": imgsz}
        half = "auto" if args.half is None else args.half
        segmenter = Segmenter(args.weights, engine=args.engine, half=half, conf=0.001, iou=0.7, max_det=1000, **options)
        bar = ProgressBar("pictures")
        scores = evaluate_proposals(
            segmenter, args.data / "eval-coco", on_picture=lambda done, _, bar=bar: bar.update(done)
        )
        bar.close()
        scene = _scene_recall(segmenter)
        rows.append({"imgsz": segmenter.imgsz, "eval_coco": scores, "scene_found": scene})
        masks, boxes = scores.mask.recall, scores.box.recall
        print(
            f"imgsz {segmenter.imgsz}: eval-coco ({scores.num_pictures} pictures, {scores.num_objects} objects)"
            f" mask AR@10 {masks[10]:.3f} @100 {masks[100]:.3f} @1000 {masks[1000]:.3f}"
            f" | box AR@100 {boxes[100]:.3f} @1000 {boxes[1000]:.3f} | mean best IoU {scores.mean_best_iou:.3f}"
            f" | people found {scores.found_by_category.get('person', float('nan')):.3f}"
            f" | scene objects found {scene:.3f}",
            flush=True,
        )
    report({"benchmark": "quality", "weights": args.weights, "rows": rows}, args.json)
    return 0


def _scene_recall(segmenter: Segmenter) -> float:
    """Share of the scene's whole objects that a mask of IoU >= 0.5 among the first 100 finds."""
    found = []
    for seed in range(NUM_SCENES):
        renderer = SceneRenderer(1280, 720, seed=seed)
        for index in range(PICTURES_PER_SCENE):
            truth = renderer.truth(index * FRAME_STEP)
            masks = instance_masks(segmenter([renderer.render(index * FRAME_STEP)])[0][:100])
            for mask, is_part in zip(truth.masks, truth.is_part, strict=True):
                if not is_part:
                    found.append(max((_iou(mask, one) for one in masks), default=0.0) >= 0.5)
    return float(np.mean(found))


def _iou(a: CropMask, b: CropMask) -> float:
    x0, y0 = max(a.x, b.x), max(a.y, b.y)
    x1 = min(a.x + a.crop.shape[1], b.x + b.crop.shape[1])
    y1 = min(a.y + a.crop.shape[0], b.y + b.crop.shape[0])
    if x1 <= x0 or y1 <= y0:
        return 0.0
    both = a.crop[y0 - a.y : y1 - a.y, x0 - a.x : x1 - a.x] & b.crop[y0 - b.y : y1 - b.y, x0 - b.x : x1 - b.x]
    overlap = int(np.count_nonzero(both))
    return overlap / max(a.area + b.area - overlap, 1)


if __name__ == "__main__":
    sys.exit(main())
