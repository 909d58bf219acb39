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

detections_<version>.npz: what is left of scripted candidates `scripted.candidates()`
    <set>/<setting>             int64 (K,): rows of the candidates in the order of the answer (non_max_suppression)

letterbox_<version>.npz: LetterBox on `scripted.letterbox_picture` of the sizes in `scripted.LETTERBOXES`
    <name>/<shape>/sha256       of the bytes (H, W, 3); <shape> is auto (padded modulo 32) or square
    <name>/<shape>/size         int64 (2,) (H, W)
    <name>/<shape>/sample       uint8, every `scripted.SAMPLE_STEP`-th byte
    <name>/<shape>/raises       instead, where the reference cannot do it

network_<version>.npz: forward passes `scripted.NETWORK_RUNS` with `seeded_weights`; 8.0.120 those with the activation
in SPPF, 8.4.190 the one without, and again s_wide with the activation put in
    <run>/anchors               int64 (N,) which anchors are kept of each picture
    <run>/boxes                 float32 (B, N, 4), input pixels; <run>/scores (B, N); <run>/coefficients (B, N, 32)
    <run>/cells                 int64 (M,) which cells of a prototype; <run>/prototypes float32 (B, 32, M)
    <run>/means                 float64 (B, 37): of boxes, scores, coefficients over all anchors
    <run>/prototype_means       float64 (B, 32)
    <run>/<setting>/<picture>/anchors, boxes, scores
                                what non_max_suppression leaves: int64 (K,), float32 (K, 4), (K,)
"""

from __future__ import annotations

import hashlib
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
import seeded_weights  # noqa: E402

VERSION = metadata.version("ultralytics")
IS_OFFICIAL = VERSION == "8.0.120"
HAS_PROMPT_CLASS = VERSION == "8.2.60"

if IS_OFFICIAL:
    from ultralytics.nn.modules import DFL, Conv
    from ultralytics.nn.tasks import SegmentationModel
    from ultralytics.yolo.data.augment import LetterBox
    from ultralytics.yolo.utils import ops
    from ultralytics.yolo.utils.ops import non_max_suppression
else:
    from ultralytics.data.augment import LetterBox
    from ultralytics.nn.modules import DFL, Conv
    from ultralytics.nn.tasks import SegmentationModel
    from ultralytics.utils import ops

    if HAS_PROMPT_CLASS:
        from ultralytics.utils.ops import non_max_suppression
    else:
        from ultralytics.utils.nms import non_max_suppression

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


def kept(boxes: torch.Tensor, scores: torch.Tensor, setting: scripted.NmsSetting) -> torch.Tensor:
    """Rows of what the reference leaves: float (K, 7): xyxy, score, class, row. From boxes (N, 4) xyxy, scores (N,)."""
    centres, extents = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    # Whatever follows the scores comes back with each detection: here the row.
    rows = torch.arange(len(boxes), dtype=torch.float32)[:, None]
    prediction = torch.cat([centres, extents, scores[:, None], rows], dim=1).T[None]
    return suppressed(prediction, setting)[0]


def suppressed(prediction: torch.Tensor, setting: scripted.NmsSetting) -> list[torch.Tensor]:
    """The reference's non_max_suppression of predictions (B, 5 + extra, A)."""
    conf, iou, max_det = setting
    answer: list[torch.Tensor] = non_max_suppression(prediction, conf, iou, max_det=max_det, nc=1, max_time_img=60)
    return answer


def detection_goldens() -> Arrays:
    arrays: Arrays = {}
    for name, (boxes, scores) in scripted.candidates().items():
        for setting_name, setting in scripted.NMS_SETTINGS.items():
            answer = kept(torch.from_numpy(boxes), torch.from_numpy(scores), setting)
            rows = answer[:, 6].numpy().astype(np.int64)
            if not (np.array_equal(answer[:, :4], boxes[rows]) and np.array_equal(answer[:, 4], scores[rows])):
                raise RuntimeError(f"{name}: the reference changed boxes or scores")
            arrays[f"{name}/{setting_name}"] = rows
    return arrays


def letterbox_goldens() -> Arrays:
    arrays: Arrays = {}
    for name, (size, imgsz) in scripted.LETTERBOXES.items():
        picture = scripted.letterbox_picture(size)
        limit = -(-imgsz // 32) * 32  # the predictor rounds the size up before
        for shape in ("auto", "square"):
            key = f"{name}/{shape}"
            try:
                answer = LetterBox((limit, limit), auto=shape == "auto", stride=32)(image=picture)
            except Exception as error:
                arrays[f"{key}/raises"] = np.array(type(error).__name__)
                continue
            arrays[f"{key}/sha256"] = np.array(hashlib.sha256(answer.tobytes()).hexdigest())
            arrays[f"{key}/size"] = np.array(answer.shape[:2])
            arrays[f"{key}/sample"] = answer.reshape(-1)[:: scripted.SAMPLE_STEP]
    return arrays


def reference_network(run: scripted.NetworkRun) -> Any:
    """The reference's network of the run's size, with the seeded weights."""
    network = SegmentationModel(f"yolov8{run.size}-seg.yaml", nc=1, verbose=False).eval()
    head = network.model[22]
    if run.reg_max != head.reg_max:
        channels = [branch[0].conv.in_channels for branch in head.cv2]
        width = max(16, channels[0] // 4, 4 * run.reg_max)
        head.reg_max, head.no = run.reg_max, head.nc + 4 * run.reg_max
        head.dfl = DFL(run.reg_max)
        head.cv2 = torch.nn.ModuleList(
            torch.nn.Sequential(Conv(c, width, 3), Conv(width, width, 3), torch.nn.Conv2d(width, 4 * run.reg_max, 1))
            for c in channels
        )
        for module in head.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = network.model[0].bn.eps
        network.eval()
    activation = {"silu": torch.nn.SiLU, "identity": torch.nn.Identity}[run.sppf]
    network.model[9].cv1.act = activation()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    weights = seeded_weights.seeded_weights(shapes, run.size)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return network


def network_goldens() -> Arrays:
    arrays: Arrays = {}
    names = ["s_square", "s_wide", "x_square"] if IS_OFFICIAL else ["s_identity", "s_wide"]
    for name in names:
        run = scripted.NETWORK_RUNS[name]
        pictures = seeded_weights.pictures(run.input_size, run.num_pictures)
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255
        decoded, rest = reference_network(run)(images)
        if isinstance(decoded, tuple):
            decoded, prototypes = decoded
        else:
            prototypes = rest[-1]
        centres, extents = decoded[:, :2].double(), decoded[:, 2:4].double()
        boxes = torch.cat([centres - extents / 2, centres + extents / 2], dim=1)
        anchors = scripted.sampled(decoded.shape[2], f"{name} anchors")
        cells = scripted.sampled(prototypes[0, 0].numel(), f"{name} cells")
        arrays |= {
            f"{name}/anchors": anchors,
            f"{name}/boxes": boxes[:, :, anchors].mT.float().numpy(),
            f"{name}/scores": decoded[:, 4, anchors].numpy(),
            f"{name}/coefficients": decoded[:, 5:, anchors].mT.numpy(),
            f"{name}/cells": cells,
            f"{name}/prototypes": prototypes.flatten(2)[:, :, cells].numpy(),
            f"{name}/means": torch.cat([boxes, decoded[:, 4:].double()], dim=1).mean(dim=2).numpy(),
            f"{name}/prototype_means": prototypes.double().mean(dim=(2, 3)).numpy(),
        }
        rows = torch.arange(decoded.shape[2], dtype=torch.float32).expand(len(decoded), 1, -1)
        for setting_name, setting in scripted.NMS_SETTINGS.items():
            for index, answer in enumerate(suppressed(torch.cat([decoded, rows], dim=1), setting)):
                arrays |= {
                    f"{name}/{setting_name}/{index}/anchors": answer[:, -1].numpy().astype(np.int64),
                    f"{name}/{setting_name}/{index}/boxes": answer[:, :4].numpy(),
                    f"{name}/{setting_name}/{index}/scores": answer[:, 4].numpy(),
                }
                print(f"{name}, {setting_name}, picture {index}: {len(answer)} objects")
    return arrays


def write(quantity: str, arrays: Arrays) -> None:
    path = FOLDER / f"{quantity}_{VERSION}.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1024:.1f} KiB")


def main() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    write("masks", mask_goldens())
    write("detections", detection_goldens())
    if not HAS_PROMPT_CLASS:
        write("letterbox", letterbox_goldens())
        write("network", network_goldens())
    if HAS_PROMPT_CLASS:
        write("prompts", prompts_of_the_prompt_class())
    elif not IS_OFFICIAL:
        write("prompts", prompts_of_the_predictor())


if __name__ == "__main__":
    main()
