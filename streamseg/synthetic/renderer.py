"""Draws the scene, and says exactly what is in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from streamseg.structures.message import CropMask
from streamseg.synthetic.background import BACKDROPS, paint_backdrop
from streamseg.synthetic.raster import Coverage, Sprite
from streamseg.synthetic.shapes.registry import FIGURES, draw_figure
from streamseg.synthetic.trajectory import Affine, Passage, draw_passage

__all__ = ["SceneRenderer", "SceneTruth", "compose", "measure"]

MIN_VISIBLE_PIXELS = 30
"""What shows less than this is not in the truth: nobody could name it."""
MAX_PARTS = 8
"""Identities set aside for one object's parts."""
NUM_SPRITES = 16
"""Different objects in a scene. With no more than so many on their way, no two look the same."""
PERIOD_SECONDS = (7.0, 14.0)
"""Shortest and longest time of one passage."""


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """What is to be seen in one picture of the scene: K objects and parts; K may be 0."""

    track_ids: npt.NDArray[np.int64]
    """(K,), one identity from entering to leaving the picture; never used again."""
    boxes: npt.NDArray[np.float32]
    """(K, 4) xyxy, continuous pixels, of the visible part."""
    masks: tuple[CropMask, ...]
    """K masks of exactly the visible pixels: disjoint among objects, a part inside its whole."""
    is_part: npt.NDArray[np.bool_]
    """(K,), True for a part; it follows its whole."""
    sprite_ids: npt.NDArray[np.int64]
    """(K,), the same for what looks the same: a figure that has left comes back later, under another identity."""


@dataclass(frozen=True, eq=False)
class Placement:
    """One object in one picture."""

    sprite: Sprite
    matrix: Affine
    """(2, 3): sprite pixels to picture pixels."""
    track_id: int
    """Of the object; its parts have the numbers that follow."""
    figure_id: int = 0
    """Of its drawing; those of its parts follow."""


class SceneRenderer:
    """A textured scene of moving, turning, overlapping objects, the same for the same seed.

    Any picture can be drawn at any time, in any order. Speeds are in seconds, so that the same scene
    runs smoother at a higher `fps` and not faster.
    """

    def __init__(self, width: int, height: int, *, num_objects: int = 10, seed: int = 0, fps: float = 30.0) -> None:
        """Draw the background and the objects, once.

        Args:
            width: of the picture in pixels.
            height: of the picture in pixels.
            num_objects: how many are on their way at a time, most of them in the picture.
            seed: of everything.
            fps: pictures per second of scene time.
        """
        if width < 16 or height < 16 or num_objects < 0 or fps <= 0:
            raise ValueError(
                f"a scene needs at least 16x16 pixels, num_objects >= 0 and fps > 0, got {width}x{height}, "
                f"{num_objects}, {fps}"
            )
        self.size = (height, width)
        """(H, W) of the pictures."""
        self.fps = fps
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        kinds = list(BACKDROPS)
        self._backdrop = paint_backdrop(kinds[seed % len(kinds)], height, width, rng)
        self._backdrop.flags.writeable = False
        names = list(FIGURES)
        order = rng.permutation(len(names))
        crowding = min(1.0, math.sqrt(12 / max(num_objects, 1)))
        self._sprites: list[Sprite] = []
        self._grounded: list[bool] = []
        for position in range(NUM_SPRITES if num_objects else 0):
            # People first: they are what most cameras look at.
            figure = FIGURES["person" if position % 5 == 0 else names[order[position % len(names)]]]
            height_px = max(round(figure.height * crowding * min(height, width)), 8)
            self._sprites.append(draw_figure(figure, height_px, np.random.default_rng([seed, 1, position])))
            self._grounded.append(figure.grounded)
        self._periods = rng.uniform(*PERIOD_SECONDS, num_objects)
        self._phases = rng.uniform(0, 1, num_objects)
        self._passages: dict[tuple[int, int], Passage] = {}

    def render(self, index: int) -> npt.NDArray[np.uint8]:
        """Picture number `index` >= 0: uint8 (H, W, 3) RGB, a new array."""
        return compose(self._backdrop, self._placements(index))

    def truth(self, index: int) -> SceneTruth:
        """What is visible in picture number `index`: pixels that an object covers by half or more."""
        return measure(self.size, self._placements(index))

    def _placements(self, index: int) -> list[Placement]:
        """All objects on their way, farthest first."""
        if index < 0:
            raise ValueError(f"pictures are counted from 0, got {index}")
        placed = []
        num_slots = len(self._periods)
        for slot in range(num_slots):
            turns = index / self.fps / self._periods[slot] + self._phases[slot]
            number = int(turns)
            passage = self._passage(slot, number)
            sprite = self._sprites[passage.sprite]
            matrix = passage.matrix(turns - number, sprite.rgba.shape[:2])
            track_id = (number * num_slots + slot) * (1 + MAX_PARTS)
            placed.append((passage.nearness, Placement(sprite, matrix, track_id, passage.sprite * (1 + MAX_PARTS))))
        placed.sort(key=lambda pair: (pair[0], pair[1].track_id))
        return [placement for _, placement in placed]

    def _passage(self, slot: int, number: int) -> Passage:
        """The `number`-th object of a slot; drawn from its own seed, so that the order of asking is free."""
        key = (slot, number)
        passage = self._passages.get(key)
        if passage is None:
            rng = np.random.default_rng([self._seed, 2, slot, number])
            choices = range(slot % NUM_SPRITES, NUM_SPRITES, len(self._periods))
            sprite = choices[number % len(choices)]
            passage = draw_passage(
                rng,
                sprite=sprite,
                sprite_size=self._sprites[sprite].rgba.shape[:2],
                grounded=self._grounded[sprite],
                picture_size=self.size,
            )
            if len(self._passages) > 4 * len(self._periods):
                self._passages.clear()
            self._passages[key] = passage
        return passage


def compose(backdrop: npt.NDArray[np.uint8], placements: list[Placement]) -> npt.NDArray[np.uint8]:
    """Draw objects over a background (H, W, 3), in this order; the background stays as it is."""
    picture = backdrop.copy()
    for placement in placements:
        window = _window(placement, backdrop.shape[:2])
        if window is None:
            continue
        x, y, width, height = window
        layer = _warp(placement.sprite.rgba, placement.matrix, window)
        alpha = cv2.extractChannel(layer, 3)
        uncovered = cv2.merge([cv2.bitwise_not(alpha)] * 3)
        below = picture[y : y + height, x : x + width]
        # Sprites hold colours already multiplied with alpha: what is below shows through what is left.
        kept = cv2.multiply(below, uncovered, scale=1 / 255)
        cv2.add(kept, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), dst=below)
    return picture


def measure(size: tuple[int, int], placements: list[Placement]) -> SceneTruth:
    """The visible pixels of objects that are drawn in this order on a picture of `size` (H, W)."""
    owners = np.zeros(size, np.int32)
    windows = [_window(placement, size) for placement in placements]
    for owner, (placement, window) in enumerate(zip(placements, windows, strict=True), start=1):
        if window is not None:
            x, y, width, height = window
            coverage = _warp(placement.sprite.coverage, placement.matrix, window)
            owners[y : y + height, x : x + width][coverage >= 128] = owner
    track_ids: list[int] = []
    sprite_ids: list[int] = []
    masks: list[CropMask] = []
    is_part: list[bool] = []
    for owner, (placement, window) in enumerate(zip(placements, windows, strict=True), start=1):
        if window is None:
            continue
        x, y, width, height = window
        visible = owners[y : y + height, x : x + width] == owner
        if np.count_nonzero(visible) < MIN_VISIBLE_PIXELS:
            continue
        track_ids.append(placement.track_id)
        sprite_ids.append(placement.figure_id)
        masks.append(_tight(visible, x, y))
        is_part.append(False)
        for number, part in enumerate(placement.sprite.parts, start=1):
            shown = visible & (_warp(part, placement.matrix, window) >= 128)
            if np.count_nonzero(shown) >= MIN_VISIBLE_PIXELS:
                track_ids.append(placement.track_id + number)
                sprite_ids.append(placement.figure_id + number)
                masks.append(_tight(shown, x, y))
                is_part.append(True)
    boxes = [(mask.x, mask.y, mask.x + mask.crop.shape[1], mask.y + mask.crop.shape[0]) for mask in masks]
    return SceneTruth(
        track_ids=np.array(track_ids, np.int64),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        masks=tuple(masks),
        is_part=np.array(is_part, np.bool_),
        sprite_ids=np.array(sprite_ids, np.int64),
    )


def _window(placement: Placement, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) of the pixels that an object may touch; None where it is outside."""
    corners = placement.sprite.outline @ placement.matrix[:, :2].T + placement.matrix[:, 2]  # (N, 2)
    left, top = np.floor(corners.min(axis=0)).astype(int) - 1
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    if left >= right or top >= bottom:
        return None
    return int(left), int(top), int(right - left), int(bottom - top)


def _warp(layer: Coverage, matrix: Affine, window: tuple[int, int, int, int]) -> Coverage:
    """A sprite's layer (H, W[, C]) as it falls into a window of the picture."""
    x, y, width, height = window
    shifted = matrix.copy()
    shifted[:, 2] -= (x, y)
    warped = cv2.warpAffine(layer, shifted, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return warped.astype(np.uint8, copy=False)


def _tight(mask: npt.NDArray[np.bool_], x: int, y: int) -> CropMask:
    """A mask that is not empty, cut to its extent; (x, y) is its corner in the picture."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(np.ascontiguousarray(crop), x + int(columns[0]), y + int(rows[0]))
