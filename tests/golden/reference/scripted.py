"""Scripted inputs for the reference packages and streamseg. NumPy only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BoolMasks = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

PROMPT_SIZE = (60, 80)
"""(H, W) of the masks that prompts select from."""


def generator(name: str) -> np.random.Generator:
    """Return a generator whose numbers depend on the name only, on every machine."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def disc(x: float, y: float, radius: float, size: tuple[int, int] = PROMPT_SIZE) -> npt.NDArray[np.bool_]:
    """Return the mask of all pixels whose index is within `radius` of (x, y)."""
    rows, columns = np.indices(size)
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = PROMPT_SIZE) -> npt.NDArray[np.bool_]:
    """Return the mask of columns x0 to x1 - 1 of rows y0 to y1 - 1."""
    mask = np.zeros(size, dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def prompt_masks() -> BoolMasks:
    """Return nine masks (9, 60, 80), not sorted by size.

    0 a disc inside 1; 1 a rectangle inside 2; 2 a wall with a hole around 4; 3 a ring; 4 a disc in the
    wall's hole; 5 and 6 two rectangles of the same area that overlap; 7 a speck of one pixel inside 0;
    8 a comb whose teeth are 3 pixels wide.
    """
    comb = np.zeros(PROMPT_SIZE, dtype=np.bool_)
    comb[44:58, 50:78] = (np.arange(28) % 6 < 3)[None, :]
    comb[54:58, 50:78] = True
    return np.stack(
        [
            disc(18, 18, 6),
            rectangle(8, 8, 34, 30),
            rectangle(0, 0, 80, 40) & ~disc(62, 20, 9),
            disc(20, 47, 11) & ~disc(20, 47, 6),
            disc(62, 20, 8),
            rectangle(34, 34, 50, 46),
            rectangle(40, 38, 56, 50),
            rectangle(18, 18, 19, 19),
            comb,
        ]
    )


class PointCase(NamedTuple):
    """Points x, y in whole pixels, and their labels: 1 foreground, 0 background."""

    points: list[list[int]]
    labels: list[int]


POINT_CASES: dict[str, PointCase] = {
    "one_object": PointCase([[62, 20]], [1]),
    "nested_three_deep": PointCase([[20, 18]], [1]),
    "speck": PointCase([[18, 18]], [1]),
    "nobody": PointCase([[5, 55]], [1]),
    "two_objects_merge": PointCase([[62, 20], [12, 47]], [1, 1]),
    "hole_of_the_ring": PointCase([[20, 47]], [1]),
    "negative_takes_the_outer_away": PointCase([[18, 14], [10, 10]], [1, 0]),
    "negative_punches_a_hole": PointCase([[10, 10], [18, 14]], [1, 0]),
    "small_positive_comes_back": PointCase([[30, 26], [18, 14]], [0, 1]),
    "negative_before_positive_at_one_place": PointCase([[20, 18], [20, 18]], [0, 1]),
    "positive_before_negative_at_one_place": PointCase([[20, 18], [20, 18]], [1, 0]),
    "only_negative": PointCase([[62, 20]], [0]),
    "only_negative_nobody": PointCase([[5, 55]], [0]),
    "equal_areas": PointCase([[42, 40], [36, 36]], [1, 0]),
    "corners": PointCase([[0, 0], [79, 59]], [1, 1]),
}
"""Point prompts on `prompt_masks`."""

BOXES: dict[str, tuple[float, float, float, float]] = {
    "tight_disc": (54, 12, 71, 29),
    "loose_disc": (50, 8, 76, 33),
    "nested_rectangle": (8, 8, 34, 30),
    "wall": (0, 0, 80, 40),
    "whole_picture": (0, 0, 80, 60),
    "ring": (9, 36, 32, 59),
    "same_object_again": (55, 13, 70, 28),
    "two_fit_alike": (34, 34, 56, 50),
    "tie": (37, 36, 53, 48),
    "rounding_decides": (37.6, 36, 53.6, 48),
    "nothing_there": (1, 52, 6, 59),
    "fractions": (33.5, 33.5, 49.6, 46.4),
    "half_to_even": (34.5, 33.5, 50.5, 45.5),
    "beyond_the_picture": (46, 40, 99, 77),
    "negative_corner": (-7, -3, 34.2, 30.9),
    "one_pixel": (18, 18, 19, 19),
}
"""Box prompts xyxy on `prompt_masks`. The names are stored in the golden files."""

QUALITY_SIZE = (64, 96)


def quality_masks() -> BoolMasks:
    """Return six masks (6, 64, 96) for the morphology: closed gaps, removed necks and specks, borders."""
    noise = generator("quality").random(QUALITY_SIZE)
    gap = rectangle(10, 10, 40, 40, QUALITY_SIZE)
    gap[20:22, 10:40] = False
    gap[30:34, 10:40] = False
    dumbbell = disc(20, 30, 12, QUALITY_SIZE) | disc(70, 30, 12, QUALITY_SIZE)
    dumbbell |= rectangle(20, 28, 70, 33, QUALITY_SIZE)
    bars = np.zeros(QUALITY_SIZE, dtype=np.bool_)
    for width in range(4, 12):
        begin = sum(range(4, width)) + 2 * (width - 4)
        bars[5:50, begin : begin + width] = True
    return np.stack(
        [
            gap,
            dumbbell,
            bars,
            disc(0, 0, 20, QUALITY_SIZE) | disc(95, 63, 9, QUALITY_SIZE),
            disc(48, 32, 25, QUALITY_SIZE) & (noise > 0.2) | (noise > 0.97),
            np.zeros(QUALITY_SIZE, dtype=np.bool_),
        ]
    )


FULL_IMAGE_SIZE = (200, 320)
"""(H, W) of the letterboxed input in the cases below; the image has the same size."""

FULL_IMAGE_CASES: dict[str, list[tuple[float, float, float, float]]] = {
    "no_large_box": [(50, 60, 120, 140), (19, 30, 90, 100), (20, 20, 100, 100)],
    "edges_snap": [(19.5, 19.5, 100, 100), (150, 90, 300.5, 180.5), (200, 20, 300, 180)],
    "one_fills_it": [(5, 6, 310, 190), (50, 60, 120, 140)],
    "snapped_to_full": [(19, 19, 301, 181), (40, 19, 301, 181)],
    "just_below": [(33, 0, 320, 200), (21, 21, 299, 179)],
    "second_fills_it": [(50, 60, 120, 140), (30, 2, 318, 200)],
    "two_fill_it": [(2, 2, 318, 198), (31, 10, 320, 200), (60, 60, 90, 90)],
}
"""Boxes xyxy after non-maximum suppression, by descending score; scores are 0.9, 0.8 and so on."""


@dataclass(frozen=True)
class MaskScene:
    """Ellipses in one image, as prototypes, coefficients and boxes in the network's input."""

    name: str
    image_size: tuple[int, int]
    """(H, W) of the image."""
    input_size: tuple[int, int]
    """(H, W) of the letterboxed input."""
    prototypes: Floats
    """(32, H / 4, W / 4)."""
    coefficients: Floats
    """(K, 32)."""
    boxes: Floats
    """(K, 4) xyxy in input pixels, fractional; some extend beyond the image, some cut into the ellipse."""


MASK_SCENES: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "hd_720": ((720, 1280), (384, 640)),
    "exact_fit": ((480, 640), (480, 640)),
    "enlarged_half": ((240, 320), (480, 640)),
    "wide_odd": ((211, 640), (224, 640)),
    "photo": ((333, 500), (448, 640)),
    "photo_square": ((333, 500), (640, 640)),
    "tall_odd": ((501, 377), (320, 256)),
    "tiny": ((23, 37), (224, 320)),
}
"""Sizes of image and input. The padding is a whole number of cells in the first three, and fractional in the rest."""


def mask_scene(name: str, num_objects: int = 16) -> MaskScene:
    """Return smooth masks with known outlines: ellipses from 3 to 60 % of the image, rotated and slightly distorted.

    Six prototypes are 1, x, y, x^2, x y, y^2, whose combinations are ellipses of any size and location. The others are
    broad bumps, added to each object with small weights.
    """
    image_size, input_size = MASK_SCENES[name]
    rng = generator(f"masks {name}")
    height, width = input_size[0] // 4, input_size[1] // 4
    aspect = input_size[1] / input_size[0]
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width * aspect, indexing="ij")
    planes = [np.ones_like(x), x, y, x * x, x * y, y * y]
    for across, down in rng.uniform(0, 1, (26, 2)):
        planes.append(np.exp(-(((x - across * aspect) / 0.25) ** 2) - ((y - down) / 0.25) ** 2))
    # The part of the input that the image covers, in these coordinates.
    gain = min(input_size[0] / image_size[0], input_size[1] / image_size[1])
    half_height, half_width = image_size[0] * gain / input_size[0] / 2, image_size[1] * gain / input_size[0] / 2
    coefficients, boxes = [], []
    for index in range(num_objects):
        along = np.exp(rng.uniform(np.log(0.03), np.log(0.6))) * min(half_height, half_width) * 2
        beside = along * rng.uniform(0.4, 1.0)
        centre_x, centre_y = aspect / 2 + rng.uniform(-1, 1) * half_width, 0.5 + rng.uniform(-1, 1) * half_height
        angle = rng.uniform(0, np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        xx, yy = (cos / along) ** 2 + (sin / beside) ** 2, (sin / along) ** 2 + (cos / beside) ** 2
        xy = 2 * cos * sin * (along**-2 - beside**-2)
        # 1 - d(x, y), with d the ellipse's quadratic form about its centre, times a steepness.
        quadratic = np.array(
            [
                1 - xx * centre_x**2 - yy * centre_y**2 - xy * centre_x * centre_y,
                2 * xx * centre_x + xy * centre_y,
                2 * yy * centre_y + xy * centre_x,
                -xx,
                -xy,
                -yy,
            ]
        )
        coefficients.append(np.concatenate([4 * quadratic, rng.normal(0, 0.15, 26)]))
        reach_x = np.sqrt((along * cos) ** 2 + (beside * sin) ** 2)
        reach_y = np.sqrt((along * sin) ** 2 + (beside * cos) ** 2)
        if index % 4 == 3:  # every fourth box cuts into its object
            reach_x, reach_y = reach_x * 0.85, reach_y * 0.9
        else:
            reach_x, reach_y = reach_x * 1.04, reach_y * 1.04
        sides = np.array([centre_x - reach_x, centre_y - reach_y, centre_x + reach_x, centre_y + reach_y])
        boxes.append(sides * input_size[0])
    return MaskScene(
        name=name,
        image_size=image_size,
        input_size=input_size,
        prototypes=np.stack(planes).astype(np.float32),
        coefficients=np.array(coefficients, dtype=np.float32),
        boxes=np.array(boxes, dtype=np.float32),
    )


class NmsSetting(NamedTuple):
    """Settings of non-maximum suppression."""

    conf: float
    iou: float
    max_det: int


NMS_SETTINGS: dict[str, NmsSetting] = {
    "official_script": NmsSetting(0.4, 0.9, 300),
    "official_demo": NmsSetting(0.4, 0.9, 100),
    "package_default": NmsSetting(0.25, 0.7, 300),
}

CANDIDATE_INPUT = (768, 1024)
"""(H, W) of the input of the candidates."""


def candidates() -> dict[str, tuple[Floats, Floats]]:
    """Return boxes (N, 4) xyxy and scores (N,) by set. Edges are sixteenths of a pixel, which are never rounded."""
    rng = generator("candidates")
    height, width = CANDIDATE_INPUT

    def sixteenths(values: npt.NDArray[np.float64]) -> Floats:
        return (np.round(values * 16) / 16).astype(np.float32)

    def clusters(num_objects: int, num_each: int, spread: float) -> npt.NDArray[np.float64]:
        corner = rng.uniform(0, 0.8, (num_objects, 1, 2)) * (width, height)
        extent = np.exp(rng.uniform(np.log(8), np.log(400), (num_objects, 1, 2)))
        boxes = np.concatenate([corner, corner + extent], axis=2)
        jitter = rng.normal(0, spread, (num_objects, num_each, 4)) * np.tile(extent, 2)
        return np.asarray((boxes + jitter).clip(0, [width, height] * 2).reshape(-1, 4))

    def solid(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        return boxes

    overlaps = solid(clusters(60, 25, 0.05))
    ties = solid(clusters(40, 12, 0.04))
    rows, columns = np.divmod(np.arange(700), 35)
    apart = np.stack([columns, rows, columns + 0.9, rows + 0.9], axis=1) * 20.0
    # IoU of 0.9, 0.7 and just above or below with a box of 10 x 10; the pairs do not overlap each other.
    at_iou = []
    for index, part in enumerate((10.0, 9.0, 9.0625, 8.9375, 7.0, 7.0625, 6.9375)):
        at_iou += [[40 * index, 8, 40 * index + 10, 18], [40 * index, 8, 40 * index + 10, 8 + part]]
    edge = np.float32([0.4, 0.4, 0.25, 0.25, 1.0, 0.0])
    near = np.concatenate([edge, np.nextafter(edge[:4], np.float32(1)), np.nextafter(edge[:4], np.float32(0))])
    chain = np.stack([np.arange(120) * 3.0, np.zeros(120), np.arange(120) * 3.0 + 60, np.full(120, 60.0)], axis=1)
    flat = np.array([[5, 5, 5, 25], [5, 5, 5, 25], [40, 40, 60, 40], [100, 100, 120, 130], [100, 100, 120, 130]])
    beyond = np.array([[-40, -20, 30, 40], [990, 700, 1100, 900], [-50, 10, -10, 30], [1024, 0, 1040, 30.0]])
    return {
        "overlaps": (sixteenths(overlaps), rng.uniform(0.05, 0.99, len(overlaps)).astype(np.float32)),
        "ties": (sixteenths(ties), rng.choice(np.float32([0.2, 0.3, 0.5, 0.5, 0.7, 0.9]), len(ties))),
        "all_equal": (sixteenths(ties), np.full(len(ties), 0.5, dtype=np.float32)),
        "more_than_max_det": (sixteenths(apart), rng.permutation(np.linspace(0.3, 0.95, 700)).astype(np.float32)),
        "iou_at_threshold": (sixteenths(np.array(at_iou)), np.linspace(0.9, 0.5, len(at_iou), dtype=np.float32)),
        "score_at_conf": (sixteenths(apart[: len(near)]), near),
        "chain": (sixteenths(chain), np.linspace(0.95, 0.35, 120, dtype=np.float32)),
        "without_extent": (sixteenths(flat), np.float32([0.9, 0.8, 0.7, 0.6, 0.6])),
        "beyond_the_input": (sixteenths(beyond), np.float32([0.9, 0.8, 0.7, 0.6])),
        "none_above": (sixteenths(apart[:5]), np.full(5, 0.1, dtype=np.float32)),
        "same_box": (sixteenths(np.tile([[10, 20, 50, 60.0]], (50, 1))), np.linspace(0.5, 0.9, 50, dtype=np.float32)),
    }


LETTERBOXES: dict[str, tuple[tuple[int, int], int]] = {
    "hd_720": ((720, 1280), 640),
    "hd_1080": ((1080, 1920), 640),
    "hd_720_at_1024": ((720, 1280), 1024),
    "vga_enlarged": ((480, 640), 1024),
    "exact_square": ((320, 320), 320),
    "exact_rectangle": ((192, 320), 320),
    "wide": ((100, 1000), 320),
    "tall": ((1000, 100), 320),
    "very_wide": ((7, 900), 320),
    "one_row": ((1, 200), 320),
    "tiny": ((16, 24), 320),
    "one_pixel": ((1, 1), 64),
    "odd": ((333, 499), 320),
    "odd_tall": ((501, 377), 320),
    "odd_pad": ((299, 320), 320),
    "half_rounds_to_even": ((405, 640), 320),
    "half_rounds_up": ((403, 640), 320),
    "photo": ((427, 640), 640),
    "not_a_multiple": ((480, 640), 300),
}
"""Sizes (H, W) of images, and the long side of the input."""


def letterbox_image(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return an image in which every pixel differs from its neighbours, which reveals every weight of a resize."""
    return generator(f"letterbox {size}").integers(0, 256, (*size, 3), dtype=np.uint8)


SAMPLE_STEP = 1009
"""Step between the bytes of a letterboxed image that are stored, beside the hash of all bytes."""


class NetworkRun(NamedTuple):
    """One forward pass."""

    size: str
    reg_max: int
    input_size: tuple[int, int]
    """(H, W)."""
    num_images: int
    sppf: str
    """Activation after the first layer of SPPF: silu (FastSAM), or identity (networks of the current packages)."""


NETWORK_RUNS: dict[str, NetworkRun] = {
    "s_square": NetworkRun("s", 16, (320, 320), 1, "silu"),
    "s_wide": NetworkRun("s", 16, (192, 320), 2, "silu"),
    "s_identity": NetworkRun("s", 16, (192, 320), 1, "identity"),
    "x_square": NetworkRun("x", 26, (160, 160), 1, "silu"),
}
"""The first three have the architecture of FastSAM-s, the last that of FastSAM-x."""

NETWORK_IMAGE_SCALE, NUM_NETWORK_MASKS = 4, 24
"""Size of the image relative to the input, and maximum number of objects per run whose masks are stored."""

NUM_SAMPLES = 240
"""Number of anchors, and of cells of the prototypes, that are stored per image."""


def sampled(count: int, name: str) -> npt.NDArray[np.int64]:
    """Return the indices below `count` that are stored: all, or `NUM_SAMPLES` of them."""
    if count <= NUM_SAMPLES:
        return np.arange(count)
    return np.sort(generator(f"samples {name}").choice(count, NUM_SAMPLES, replace=False))
