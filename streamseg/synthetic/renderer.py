"""Renderer of the scene, with exact ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from streamseg.structures.arrays import BoolArray, Float32Array, ImageArray, IndexArray, MaskArray
from streamseg.structures.mask import CropMask, MaskSpace
from streamseg.synthetic.background import BACKGROUNDS, paint_background
from streamseg.synthetic.raster import Coverage, Sprite
from streamseg.synthetic.shapes.registry import SHAPES, draw_shape
from streamseg.synthetic.trajectory import Affine, Trajectory, sample_trajectory

__all__ = ["SceneRenderer", "SceneTruth", "compose", "measure"]

MIN_VISIBLE_PIXELS = 30
"""Minimum number of visible pixels of an object or part in the truth: fewer are not recognisable."""
MAX_PARTS = 8
"""Number of identities reserved for the parts of one object."""
NUM_SPRITES = 16
"""Number of different sprites in a scene. Up to this many objects at a time all look different."""
PERIOD_SECONDS = (7.0, 14.0)
"""Shortest and longest duration of one trajectory, in seconds."""


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """Ground truth of one image of the scene: K visible objects and parts; K may be 0."""

    track_ids: IndexArray
    """(K,) identities; one from entering to leaving the image, never reused."""
    boxes: Float32Array
    """(K, 4) boxes of the visible pixels, xyxy in continuous pixels."""
    masks: tuple[CropMask, ...]
    """K masks of exactly the visible pixels: disjoint between objects, a part inside its whole."""
    is_part: BoolArray
    """(K,) True for a part; it follows its whole."""
    sprite_ids: IndexArray
    """(K,) sprite or part of a sprite; equal for rows that look the same. A sprite that has left returns later with a
    new identity."""


@dataclass(frozen=True, eq=False)
class Placement:
    """One object in one image."""

    sprite: Sprite
    matrix: Affine
    """(2, 3) matrix from sprite pixels to image pixels."""
    track_id: int
    """Identity of the object; its parts have the following numbers."""
    sprite_id: int = 0
    """Identity of the sprite; its parts have the following numbers."""


class SceneRenderer:
    """A textured scene of moving, rotating, overlapping objects, determined by the seed.

    Images can be rendered in any order. Motion is defined in seconds: at a higher `fps` the same scene
    runs more smoothly, not faster.
    """

    def __init__(self, width: int, height: int, *, num_objects: int = 10, seed: int = 0, fps: float = 30.0) -> None:
        """Draw the background and the sprites, once.

        Args:
            width: image width in pixels.
            height: image height in pixels.
            num_objects: number of objects in motion at a time, most of them visible.
            seed: seed of all randomness.
            fps: images per second of scene time.

        Raises:
            ValueError: the image is too small, `num_objects` is negative or `fps` is not positive.
        """
        if width < 16 or height < 16 or num_objects < 0 or fps <= 0:
            raise ValueError(
                f"a scene needs at least 16x16 pixels, num_objects >= 0 and fps > 0, got {width}x{height}, "
                f"{num_objects}, {fps}"
            )
        self.size = (height, width)
        """(H, W) of the images."""
        self.fps = fps
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        kinds = list(BACKGROUNDS)
        self._background = paint_background(kinds[seed % len(kinds)], height, width, rng)
        self._background.flags.writeable = False
        names = list(SHAPES)
        order = rng.permutation(len(names))
        crowding = min(1.0, math.sqrt(12 / max(num_objects, 1)))
        self._sprites: list[Sprite] = []
        self._grounded: list[bool] = []
        for position in range(NUM_SPRITES if num_objects else 0):
            # People first: most cameras observe people.
            shape = SHAPES["person" if position % 5 == 0 else names[order[position % len(names)]]]
            height_px = max(round(shape.height * crowding * min(height, width)), 8)
            self._sprites.append(draw_shape(shape, height_px, np.random.default_rng([seed, 1, position])))
            self._grounded.append(shape.grounded)
        self._periods = rng.uniform(*PERIOD_SECONDS, num_objects)
        self._phases = rng.uniform(0, 1, num_objects)
        self._trajectories: dict[tuple[int, int], Trajectory] = {}

    def render(self, index: int) -> ImageArray:
        """Return image number `index` >= 0 (H, W, 3), a new array."""
        return compose(self._background, self._placements(index))

    def truth(self, index: int) -> SceneTruth:
        """Return the ground truth of image number `index`: pixels that an object covers by half or more."""
        return measure(self.size, self._placements(index))

    def _placements(self, index: int) -> list[Placement]:
        """Return all objects in motion, farthest first."""
        if index < 0:
            raise ValueError(f"image numbers start at 0, got {index}")
        placed = []
        num_slots = len(self._periods)
        for slot in range(num_slots):
            turns = index / self.fps / self._periods[slot] + self._phases[slot]
            number = int(turns)
            trajectory = self._trajectory(slot, number)
            sprite = self._sprites[trajectory.sprite]
            matrix = trajectory.matrix(turns - number, sprite.rgba.shape[:2])
            track_id = (number * num_slots + slot) * (1 + MAX_PARTS)
            sprite_id = trajectory.sprite * (1 + MAX_PARTS)
            placed.append((trajectory.nearness, Placement(sprite, matrix, track_id, sprite_id)))
        placed.sort(key=lambda pair: (pair[0], pair[1].track_id))
        return [placement for _, placement in placed]

    def _trajectory(self, slot: int, number: int) -> Trajectory:
        """Return the `number`-th trajectory of a slot, from its own seed, because calls may come in any order."""
        key = (slot, number)
        trajectory = self._trajectories.get(key)
        if trajectory is None:
            rng = np.random.default_rng([self._seed, 2, slot, number])
            choices = range(slot % NUM_SPRITES, NUM_SPRITES, len(self._periods))
            sprite = choices[number % len(choices)]
            trajectory = sample_trajectory(
                rng,
                sprite=sprite,
                sprite_size=self._sprites[sprite].rgba.shape[:2],
                grounded=self._grounded[sprite],
                image_size=self.size,
            )
            if len(self._trajectories) > 4 * len(self._periods):
                self._trajectories.clear()
            self._trajectories[key] = trajectory
        return trajectory


def compose(background: ImageArray, placements: list[Placement]) -> ImageArray:
    """Draw objects over a copy of a background (H, W, 3), in the given order."""
    image = background.copy()
    for placement in placements:
        window = _window(placement, background.shape[:2])
        if window is None:
            continue
        x, y, width, height = window
        layer = _warp(placement.sprite.rgba, placement.matrix, window)
        alpha = cv2.extractChannel(layer, 3)
        uncovered = cv2.merge([cv2.bitwise_not(alpha)] * 3)
        below = image[y : y + height, x : x + width]
        # Sprite colours are premultiplied with alpha; the image below shows through the remainder.
        kept = cv2.multiply(below, uncovered, scale=1 / 255)
        cv2.add(kept, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), dst=below)
    return image


def measure(size: tuple[int, int], placements: list[Placement]) -> SceneTruth:
    """Return the truth of objects that are drawn in the given order on an image of `size` (H, W)."""
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
    space = MaskSpace.of(size)
    is_part: list[bool] = []
    for owner, (placement, window) in enumerate(zip(placements, windows, strict=True), start=1):
        if window is None:
            continue
        x, y, width, height = window
        visible = owners[y : y + height, x : x + width] == owner
        if np.count_nonzero(visible) < MIN_VISIBLE_PIXELS:
            continue
        track_ids.append(placement.track_id)
        sprite_ids.append(placement.sprite_id)
        masks.append(_tight(visible, x, y, space))
        is_part.append(False)
        for number, part in enumerate(placement.sprite.parts, start=1):
            shown = visible & (_warp(part, placement.matrix, window) >= 128)
            if np.count_nonzero(shown) >= MIN_VISIBLE_PIXELS:
                track_ids.append(placement.track_id + number)
                sprite_ids.append(placement.sprite_id + number)
                masks.append(_tight(shown, x, y, space))
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
    """Return (x, y, width, height) of the pixels that an object may touch; None if it is outside."""
    corners = placement.sprite.outline @ placement.matrix[:, :2].T + placement.matrix[:, 2]  # (N, 2)
    left, top = np.floor(corners.min(axis=0)).astype(int) - 1
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    if left >= right or top >= bottom:
        return None
    return int(left), int(top), int(right - left), int(bottom - top)


def _warp(layer: Coverage, matrix: Affine, window: tuple[int, int, int, int]) -> Coverage:
    """Warp a layer (H, W[, C]) of a sprite into a window of the image."""
    x, y, width, height = window
    shifted = matrix.copy()
    shifted[:, 2] -= (x, y)
    warped = cv2.warpAffine(layer, shifted, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return warped.astype(np.uint8, copy=False)


def _tight(mask: MaskArray, x: int, y: int, space: MaskSpace) -> CropMask:
    """Crop a non-empty mask to its extent; (x, y) is the position of its corner in the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return CropMask(np.ascontiguousarray(crop), x + int(columns[0]), y + int(rows[0]), space)
