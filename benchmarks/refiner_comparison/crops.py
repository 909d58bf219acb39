"""Zoomed crops of objects with plain and sharp masks, selected by a fixed rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.refiner_comparison.pairs import Both, Found, Zoom, found_objects
from streamseg.evaluation.scene import SEEDS
from streamseg.segmentation import instance_masks
from streamseg.structures.arrays import ImageArray
from streamseg.synthetic import SceneRenderer

PERCENTILES = (75, 85, 95)
"""Percentiles of the gain in IoU at which the shown objects lie."""
FRAMES_PER_SCENE, FRAME_STEP = 6, 47
TILE_PX, CAPTION_PX, GAP_PX = 240, 26, 4
MAX_IMAGE_BYTES = 500_000
COLOURS = {"plain": (255, 150, 40), "sharp": (60, 220, 255), "truth": (120, 255, 120)}


def scene_objects(both: Both, *, limit: int | None = None) -> Iterator[Found]:
    """Yield whole objects found in scenes not used for training; `limit` is the maximum number of frames per scene."""
    for seed in SEEDS:
        renderer = SceneRenderer(1280, 720, num_objects=20, seed=seed)
        for index in range(min(FRAMES_PER_SCENE, limit or FRAMES_PER_SCENE)):
            image, truth = renderer.render(index * FRAME_STEP), renderer.truth(index * FRAME_STEP)
            plain, sharp = both(image)
            targets = [mask for mask, is_part in zip(truth.masks, truth.is_part, strict=True) if not is_part]
            areas = np.array([mask.area for mask in targets], dtype=np.float64)
            yield from found_objects(image, instance_masks(plain), instance_masks(sharp), targets, areas)


def at_percentiles(values: Sequence[float], percentiles: Sequence[float] = PERCENTILES) -> list[int]:
    """Return the distinct positions of the values at these percentiles; ties keep their order."""
    order = np.argsort(np.asarray(values, dtype=np.float64), kind="stable")
    ranks = [round(percentile / 100 * (len(order) - 1)) for percentile in percentiles] if len(order) else []
    return [int(order[rank]) for rank in dict.fromkeys(ranks)]


@dataclass(frozen=True)
class Choice:
    """Shown objects and the candidates from which they were selected."""

    rule: str
    num_objects: int
    """Number of candidates: small and medium objects that were found."""
    median_gain: float
    """Median gain in IoU."""
    share_better: float
    share_worse: float
    shown: tuple[tuple[float, float], ...]
    """IoU of the plain and the sharp mask of each shown object."""


def draw(found: Sequence[Found], path: Path) -> Choice | None:
    """Draw a row for each percentile with the outlines of the plain, the sharp and the labelled mask.

    Args:
        found: objects; only small and medium ones can be shown.
        path: PNG file to write, of at most `MAX_IMAGE_BYTES`.

    Returns:
        The shown objects; None if there are no candidates, and no file is written.
    """
    candidates = [one for one in found if one.zoom is not None]
    if not candidates:
        return None
    gains = np.array([one.gain for one in candidates])
    chosen = [candidates[place] for place in at_percentiles(gains.tolist())]
    tile_px = TILE_PX
    while len(encoded := _png(rows_of_tiles(chosen, tile_px))) > MAX_IMAGE_BYTES:
        tile_px = round(tile_px * 0.9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded)
    return Choice(
        rule=f"small and medium objects at percentiles {', '.join(map(str, PERCENTILES))} of gain in IoU",
        num_objects=len(gains),
        median_gain=float(np.median(gains)),
        share_better=float(np.mean(gains > 0)),
        share_worse=float(np.mean(gains < 0)),
        shown=tuple(one.iou for one in chosen),
    )


def rows_of_tiles(chosen: Sequence[Found], tile_px: int) -> ImageArray:
    """Return an image (H, W, 3) RGB of objects, three tiles each."""
    rows = []
    for one in chosen:
        assert one.zoom is not None
        captions = {"plain": f"plain  IoU {one.iou[0]:.2f}", "sharp": f"sharp  IoU {one.iou[1]:.2f}", "truth": "truth"}
        tiles = [_tile(one.zoom, name, caption, tile_px) for name, caption in captions.items()]
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows, axis=0)[:-GAP_PX, :-GAP_PX]


def _tile(shown: Zoom, name: str, caption: str, tile_px: int) -> ImageArray:
    tile = cv2.resize(shown.pixels, (tile_px, tile_px), interpolation=cv2.INTER_CUBIC)
    # No smoothing, because the image should show how ragged a mask is.
    mask = cv2.resize(shown.masks[name].astype(np.uint8), (tile_px, tile_px), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, contours, -1, (0, 0, 0), 4)
    cv2.drawContours(tile, contours, -1, COLOURS[name], 2)
    framed = np.full((CAPTION_PX + tile_px + GAP_PX, tile_px + GAP_PX, 3), 255, dtype=np.uint8)
    framed[CAPTION_PX:-GAP_PX, :-GAP_PX] = tile
    cv2.putText(framed, caption, (4, CAPTION_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return framed


def _png(image: ImageArray) -> bytes:
    encoded, buffer = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert encoded
    return buffer.tobytes()
