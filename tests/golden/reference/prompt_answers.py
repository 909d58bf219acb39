"""What the reference packages answer to scripted prompts. Imported by generate.py, in their environments."""

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
    """The reference's own result object about masks (K, H, W); the score tells which row is which."""
    from ultralytics.engine.results import Results

    boxes = torch.zeros((len(masks), 6))
    boxes[:, 2:4] = 1
    boxes[:, 4] = 1 - torch.arange(len(masks)) / 100
    picture = np.full((*image_size, 3), 255, dtype=np.uint8)
    return Results(picture, path="picture.png", names={0: "object"}, boxes=boxes, masks=torch.tensor(masks).to(kind))


def rows_of(results: Any) -> npt.NDArray[np.int64]:
    return np.round((1 - results[0].boxes.conf.numpy()) * 100).astype(np.int64)


def painted(masks: npt.NDArray[np.bool_], points: list[list[int]], labels: list[int]) -> npt.NDArray[np.bool_]:
    """The official repository's merged canvas, from its description; see the file's docstring."""
    canvas = np.zeros(masks.shape[1:], dtype=np.bool_)
    for row in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        for (x, y), label in zip(points, labels, strict=True):
            if masks[row, y, x]:
                canvas[masks[row]] = label == 1
    return canvas


def of_the_prompt_class() -> Arrays:
    """FastSAMPrompt and the predictor's full-image rule, release 8.2.60."""
    from matplotlib import pyplot
    from ultralytics.models.fastsam import FastSAMPredictor, FastSAMPrompt

    masks = scripted.prompt_masks()
    arrays: Arrays = {"masks": masks}
    for name, (points, labels) in scripted.POINT_CASES.items():
        answer = FastSAMPrompt("picture.png", [results_of(masks, scripted.PROMPT_SIZE)]).point_prompt(points, labels)
        arrays |= {
            f"points/{name}/points": np.array(points),
            f"points/{name}/labels": np.array(labels),
            f"points/{name}/official": painted(masks, points, labels),
            f"points/{name}/wheel": answer[0].masks.data[0].numpy().astype(np.bool_),
        }

    def box_row(box: tuple[float, ...], size: tuple[int, int]) -> int:
        chosen = FastSAMPrompt("picture.png", [results_of(masks, size)]).box_prompt(list(box))[0].masks.data[0].numpy()
        return int((masks == chosen.astype(np.bool_)).all(axis=(1, 2)).argmax())

    arrays["boxes/names"] = np.array(list(scripted.BOXES))
    arrays["boxes/boxes"] = np.array(list(scripted.BOXES.values()))
    arrays["boxes/rows"] = np.array([box_row(box, scripted.PROMPT_SIZE) for box in scripted.BOXES.values()])

    size, points, box = (120, 161), [[125, 41], [24, 95]], (109.0, 25.0, 142.0, 58.0)
    answer = FastSAMPrompt("picture.png", [results_of(masks, size)]).point_prompt(points, [1, 1])
    arrays |= {
        "scaled/size": np.array(size),
        "scaled/points": np.array(points),
        "scaled/canvas": answer[0].masks.data[0].numpy().astype(np.bool_),
        "scaled/box": np.array(box),
        "scaled/row": np.array(box_row(box, size)),
    }

    seen: list[npt.NDArray[Any]] = []

    class Axes:
        """Keeps what would be shown."""

        def imshow(self, picture: npt.NDArray[Any]) -> None:
            seen.append(np.asarray(picture))

    class Recording(FastSAMPrompt):  # type: ignore[misc]
        """Keeps the masks that would be shown."""

        def fast_show_mask(self, annotation: npt.NDArray[Any], *_: Any, **__: Any) -> None:
            seen.append(np.array(annotation))

    before = scripted.quality_masks()
    shown = pyplot.imshow
    with tempfile.TemporaryDirectory() as folder:
        pyplot.imshow = Axes().imshow  # type: ignore[assignment]
        results = [results_of(before, scripted.QUALITY_SIZE)]
        Recording("picture.png", results, device="cpu").plot(results, folder, retina=True)
        pyplot.imshow = shown
    _, after, contours = seen
    arrays |= {
        "quality/before": before,
        "quality/after": after.astype(np.bool_),
        "quality/contours": contours[..., 3] > 0,
    }

    seen.clear()
    # Each mask holds a value of its own, which the picture then shows as its transparency.
    values = (np.arange(len(masks)) + 1)[:, None, None] / 100
    FastSAMPrompt.fast_show_mask(masks * values, Axes(), random_color=False)
    rows = np.round(seen[0][..., 3] / 0.6 * 100).astype(np.int64) - 1
    plain: list[npt.NDArray[Any]] = seen.copy()
    seen.clear()
    FastSAMPrompt.fast_show_mask(masks.astype(np.float64), Axes(), random_color=False)
    assert ((seen[0][..., 3] > 0) == (plain[0][..., 3] > 0)).all()
    arrays |= {"plot/masks": masks, "plot/rows": rows}
    return arrays | full_image_rule(FastSAMPredictor, raw_alone=True)


def of_the_predictor() -> Arrays:
    """FastSAMPredictor.prompt and its full-image rule, release 8.4.190."""
    from ultralytics.models.fastsam import FastSAMPredictor

    predictor = FastSAMPredictor(overrides={"save": False, "verbose": False})
    predictor.device = torch.device("cpu")
    masks = scripted.prompt_masks()
    arrays: Arrays = {"masks": masks}
    for name, (points, labels) in scripted.POINT_CASES.items():
        chosen = predictor.prompt(results_of(masks, scripted.PROMPT_SIZE, torch.uint8), points=points, labels=labels)
        arrays |= {
            f"points/{name}/points": np.array(points),
            f"points/{name}/labels": np.array(labels),
            f"points/{name}/rows": rows_of(chosen),
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
    """What the predictor's postprocess leaves of scripted boxes; no box overlaps another enough to be suppressed."""
    height, width = scripted.FULL_IMAGE_SIZE
    arrays: Arrays = {"full_image/size": np.array(scripted.FULL_IMAGE_SIZE)}
    for name, boxes in scripted.FULL_IMAGE_CASES.items():
        predictor = predictor_class(overrides={"save": False, "verbose": False, "retina_masks": True, "iou": 1.0})
        predictor.device = torch.device("cpu")
        predictor.model = types.SimpleNamespace(names={0: "object"}, end2end=False)
        predictor.batch = (["picture.png"], None, None)
        sides = torch.tensor(boxes, dtype=torch.float32)
        scores = 0.9 - 0.1 * torch.arange(len(boxes))
        raw = torch.zeros((1, 37, len(boxes)))
        raw[0, :2], raw[0, 2:4] = ((sides[:, :2] + sides[:, 2:]) / 2).T, (sides[:, 2:] - sides[:, :2]).T
        raw[0, 4], raw[0, 5] = scores, 1.0
        prototypes = torch.ones((1, 32, height // 4, width // 4))
        picture = np.zeros((height, width, 3), dtype=np.uint8)
        arrays[f"full_image/{name}/before"] = sides.numpy()
        try:
            answer = predictor.postprocess(
                (raw, prototypes) if raw_alone else ((raw, prototypes),),
                torch.zeros(1, 3, height, width),
                [picture],
            )
        except RuntimeError as error:
            arrays[f"full_image/{name}/raises"] = np.array(str(error))
            continue
        arrays[f"full_image/{name}/after"] = answer[0].boxes.xyxy.numpy()
        arrays[f"full_image/{name}/scores"] = answer[0].boxes.conf.numpy()
    return arrays
