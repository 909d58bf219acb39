"""Write the golden files of this folder by running the reference package of this environment: see README.md."""

from __future__ import annotations

import copy
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
# The prompt class imports the text encoder's package in its constructor. No text is prompted here.
sys.modules["clip"] = types.ModuleType("clip")

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402

# torchvision's compiled operators require the build of torch that it was compiled for. With another build it can only
# be imported if the operators are defined first; `greedy_nms` replaces the one that the older releases call.
operators = torch.library.Library("torchvision", "DEF")
operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import prompt_results  # noqa: E402
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
    """Suppress boxes as torchvision documents its operator: by descending score, an IoU above the threshold removes."""
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


def mask_goldens() -> Arrays:
    """Return masks of the scripted scenes, at the size of the image and of the input."""
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
    """Return the reference's detections float (K, 7): xyxy, score, class, row. From boxes (N, 4) xyxy, scores (N,)."""
    centres, extents = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    # Values after the scores are returned with each detection; here the row.
    rows = torch.arange(len(boxes), dtype=torch.float32)[:, None]
    prediction = torch.cat([centres, extents, scores[:, None], rows], dim=1).T[None]
    return suppressed(prediction, setting)[0]


def suppressed(prediction: torch.Tensor, setting: scripted.NmsSetting) -> list[torch.Tensor]:
    """Return the reference's non_max_suppression of predictions (B, 5 + extra, A)."""
    conf, iou, max_det = setting
    detections: list[torch.Tensor] = non_max_suppression(prediction, conf, iou, max_det=max_det, nc=1, max_time_img=60)
    return detections


def detection_goldens() -> Arrays:
    arrays: Arrays = {}
    for name, (boxes, scores) in scripted.candidates().items():
        for setting_name, setting in scripted.NMS_SETTINGS.items():
            detections = kept(torch.from_numpy(boxes), torch.from_numpy(scores), setting)
            rows = detections[:, 6].numpy().astype(np.int64)
            if not (np.array_equal(detections[:, :4], boxes[rows]) and np.array_equal(detections[:, 4], scores[rows])):
                raise RuntimeError(f"{name}: the reference changed boxes or scores")
            arrays[f"{name}/{setting_name}"] = rows
    return arrays


def letterbox_goldens() -> Arrays:
    arrays: Arrays = {}
    for name, (size, imgsz) in scripted.LETTERBOXES.items():
        image = scripted.letterbox_image(size)
        limit = -(-imgsz // 32) * 32  # the predictor rounds the size up first
        for shape in ("auto", "square"):
            key = f"{name}/{shape}"
            try:
                letterboxed = LetterBox((limit, limit), auto=shape == "auto", stride=32)(image=image)
            except Exception as error:
                arrays[f"{key}/raises"] = np.array(type(error).__name__)
                continue
            arrays[f"{key}/sha256"] = np.array(hashlib.sha256(letterboxed.tobytes()).hexdigest())
            arrays[f"{key}/size"] = np.array(letterboxed.shape[:2])
            arrays[f"{key}/sample"] = letterboxed.reshape(-1)[:: scripted.SAMPLE_STEP]
    return arrays


def reference_network(run: scripted.NetworkRun) -> Any:
    """Return the reference's network of the run's size, with the seeded weights."""
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


def forward(network: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return decoded predictions (B, 37, A), boxes as centre and extent, and prototypes (B, 32, H / 4, W / 4)."""
    decoded, rest = network(images)
    return decoded if isinstance(decoded, tuple) else (decoded, rest[-1])


def corners(decoded: torch.Tensor) -> torch.Tensor:
    """Return boxes float64 (B, 4, A) xyxy."""
    centres, extents = decoded[:, :2].double(), decoded[:, 2:4].double()
    return torch.cat([centres - extents / 2, centres + extents / 2], dim=1)


def native_of(name: str, objects: torch.Tensor, prototypes: torch.Tensor) -> Arrays:
    """Return masks of objects (K, 6 + 32 + 1) in an image that was downscaled to the input without padding."""
    input_size = scripted.NETWORK_RUNS[name].input_size
    size = (input_size[0] * scripted.NETWORK_IMAGE_SCALE, input_size[1] * scripted.NETWORK_IMAGE_SCALE)
    boxes = ops.scale_boxes(input_size, objects[:, :4].clone(), (*size, 3))
    masks = ops.process_mask_native(prototypes, objects[:, 6:38], boxes, size)
    return {f"{name}/native": np.packbits(masks.numpy().astype(np.bool_))}


def network_goldens() -> Arrays:
    arrays: Arrays = {}
    names = ["s_square", "s_wide", "x_square"] if IS_OFFICIAL else ["s_identity", "s_wide", "x_square"]
    for name in names:
        run = scripted.NETWORK_RUNS[name]
        batch = seeded_weights.input_images(run.input_size, run.num_images)
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous().float() / 255
        network = reference_network(run)
        decoded, prototypes = forward(network, images)
        boxes = corners(decoded)
        exact_images = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous().double() / 255
        exact_boxes = corners(forward(copy.deepcopy(network).double(), exact_images)[0])
        folded, folded_prototypes = forward(network.fuse(verbose=False), images)
        own = [corners(folded) - boxes, folded[:, 4] - decoded[:, 4], folded[:, 5:] - decoded[:, 5:]]
        anchors = scripted.sampled(decoded.shape[2], f"{name} anchors")
        cells = scripted.sampled(prototypes[0, 0].numel(), f"{name} cells")
        arrays |= {
            f"{name}/anchors": anchors,
            f"{name}/boxes": boxes[:, :, anchors].mT.float().numpy(),
            f"{name}/exact_boxes": exact_boxes[:, :, anchors].mT.float().numpy(),
            f"{name}/own": np.array([float(part.abs().max()) for part in [*own, folded_prototypes - prototypes]]),
            f"{name}/scores": decoded[:, 4, anchors].numpy(),
            f"{name}/coefficients": decoded[:, 5:, anchors].mT.numpy(),
            f"{name}/cells": cells,
            f"{name}/prototypes": prototypes.flatten(2)[:, :, cells].numpy(),
            f"{name}/means": torch.cat([boxes, decoded[:, 4:].double()], dim=1).mean(dim=2).numpy(),
            f"{name}/prototype_means": prototypes.double().mean(dim=(2, 3)).numpy(),
        }
        rows = torch.arange(decoded.shape[2], dtype=torch.float32).expand(len(decoded), 1, -1)
        for setting_name, setting in scripted.NMS_SETTINGS.items():
            for index, objects in enumerate(suppressed(torch.cat([decoded, rows], dim=1), setting)):
                arrays |= {
                    f"{name}/{setting_name}/{index}/anchors": objects[:, -1].numpy().astype(np.int64),
                    f"{name}/{setting_name}/{index}/boxes": objects[:, :4].numpy(),
                    f"{name}/{setting_name}/{index}/scores": objects[:, 4].numpy(),
                }
                if (setting_name, index) == ("official_script", 0):
                    arrays |= native_of(name, objects[: scripted.NUM_NETWORK_MASKS], prototypes[0])
                print(f"{name}, {setting_name}, image {index}: {len(objects)} objects")
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
        write("prompts", prompt_results.of_the_prompt_class())
    elif not IS_OFFICIAL:
        write("prompts", prompt_results.of_the_predictor())


if __name__ == "__main__":
    main()
