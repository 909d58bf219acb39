"""Measure the rules by which boxes and points are answered, on images that a training recipe holds out.

scripts/bench prompt_rules [--held-out RECIPE] [--source NAME] [--images FOLDER] [--limit N] [--json FILE]

Their constants were chosen on these images: what is printed is the fit, not a test. `streamseg eval prompted` measures
other images.

Boxes: the mask of the best candidate inside the box, corrected by the refiner, before and after it is fitted to the box
(`segmentation.box_fit`); with the labelled boxes, and with boxes drawn carelessly, each side off by 6 % of the size at
random, and outwards by 4 %.
Points: the mask that is selected (`prompting.points`) by the innermost point, by this one and two random ones, and by
three points near the middle; and the best mask that contains one of the first three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import DATA, parser, report
from streamseg.datasets.problems import Problems
from streamseg.evaluation.overlap import mask_iou
from streamseg.evaluation.prompted import box_prompt, points_in, selected_masks
from streamseg.evaluation.truth import ImageTruth, labelled_images
from streamseg.geometry import clip_boxes, letterbox
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.modeling.preprocess import letterbox_images
from streamseg.segmentation import Segmenter
from streamseg.segmentation.box_fit import fit_to_boxes
from streamseg.segmentation.candidates import best_fit, boxes_in_image, has_extent
from streamseg.segmentation.masks import instance_masks
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import PointPrompt, Prompt
from streamseg.training.held_out import held_out_images

RECIPE = Path(__file__).parents[1] / "configs" / "train-nanodet.yaml"
SIDE_ERROR, OUTWARDS = 0.06, 0.04
"""Errors of carelessly drawn boxes, relative to their sides: standard deviation, and mean."""
MIN_POINT_SCORE = 0.04
NUM_NEAR = 3
NEAR_SHARE = 0.5
"""Pixels near the middle are at least this share of the largest distance from the outline."""

Ious = Iterator[tuple[str, float]]


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument(
        "--held-out", type=Path, default=RECIPE, metavar="RECIPE", help="recipe whose images are held out"
    )
    flags.add_argument("--source", metavar="NAME", help="only the recipe's sources of this name")
    flags.add_argument("--images", type=Path, default=DATA, metavar="FOLDER", help="folder of the recipe's sources")
    flags.add_argument("--model", default="default", metavar="WEIGHTS", help="weights with a refiner")
    flags.add_argument("--limit", type=int, metavar="N", help="the first N images only")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    images = held_out_images(arguments.held_out, arguments.images, Problems(), source=arguments.source)
    ious: dict[str, list[float]] = defaultdict(list)
    with Segmenter(arguments.model, conf=0.001, max_det=1000) as segmenter:
        labelled = labelled_images(images, limit=arguments.limit, problems=Problems())
        for number, (image, truth) in enumerate(labelled):
            for name, iou in (*_boxes(segmenter, image, truth, number), *_points(segmenter, image, truth, number)):
                ious[name].append(iou)
    means = {name: round(float(np.mean(values)), 4) for name, values in ious.items()}
    for name, mean in means.items():
        print(f"{name:38} {mean:.3f}  ({len(ious[name])} objects)")
    report({"source": arguments.source, "mean_iou": means}, arguments.json)


def _boxes(segmenter: Segmenter, image: ImageArray, truth: ImageTruth, number: int) -> Ious:
    """Yield the IoU of the masks of boxes, by the name of the variant."""
    masks = [truth.masks[row] for row in truth.objects]
    exact = torch.tensor([box_prompt(truth, row).box for row in truth.objects], dtype=torch.float32).reshape(-1, 4)
    sizes = (exact[:, 2:] - exact[:, :2]).repeat(1, 2)
    noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(number)) * SIDE_ERROR
    careless = exact + sizes * (noise + OUTWARDS * torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    for name, boxes in (("box", exact), ("careless box", careless)):
        clipped = clip_boxes(boxes, (image.shape[0], image.shape[1]))
        is_real = has_extent(clipped)
        corrected = _corrected(segmenter, image, clipped[is_real])
        fitted = fit_to_boxes(corrected, torch.ones(len(corrected), dtype=torch.bool))
        wanted = [mask for mask, real in zip(masks, is_real.tolist(), strict=True) if real]
        for kind, instances in (("corrected", corrected), ("fitted", fitted)):
            for mask, of in zip(instance_masks(instances), wanted, strict=True):
                yield f"{name}, {kind}", mask_iou(mask, of)


def _corrected(segmenter: Segmenter, image: ImageArray, boxes: Tensor) -> Instances:
    """Return the best candidate of each box (N, 4) with this box, corrected by the refiner."""
    refiner = segmenter.engine.refiner
    if refiner is None:
        raise SystemExit("the weights have no refiner, and without one no mask is fitted to its box")
    place = letterbox((image.shape[0], image.shape[1]), segmenter.imgsz)
    batch = letterbox_images([image], [place])
    raw = segmenter.engine.run(batch)
    scores = torch.from_numpy(raw.scores[0])
    every = clip_boxes(boxes_in_image(torch.from_numpy(raw.boxes[0]), place), place.image_size)
    anchors, _ = best_fit(boxes, every, scores, 0.0)
    prototypes = torch.from_numpy(raw.prototypes[0]).float()
    coefficients = torch.from_numpy(raw.mask_coefficients[0]).float()[anchors]
    found = Instances(
        boxes=boxes,
        scores=scores[anchors],
        mask_logits=torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:]),
        grid_to_image=place.to_image(PROTOTYPE_STRIDE),
        image_size=place.image_size,
    )
    return refiner.refine(found, prototypes, image, place, batch[0])[0]


def _points(segmenter: Segmenter, image: ImageArray, truth: ImageTruth, number: int) -> Ious:
    """Yield the IoU of the masks that points select, by the name of the variant."""
    instances = segmenter(image)
    instances = instances[instances.scores > MIN_POINT_SCORE]
    every = instance_masks(instances)
    prompts: dict[str, list[Prompt]] = defaultdict(list)
    for row in truth.objects:
        mask, generator = truth.masks[row], np.random.default_rng((number, row))
        points = points_in(mask, 3, generator)
        best = [mask_iou(one, mask) for one in every if any(_contains(one, point) for point in points)]
        yield "best mask with one of three points", max(best, default=0.0)
        for name, given in (
            ("innermost point", points[:1]),
            ("innermost and two random points", points),
            ("three points near the middle", _near(mask, generator)),
        ):
            prompts[name].append(PointPrompt("click", tuple(given), (1,) * len(given)))
    for name, clicks in prompts.items():
        for row, selected in zip(truth.objects, selected_masks(instances, clicks), strict=True):
            yield name, 0.0 if selected is None else mask_iou(selected, truth.masks[row])


def _near(mask: CropMask, generator: np.random.Generator) -> Sequence[tuple[float, float]]:
    """Return points far from the outline of a mask, drawn with replacement."""
    distances = cv2.distanceTransform(np.pad(mask.crop, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rows, columns = np.nonzero(distances[1:-1, 1:-1] >= NEAR_SHARE * distances.max())
    drawn = generator.choice(len(rows), NUM_NEAR)
    return [(float(mask.x + columns[one]) + 0.5, float(mask.y + rows[one]) + 0.5) for one in drawn]


def _contains(mask: CropMask, point: tuple[float, float]) -> bool:
    column, row = int(point[0]) - mask.x, int(point[1]) - mask.y
    height, width = mask.crop.shape
    return 0 <= row < height and 0 <= column < width and bool(mask.crop[row, column])


if __name__ == "__main__":
    main()
