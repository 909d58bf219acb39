"""Results of the reference packages for scripted prompts. Imported by generate.py, in their environments."""

from __future__ import annotations

import tempfile
import types
from typing import Any

import numpy as np
import numpy.typing as npt
import scripted
import torch

Arrays = dict[str, npt.NDArray[Any]]


def results_of(masks: npt.NDArray[np.bool_], image_size: tuple[int, int], kind: torch.dtype = torch.float32) -> Any:
    """Return the reference's own result object for masks (K, H, W); the score encodes the row."""
    from ultralytics.engine.results import Results

    boxes = torch.zeros((len(masks), 6))
    boxes[:, 2:4] = 1
    boxes[:, 4] = 1 - torch.arange(len(masks)) / 100
    image = np.full((*image_size, 3), 255, dtype=np.uint8)
    return Results(image, path="image.png", names={0: "object"}, boxes=boxes, masks=torch.tensor(masks).to(kind))


def rows_of(results: Any) -> npt.NDArray[np.int64]:
    return np.round((1 - results[0].boxes.conf.numpy()) * 100).astype(np.int64)


def painted(masks: npt.NDArray[np.bool_], points: list[list[int]], labels: list[int]) -> npt.NDArray[np.bool_]:
    """Return the official repository's merged canvas, computed from its description; see README.md."""
    canvas = np.zeros(masks.shape[1:], dtype=np.bool_)
    for row in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        for (x, y), label in zip(points, labels, strict=True):
            if masks[row, y, x]:
                canvas[masks[row]] = label == 1
    return canvas


def of_the_prompt_class() -> Arrays:
    """Return results of FastSAMPrompt and of the predictor's full-image rule, release 8.2.60."""
    from matplotlib import pyplot
    from ultralytics.models.fastsam import FastSAMPredictor, FastSAMPrompt

    masks = scripted.prompt_masks()
    arrays: Arrays = {"masks": masks}
    for name, (points, labels) in scripted.POINT_CASES.items():
        selected = FastSAMPrompt("image.png", [results_of(masks, scripted.PROMPT_SIZE)]).point_prompt(points, labels)
        arrays |= {
            f"points/{name}/points": np.array(points),
            f"points/{name}/labels": np.array(labels),
            f"points/{name}/official": painted(masks, points, labels),
            f"points/{name}/wheel": selected[0].masks.data[0].numpy().astype(np.bool_),
        }

    def box_row(box: tuple[float, ...], size: tuple[int, int]) -> int:
        selected = FastSAMPrompt("image.png", [results_of(masks, size)]).box_prompt(list(box))[0].masks.data[0].numpy()
        return int((masks == selected.astype(np.bool_)).all(axis=(1, 2)).argmax())

    arrays["boxes/names"] = np.array(list(scripted.BOXES))
    arrays["boxes/boxes"] = np.array(list(scripted.BOXES.values()))
    arrays["boxes/rows"] = np.array([box_row(box, scripted.PROMPT_SIZE) for box in scripted.BOXES.values()])

    size, points, box = (120, 161), [[125, 41], [24, 95]], (109.0, 25.0, 142.0, 58.0)
    selected = FastSAMPrompt("image.png", [results_of(masks, size)]).point_prompt(points, [1, 1])
    arrays |= {
        "scaled/size": np.array(size),
        "scaled/points": np.array(points),
        "scaled/canvas": selected[0].masks.data[0].numpy().astype(np.bool_),
        "scaled/box": np.array(box),
        "scaled/row": np.array(box_row(box, size)),
    }

    shown: list[npt.NDArray[Any]] = []

    class Axes:
        """Records the image instead of showing it."""

        def imshow(self, image: npt.NDArray[Any]) -> None:
            shown.append(np.asarray(image))

    class Recording(FastSAMPrompt):  # type: ignore[misc]
        """Records the masks instead of showing them."""

        def fast_show_mask(self, annotation: npt.NDArray[Any], *_: Any, **__: Any) -> None:
            shown.append(np.array(annotation))

    before = scripted.quality_masks()
    imshow = pyplot.imshow
    with tempfile.TemporaryDirectory() as folder:
        pyplot.imshow = Axes().imshow  # type: ignore[assignment]
        results = [results_of(before, scripted.QUALITY_SIZE)]
        Recording("image.png", results, device="cpu").plot(results, folder, retina=True)
        pyplot.imshow = imshow
    _, after, contours = shown
    arrays |= {
        "quality/before": before,
        "quality/after": after.astype(np.bool_),
        "quality/contours": contours[..., 3] > 0,
    }

    shown.clear()
    # Each mask has its own value, which the image then shows as its transparency.
    values = (np.arange(len(masks)) + 1)[:, None, None] / 100
    FastSAMPrompt.fast_show_mask(masks * values, Axes(), random_color=False)
    rows = np.round(shown[0][..., 3] / 0.6 * 100).astype(np.int64) - 1
    plain: list[npt.NDArray[Any]] = shown.copy()
    shown.clear()
    FastSAMPrompt.fast_show_mask(masks.astype(np.float64), Axes(), random_color=False)
    assert ((shown[0][..., 3] > 0) == (plain[0][..., 3] > 0)).all()
    arrays |= {"plot/masks": masks, "plot/rows": rows}
    return arrays | full_image_rule(FastSAMPredictor, raw_alone=True)


def of_the_predictor() -> Arrays:
    """Return results of FastSAMPredictor.prompt and of its full-image rule, release 8.4.190."""
    from ultralytics.models.fastsam import FastSAMPredictor

    predictor = FastSAMPredictor(overrides={"save": False, "verbose": False})
    predictor.device = torch.device("cpu")
    masks = scripted.prompt_masks()
    arrays: Arrays = {"masks": masks}
    for name, (points, labels) in scripted.POINT_CASES.items():
        selected = predictor.prompt(results_of(masks, scripted.PROMPT_SIZE, torch.uint8), points=points, labels=labels)
        arrays |= {
            f"points/{name}/points": np.array(points),
            f"points/{name}/labels": np.array(labels),
            f"points/{name}/rows": rows_of(selected),
        }
    arrays["boxes/names"] = np.array(list(scripted.BOXES))
    arrays["boxes/boxes"] = np.array(list(scripted.BOXES.values()))
    arrays["boxes/rows"] = np.concatenate(
        [
            rows_of(predictor.prompt(results_of(masks, scripted.PROMPT_SIZE, torch.uint8), bboxes=box))
            for box in scripted.BOXES.values()
        ]
    )
    return arrays | full_image_rule(FastSAMPredictor, raw_alone=False)


def full_image_rule(predictor_class: Any, *, raw_alone: bool) -> Arrays:
    """Return the scripted boxes after the predictor's postprocess; no box overlaps another enough to be suppressed."""
    height, width = scripted.FULL_IMAGE_SIZE
    arrays: Arrays = {"full_image/size": np.array(scripted.FULL_IMAGE_SIZE)}
    for name, boxes in scripted.FULL_IMAGE_CASES.items():
        predictor = predictor_class(overrides={"save": False, "verbose": False, "retina_masks": True, "iou": 1.0})
        predictor.device = torch.device("cpu")
        predictor.model = types.SimpleNamespace(names={0: "object"}, end2end=False)
        predictor.batch = (["image.png"], None, None)
        sides = torch.tensor(boxes, dtype=torch.float32)
        scores = 0.9 - 0.1 * torch.arange(len(boxes))
        raw = torch.zeros((1, 37, len(boxes)))
        raw[0, :2], raw[0, 2:4] = ((sides[:, :2] + sides[:, 2:]) / 2).T, (sides[:, 2:] - sides[:, :2]).T
        raw[0, 4], raw[0, 5] = scores, 1.0
        prototypes = torch.ones((1, 32, height // 4, width // 4))
        image = np.zeros((height, width, 3), dtype=np.uint8)
        arrays[f"full_image/{name}/before"] = sides.numpy()
        try:
            processed = predictor.postprocess(
                (raw, prototypes) if raw_alone else ((raw, prototypes),),
                torch.zeros(1, 3, height, width),
                [image],
            )
        except RuntimeError as error:
            arrays[f"full_image/{name}/raises"] = np.array(str(error))
            continue
        arrays[f"full_image/{name}/after"] = processed[0].boxes.xyxy.numpy()
        arrays[f"full_image/{name}/scores"] = processed[0].boxes.conf.numpy()
    return arrays
