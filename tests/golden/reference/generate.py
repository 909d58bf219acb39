"""Writes the golden files of this folder by running the reference packages on scripted inputs.

The reference is ultralytics (AGPL-3.0). It is run here and nowhere else, in environments of its own, and nothing of it
is kept but numbers. Three versions answer, each in its own environment (Python 3.11, CPU):

    python3 -m venv ref_8.0.120 && . ref_8.0.120/bin/activate
    pip install torch==2.13.0 torchvision==0.28.0 "numpy<2" opencv-python-headless==4.11.0.86 "setuptools<81" \
        matplotlib pyyaml requests scipy tqdm pandas seaborn psutil pillow py-cpuinfo
    pip install --no-deps ultralytics==8.0.120            # what the official FastSAM repository carries within it

    the same with ultralytics==8.2.60                     # the last releases with FastSAMPrompt
    pip install torch==2.13.0 torchvision==0.28.0 ultralytics==8.4.190 numpy==2.4.6 opencv-python==5.0.0.93

and then in each of them, from anywhere:

    python tests/golden/reference/generate.py

A run writes the files whose names end in its version; inputs come from `scripted.py` and `seeded_weights.py`, which
the tests use as well. The keys, per file (sizes are (H, W), boxes xyxy, masks bool unless packed):

prompts_8.2.60.npz, prompts_8.4.190.npz: answers to prompts about `masks` (9, 60, 80)
    masks                       what the prompts are asked about
    points/<case>/points        int64 (P, 2) xy; points/<case>/labels int64 (P,), 1 foreground, 0 background
    points/<case>/official      (60, 80), 8.2.60 file only: the official repository's merged canvas: masks by
                                descending area (equal areas in their order), each point in turn, label 1 paints
                                the mask and label 0 erases it. No package of the index carries this rule, which
                                replaced the next one in the official repository: it is computed here from its
                                description.
    points/<case>/wheel         (60, 80), 8.2.60 file only: FastSAMPrompt.point_prompt as run: masks in their order
                                are added for label 1 and subtracted for label 0; inside where the sum is 1 or more.
    points/<case>/rows          int64 (N,), 8.4.190 file only: FastSAMPredictor.prompt as run, the rows it selects.
    boxes/names                 names of the boxes; boxes/boxes float64 (P, 4)
    boxes/rows                  int64 (P,): the one row that answers each box alone. 8.2.60: box_prompt, which rounds
                                the sides (half to even) and clips them; 8.4.190: prompt, which cuts them to integers.
    scaled/points, scaled/size, scaled/canvas, scaled/box, scaled/row
                                8.2.60 file only: point_prompt and box_prompt where the picture has `size` (120, 161)
                                and the masks have not: coordinates are scaled and cut to integers.
    quality/before, quality/after   (6, 64, 96), 8.2.60 file only: what plot(better_quality=True) shows
    quality/contours            (64, 96), 8.2.60 file only: where plot(with_contours=True) draws on them
    plot/masks (9, 60, 80), plot/rows int64 (60, 80): which mask's colour is seen in each pixel, -1 none; 8.2.60 only
    full_image/<case>/before    float32 (K, 4) boxes after suppression in an input of full_image/size
    full_image/<case>/after     float32 (K, 4) what the predictor makes of them, scores full_image/<case>/scores.
                                In 8.2.60 the case two_fill_it raises, and has full_image/<case>/raises instead.

masks_<version>.npz: masks of every scene of `scripted.MASK_SCENES`
    <scene>/boxes               float32 (K, 4): scripted boxes in the picture's pixels, by the reference's scale_boxes
    <scene>/native              uint8, bits of (K, H, W) at the picture's size: process_mask_native (retina)
    <scene>/plain               uint8, bits of (K, H', W') at the input's size: process_mask(upsample=True)
"""

from __future__ import annotations

import os
import sys
import tempfile
import types
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp()
os.environ["MPLBACKEND"] = "Agg"
os.environ["YOLO_OFFLINE"] = "true"
# The prompter asks for the text encoder's package when it is made. No text is prompted here.
sys.modules["clip"] = types.ModuleType("clip")

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402

# torchvision's compiled operators need the build of torch that it was made for. Over another one it can only be
# imported if somebody has defined them; `greedy_nms` takes the place of the one that the older releases call.
operators = torch.library.Library("torchvision", "DEF")
operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import scripted  # noqa: E402

VERSION = metadata.version("ultralytics")
IS_OFFICIAL = VERSION == "8.0.120"
HAS_PROMPT_CLASS = VERSION == "8.2.60"

if IS_OFFICIAL:
    from ultralytics.yolo.utils import ops
else:
    from ultralytics.utils import ops

Arrays = dict[str, npt.NDArray[Any]]


def greedy_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """What torchvision documents of its operator: by descending score, IoU above the threshold removes."""
    order = scores.argsort(descending=True, stable=True).tolist()
    sides = boxes.numpy()
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    removed = np.zeros(len(sides), dtype=np.bool_)
    kept = []
    for row in order:
        if removed[row]:
            continue
        kept.append(row)
        low, high = np.maximum(sides[row, :2], sides[:, :2]), np.minimum(sides[row, 2:], sides[:, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        removed |= shared / (areas[row] + areas - shared) > np.float32(iou_threshold)
    return torch.tensor(kept, dtype=torch.int64)


if IS_OFFICIAL or HAS_PROMPT_CLASS:
    import torchvision

    torchvision.ops.nms = greedy_nms


def results_of(masks: npt.NDArray[np.bool_], image_size: tuple[int, int]) -> Any:
    """The reference's own result object about masks (K, H, W); the score tells which row is which."""
    from ultralytics.engine.results import Results

    boxes = torch.zeros((len(masks), 6))
    boxes[:, 2:4] = 1
    boxes[:, 4] = 1 - torch.arange(len(masks)) / 100
    picture = np.full((*image_size, 3), 255, dtype=np.uint8)
    kind = torch.float32 if HAS_PROMPT_CLASS else torch.uint8
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


def prompts_of_the_prompt_class() -> Arrays:
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
    return arrays | full_image_rule(FastSAMPredictor)


def prompts_of_the_predictor() -> Arrays:
    """FastSAMPredictor.prompt and its full-image rule, release 8.4.190."""
    from ultralytics.models.fastsam import FastSAMPredictor

    predictor = FastSAMPredictor(overrides={"save": False, "verbose": False})
    predictor.device = torch.device("cpu")
    masks = scripted.prompt_masks()
    arrays: Arrays = {"masks": masks}
    for name, (points, labels) in scripted.POINT_CASES.items():
        chosen = predictor.prompt(results_of(masks, scripted.PROMPT_SIZE), points=points, labels=labels)
        arrays |= {
            f"points/{name}/points": np.array(points),
            f"points/{name}/labels": np.array(labels),
            f"points/{name}/rows": rows_of(chosen),
        }
    arrays["boxes/names"] = np.array(list(scripted.BOXES))
    arrays["boxes/boxes"] = np.array(list(scripted.BOXES.values()))
    arrays["boxes/rows"] = np.concatenate(
        [
            rows_of(predictor.prompt(results_of(masks, scripted.PROMPT_SIZE), bboxes=box))
            for box in scripted.BOXES.values()
        ]
    )
    return arrays | full_image_rule(FastSAMPredictor)


def full_image_rule(predictor_class: Any) -> Arrays:
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
                (raw, prototypes) if HAS_PROMPT_CLASS else ((raw, prototypes),),
                torch.zeros(1, 3, height, width),
                [picture],
            )
        except RuntimeError as error:
            arrays[f"full_image/{name}/raises"] = np.array(str(error))
            continue
        arrays[f"full_image/{name}/after"] = answer[0].boxes.xyxy.numpy()
        arrays[f"full_image/{name}/scores"] = answer[0].boxes.conf.numpy()
    return arrays


def mask_goldens() -> Arrays:
    """Masks of the scripted scenes, at the picture's size and at the input's."""
    arrays: Arrays = {}
    for name in scripted.MASK_SCENES:
        scene = scripted.mask_scene(name)
        prototypes, coefficients = torch.from_numpy(scene.prototypes), torch.from_numpy(scene.coefficients)
        boxes = torch.from_numpy(scene.boxes)
        native_boxes = ops.scale_boxes(scene.input_size, boxes.clone(), (*scene.image_size, 3))
        native = ops.process_mask_native(prototypes, coefficients, native_boxes, scene.image_size)
        plain = ops.process_mask(prototypes, coefficients, boxes.clone(), scene.input_size, upsample=True)
        arrays |= {
            f"{name}/boxes": native_boxes.numpy(),
            f"{name}/native": np.packbits(native.numpy().astype(np.bool_)),
            f"{name}/plain": np.packbits(plain.numpy().astype(np.bool_)),
        }
    return arrays


def write(quantity: str, arrays: Arrays) -> None:
    path = FOLDER / f"{quantity}_{VERSION}.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1024:.1f} KiB")


def main() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    write("masks", mask_goldens())
    if HAS_PROMPT_CLASS:
        write("prompts", prompts_of_the_prompt_class())
    elif not IS_OFFICIAL:
        write("prompts", prompts_of_the_predictor())


if __name__ == "__main__":
    main()
