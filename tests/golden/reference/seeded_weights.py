"""Weights that the reference packages and streamseg make alike, from nothing but tensor names and shapes. NumPy only.

They stand for trained ones where numbers are compared: activations keep their size from layer to layer, scores spread
over 0..1, and some dozens of anchors are sure of a box.
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
"""Standard deviations wanted of the last layers' answers, about those of trained networks."""

INPUT_POWER = 0.38
"""Mean square that layers expect of their inputs. That of SiLU of a standard normal variable is 0.36; sums of
residual branches come on top of it."""

RESIDUAL_GAIN = 0.4
"""Of the layers whose answer is added to their input, lest the sums grow."""

LAST_LAYERS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]] = {
    "s": ((0.83, 0.78, 0.71), (0.54, 0.91, 0.7), (-0.9, -2.65, -0.95)),
    "x": ((1.75, 2.12, 2.04), (1.74, 2.2, 1.61), (-3.8, -5.23, -1.36)),
}
"""By size: gains of the box and of the score layers, and biases of the score layers, for P3, P4, P5.

Measured once on `pictures`, so that the spreads above come about and some dozens of anchors score above 0.4.
"""


def _generator(name: str) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], size: str) -> Weights:
    """Every tensor of a state dict, from its name and shape.

    Args:
        shapes: by the official tensor name.
        size: s or x, for the last layers' scale; part of the seed.
    """
    weights = {name: _tensor(name, shape, size) for name, shape in shapes.items()}
    # A picture has a mean, which the stem's filters must not pass on.
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
            # What all channels have in common says nothing about the picture.
            values -= values.mean(axis=(1, 2, 3), keepdims=True)
        power = 0.05 if name == "model.0.conv.weight" else INPUT_POWER
        values *= np.sqrt(1 / (inputs * power))
    else:
        values = rng.normal(0, 0.1, shape)
    return values.astype(np.float32)


def _last_layer(name: str, shape: tuple[int, ...], size: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The 1x1 layers `cv2.<level>.2`, `cv3.<level>.2`, `cv4.<level>.2`."""
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


def pictures(size: tuple[int, int], num_pictures: int = 1) -> npt.NDArray[np.uint8]:
    """Inputs uint8 (B, H, W, 3) with structure at all scales: shapes, a gradient, grain."""
    height, width = size
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / height, indexing="ij")
    batch = np.empty((num_pictures, height, width, 3), dtype=np.uint8)
    for index in range(num_pictures):
        rng = _generator(f"picture {index} {height} {width}")
        picture = np.stack([80 + 60 * x, 130 - 40 * y, 90 + 50 * y * x], axis=-1)
        for _ in range(40):
            centre_x, centre_y = rng.uniform(0, width / height), rng.uniform(0, 1)
            radius_x, radius_y = np.exp(rng.uniform(np.log(0.02), np.log(0.3), 2))
            inside = ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 <= 1
            picture[inside] = rng.uniform(0, 255, 3)
        picture += rng.normal(0, 12, picture.shape)
        batch[index] = np.clip(np.round(picture), 0, 255)
    return batch
