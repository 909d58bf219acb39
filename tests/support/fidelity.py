"""Differences between streamseg and the reference packages (`golden/reference`): networks, detections, letterboxes.

The tests check these figures against tolerances; `benchmarks/fidelity.py` prints them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from streamseg.geometry import letterbox, letterbox_into, nms
from streamseg.modeling.decoding import DecodedPredictions, anchors, decode
from streamseg.modeling.network import Network, fuse
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.state_dict import network_from_state_dict
from streamseg.modeling.yolov8 import YoloV8Config, YoloV8Network
from tests.golden.reference import scripted
from tests.golden.reference.seeded_weights import input_images, seeded_weights
from tests.support.paths import GOLDEN

FOLDER = GOLDEN / "reference"

OFFICIAL = "8.0.120"
"""The release bundled with the official FastSAM repository."""
LAST_WITH_PROMPTER = "8.2.60"
"""A release with FastSAMPrompt and with the masks of the official repository's last commits."""
PRESENT = "8.4.190"

VERSIONS = (OFFICIAL, LAST_WITH_PROMPTER, PRESENT)


@cache
def golden(quantity: str, version: str) -> Mapping[str, npt.NDArray[Any]]:
    """Load the arrays of one golden file."""
    with np.load(FOLDER / f"{quantity}_{version}.npz", allow_pickle=False) as file:
        return dict(file)


def seeded_network(run: scripted.NetworkRun) -> Network:
    """Build our network with the reference's weights, by tensor name."""
    config = YoloV8Config.of_size(run.size, reg_max=run.reg_max)  # type: ignore[arg-type]
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in YoloV8Network(config).state_dict().items()}
    weights = {name: torch.from_numpy(values) for name, values in seeded_weights(shapes, run.size).items()}
    return network_from_state_dict(weights, sppf_activation=run.sppf == "silu")


Arithmetic = Literal["float32", "folded", "float64"]
"""The network as loaded; with folded batch norms, as it runs; and in double precision."""


@contextmanager
def without_onednn() -> Iterator[None]:
    """Run convolutions in torch's own kernels. `torch.backends.mkldnn.flags` warns about Intel GPUs instead."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


@cache
@torch.inference_mode()
def predictions(name: str) -> dict[Arithmetic, DecodedPredictions]:
    """Compute our predictions for one of the golden runs.

    Without oneDNN, whose float32 kernels round differently on each generation of processors: with AVX2 alone, boxes of
    size x are 1.4e-4 cells from the reference's in float64, and 0.7e-4 without it.
    """
    run = scripted.NETWORK_RUNS[name]
    network = seeded_network(run)
    images = torch.from_numpy(input_images(run.input_size, run.num_images)).permute(0, 3, 1, 2).contiguous()
    with without_onednn():
        found: dict[Arithmetic, DecodedPredictions] = {"float32": decode(network(images.float() / 255))}
        found["folded"] = decode(fuse(network)(images.float() / 255))
        found["float64"] = decode(network.double()(images.double() / 255))
    return found


def network_differences(decoded: DecodedPredictions, name: str, version: str) -> dict[str, float]:
    """Return the largest differences from the reference: boxes in input pixels and in cells, the others absolute.

    A cell is the network's unit of boxes: 8, 16 or 32 pixels, depending on the anchor's level. `exact` refers to the
    reference's boxes in float64.
    """
    theirs = golden("network", version)
    anchors_kept, cells = theirs[f"{name}/anchors"], theirs[f"{name}/cells"]
    boxes, scores, coefficients, prototypes = (tensor.double().numpy() for tensor in decoded[:4])
    strides = anchors(decoded.prototypes).strides.numpy()[anchors_kept]  # (N, 1)
    means = np.concatenate([boxes.mean(axis=1), scores.mean(axis=1)[:, None], coefficients.mean(axis=1)], axis=1)
    ours = {
        "scores": scores[:, anchors_kept],
        "coefficients": coefficients[:, anchors_kept],
        "prototypes": prototypes.reshape(*prototypes.shape[:2], -1)[:, :, cells],
        "means": means,
        "prototype_means": prototypes.mean(axis=(2, 3)),
    }
    difference = np.abs(boxes[:, anchors_kept] - theirs[f"{name}/boxes"])
    exact = np.abs(boxes[:, anchors_kept] - theirs[f"{name}/exact_boxes"])
    return {
        "boxes_px": float(difference.max()),
        "exact_boxes_px": float(exact.max()),
        "exact_boxes_cells": float((exact / strides).max()),
        **{quantity: float(np.abs(values - theirs[f"{name}/{quantity}"]).max()) for quantity, values in ours.items()},
    }


def own_differences(name: str, version: str) -> dict[str, float]:
    """Return the reference's differences with and without folded batch norms: boxes in pixels, others absolute."""
    quantities = ("boxes_px", "scores", "coefficients", "prototypes")
    return dict(zip(quantities, golden("network", version)[f"{name}/own"].tolist(), strict=True))


def chosen(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], setting: scripted.NmsSetting
) -> npt.NDArray[np.int64]:
    """Return the rows of boxes (N, 4) and scores (N,) kept by our suppression, in its order, as in `Segmenter`."""
    above = np.flatnonzero(scores > setting.conf)
    kept = nms(torch.from_numpy(boxes[above]), torch.from_numpy(scores[above]), setting.iou, max_kept=setting.max_det)
    return above[kept.numpy()]


@dataclass(frozen=True)
class DetectionDifference:
    """Comparison of the detections of one network run in one setting."""

    num_objects: int
    same_rows: bool
    boxes_px: float
    scores: float


def detection_differences(decoded: DecodedPredictions, name: str, version: str) -> dict[str, DetectionDifference]:
    """Compare detections after suppression by setting and image: whether the same anchors remain in the same order."""
    theirs = golden("network", version)
    differences = {}
    for setting_name, setting in scripted.NMS_SETTINGS.items():
        for index in range(len(decoded.boxes)):
            boxes, scores = decoded.boxes[index].numpy(), decoded.scores[index].numpy()
            rows = chosen(boxes, scores, setting)
            key = f"{name}/{setting_name}/{index}"
            anchors = theirs[f"{key}/anchors"]
            same = np.array_equal(rows, anchors)
            differences[f"{setting_name}/{index}"] = DetectionDifference(
                num_objects=len(anchors),
                same_rows=same,
                boxes_px=float(np.abs(boxes[anchors] - theirs[f"{key}/boxes"]).max(initial=0)),
                scores=float(np.abs(scores[anchors] - theirs[f"{key}/scores"]).max(initial=0)),
            )
    return differences


def candidate_difference(name: str, setting_name: str, version: str) -> tuple[bool, bool]:
    """Compare the kept rows of scripted candidates: whether they are equal, and whether they are equal up to ties.

    8.0.120 and 8.4.190 order equal scores arbitrarily (an unstable sort), ours keep the input order. Rows are equal up
    to ties if ours match after the reference's rows are moved to the front.
    """
    boxes, scores = scripted.candidates()[name]
    setting = scripted.NMS_SETTINGS[setting_name]
    theirs = golden("detections", version)[f"{name}/{setting_name}"]
    if np.array_equal(chosen(boxes, scores, setting), theirs):
        return True, True
    order = np.concatenate([theirs, np.setdiff1d(np.arange(len(boxes)), theirs)])
    return False, np.array_equal(order[chosen(boxes[order], scores[order], setting)], theirs)


@dataclass(frozen=True)
class LetterboxDifference:
    """Comparison of one letterboxed image."""

    same_bytes: bool
    same_size: bool
    largest: int
    """Largest difference of a sampled byte; 255 if the sizes differ."""


def letterbox_difference(name: str, shape: Literal["auto", "square"], version: str) -> LetterboxDifference | None:
    """Compare our network input with the reference's; None if the reference raises."""
    theirs, key = golden("letterbox", version), f"{name}/{shape}"
    if f"{key}/raises" in theirs:
        return None
    size, imgsz = scripted.LETTERBOXES[name]
    limit = -(-imgsz // 32) * 32
    place = letterbox(size, imgsz) if shape == "auto" else letterbox_into(size, (limit, limit))
    ours = letterbox_images([scripted.letterbox_image(size)], [place])[0]
    if ours.shape[:2] != tuple(theirs[f"{key}/size"]):
        return LetterboxDifference(same_bytes=False, same_size=False, largest=255)
    sample = ours.reshape(-1)[:: scripted.SAMPLE_STEP].astype(np.int64)
    return LetterboxDifference(
        same_bytes=hashlib.sha256(ours.tobytes()).hexdigest() == str(theirs[f"{key}/sha256"]),
        same_size=True,
        largest=int(np.abs(sample - theirs[f"{key}/sample"]).max()),
    )
