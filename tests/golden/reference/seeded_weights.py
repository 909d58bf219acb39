"""Equal weights for the reference packages and streamseg, generated from tensor names and shapes only. NumPy only.

They replace trained weights in numerical comparisons: activations keep their magnitude from layer to layer, scores
spread over 0..1, and some dozens of anchors have a confident box.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]

RESIDUAL = r"^model\.[2468]\.m\.\d+\.cv2"
LAST_LAYER = r"model\.22\.cv[234]\.[012]\.2\.(weight|bias)"

BOX_SPREAD, SCORE_SPREAD, COEFFICIENT_SPREAD = 1.5, 2.0, 1.0
"""Target standard deviations of the last layers' outputs, similar to those of trained networks."""

INPUT_POWER = 0.38
"""Expected mean square of the inputs of layers: 0.36 for SiLU of a standard normal variable, plus the sums of residual
branches."""

RESIDUAL_GAIN = 0.4
"""Gain of the layers whose output is added to their input; keeps the sums from growing."""

LAST_LAYERS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]] = {
    "s": ((0.83, 0.78, 0.71), (0.54, 0.91, 0.7), (-0.9, -2.65, -0.95)),
    "x": ((1.75, 2.12, 2.04), (1.74, 2.2, 1.61), (-3.8, -5.23, -1.36)),
}
"""By size: gains of the box and of the score layers, and biases of the score layers, for P3, P4, P5.

Measured once on `input_images`: they give the spreads above, and some dozens of anchors score above 0.4.
"""


def _generator(name: str) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], size: str) -> Weights:
    """Return all tensors of a state dict, generated from their names and shapes.

    Args:
        shapes: shapes by official tensor name.
        size: s or x, which selects the scale of the last layers; part of the seed.
    """
    weights = {name: _tensor(name, shape, size) for name, shape in shapes.items()}
    # The mean of an image must not pass the filters of the stem.
    stem = weights["model.0.conv.weight"]
    weights["model.0.bn.running_mean"] = (0.45 * stem.sum(axis=(1, 2, 3))).astype(np.float32)
    return weights


def _tensor(name: str, shape: tuple[int, ...], size: str) -> npt.NDArray[np.float32]:
    rng = _generator(f"{size} {name}")
    kind = name.rpartition(".")[2]
    if name.endswith("dfl.conv.weight"):
        values = np.arange(shape[1], dtype=np.float64).reshape(shape)
    elif kind == "num_batches_tracked":
        values = np.zeros(shape)
    elif kind == "running_var":
        values = rng.uniform(0.7, 1.4, shape)
    elif kind == "running_mean":
        values = rng.normal(0, 0.2, shape)
    elif name.endswith("bn.weight"):
        values = rng.uniform(0.8, 1.2, shape)
        if re.search(RESIDUAL, name):
            values *= RESIDUAL_GAIN
    elif name.endswith("bn.bias"):
        values = rng.normal(0, 0.2, shape)
    elif re.fullmatch(LAST_LAYER, name):
        return _last_layer(name, shape, size, rng)
    elif kind == "weight":
        inputs = shape[0] if "upsample" in name else int(np.prod(shape[1:]))
        values = rng.normal(0, 1, shape)
        if len(shape) == 4 and name != "model.0.conv.weight" and "upsample" not in name:
            # The common part of all channels carries no information about the image.
            values -= values.mean(axis=(1, 2, 3), keepdims=True)
        power = 0.05 if name == "model.0.conv.weight" else INPUT_POWER
        values *= np.sqrt(1 / (inputs * power))
    else:
        values = rng.normal(0, 0.1, shape)
    return values.astype(np.float32)


def _last_layer(name: str, shape: tuple[int, ...], size: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a tensor of the 1x1 layers `cv2.<level>.2`, `cv3.<level>.2`, `cv4.<level>.2`."""
    branch, level, kind = name.split(".")[2], int(name.split(".")[3]), name.rpartition(".")[2]
    box_gains, score_gains, score_biases = LAST_LAYERS[size]
    if kind == "weight":
        values = rng.normal(0, 1, shape)
        values -= values.mean(axis=1, keepdims=True)
        values *= np.sqrt(1 / (shape[1] * INPUT_POWER))
        spread = {
            "cv2": BOX_SPREAD * box_gains[level],
            "cv3": SCORE_SPREAD * score_gains[level],
            "cv4": COEFFICIENT_SPREAD,
        }
        return (values * spread[branch]).astype(np.float32)
    if branch == "cv2":
        bins = shape[0] // 4
        return np.tile(-0.4 * np.arange(bins), 4).astype(np.float32)  # small boxes are the most likely ones
    if branch == "cv3":
        return np.full(shape, score_biases[level], dtype=np.float32)
    return rng.normal(0, 0.2, shape).astype(np.float32)


def input_images(size: tuple[int, int], num_images: int = 1) -> npt.NDArray[np.uint8]:
    """Return inputs uint8 (B, H, W, 3) with structure at all scales: shapes, a gradient, noise."""
    height, width = size
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / height, indexing="ij")
    batch = np.empty((num_images, height, width, 3), dtype=np.uint8)
    for index in range(num_images):
        rng = _generator(f"picture {index} {height} {width}")  # the seed of the recorded results
        image = np.stack([80 + 60 * x, 130 - 40 * y, 90 + 50 * y * x], axis=-1)
        for _ in range(40):
            centre_x, centre_y = rng.uniform(0, width / height), rng.uniform(0, 1)
            radius_x, radius_y = np.exp(rng.uniform(np.log(0.02), np.log(0.3), 2))
            inside = ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 <= 1
            image[inside] = rng.uniform(0, 255, 3)
        image += rng.normal(0, 12, image.shape)
        batch[index] = np.clip(np.round(image), 0, 255)
    return batch
