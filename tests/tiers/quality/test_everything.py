"""Everything mode: a grid of points, filtered as the mask generator of SAM."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamseg.errors import EngineError
from streamseg.geometry import box_iou
from streamseg.segmentation import instance_masks
from streamseg.structures.arrays import Float32Array, ImageArray
from streamseg.structures.grid import GridTransform
from streamseg.tiers.quality.everything import GridSegmenter, point_grid, stability
from streamseg.tiers.quality.fits import fit_of
from streamseg.tiers.quality.model import Decoded, Embedding, Queries
from tests.support.promptable import ScriptedModel

SIZE = (60, 80)
DISCS = ((20.0, 20.0, 12.0), (55.0, 35.0, 15.0), (12.0, 50.0, 6.0))
"""Objects of the scripted model: centre x, y and radius."""


class Discs:
    """A model that returns the disc below a point, or the whole image, and twice something worse."""

    name = "discs"

    def __init__(self, *, softness: float = 1.0) -> None:
        self.softness = softness
        self.num_points = 0

    def encode(self, image: ImageArray) -> Embedding:
        return Embedding({}, fit_of((image.shape[0], image.shape[1]), "stretch", 80))

    def decode(self, embedding: Embedding, queries: Queries) -> Decoded:
        self.num_points += len(queries)
        y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        logits, qualities = [], []
        for point_x, point_y in queries.coords[:, 0]:
            best, quality = np.full(SIZE, -9.0), 0.2
            for centre_x, centre_y, radius in DISCS:
                if np.hypot(point_x - centre_x, point_y - centre_y) < radius:
                    best = (radius - np.hypot(x - centre_x, y - centre_y)) * 40 * self.softness
                    quality = 0.95 + radius / 1000
            logits.append([best, best - 8, np.full(SIZE, 9.0)])
            qualities.append([quality, 0.5, 0.6])
        return Decoded(
            np.array(logits, dtype=np.float32), np.array(qualities, dtype=np.float32), GridTransform(1.0, 1.0, 0.0, 0.0)
        )


def test_each_object_is_found_once():
    model = Discs()
    (instances,) = GridSegmenter(model, points_per_side=16)([np.zeros((*SIZE, 3), np.uint8)])
    assert model.num_points == 256
    assert instances.scores.tolist() == pytest.approx([0.965, 0.962, 0.956])
    for mask, (x, y, radius) in zip(instance_masks(instances), (DISCS[1], DISCS[0], DISCS[2]), strict=True):
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        truth = np.hypot(columns - x, rows - y) < radius
        found = mask()
        assert np.count_nonzero(found & truth) >= 0.97 * np.count_nonzero(found | truth)
    boxes = instances.boxes
    assert (boxes == boxes.round()).all(), "boxes are those of the pixels"


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        pytest.param({"min_quality": 0.99}, 0, id="no-quality"),
        pytest.param({"min_quality": 0.96}, 2, id="quality"),
        pytest.param({"min_stability": 1.01}, 0, id="no-stability"),
        pytest.param({"max_objects": 1}, 1, id="one"),
        pytest.param({"points_per_side": 1}, 0, id="one-point-between-the-objects"),
        pytest.param({"min_quality": 0.0, "min_stability": 0.0, "max_box_iou": 1.0}, 256, id="everything-to-the-limit"),
    ],
)
def test_settings(settings: dict[str, float], count: int):
    given = {"points_per_side": 10, "max_objects": 256, **settings}
    (instances,) = GridSegmenter(Discs(), **given)([np.zeros((*SIZE, 3), np.uint8)])  # type: ignore[arg-type]
    assert len(instances) == count or (count == 256 and 0 < len(instances) <= 256)


def test_unstable_masks_are_removed():
    (instances,) = GridSegmenter(Discs(softness=0.05), points_per_side=10)([np.zeros((*SIZE, 3), np.uint8)])
    assert len(instances) == 0


def test_no_images():
    assert GridSegmenter(Discs())([]) == []


def test_a_model_that_fails_is_an_error_in_one_line():
    model = ScriptedModel(error=MemoryError("cannot allocate 4 GB\nmore"))
    with pytest.raises(EngineError, match=r"^scripted cannot be run: cannot allocate 4 GB$"):
        GridSegmenter(model)([np.zeros((8, 8, 3), np.uint8)])


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        pytest.param([[9.0, 9.0], [-9.0, -9.0]], 1.0, id="stable"),
        pytest.param([[9.0, 0.0], [0.0, 0.0]], 0.25, id="unstable"),
        pytest.param([[-9.0, -9.0], [-9.0, -9.0]], 0.0, id="empty"),
    ],
)
def test_stability(logits: list[list[float]], expected: float):
    assert stability(np.array([logits], dtype=np.float32)).tolist() == [expected]


def logits_of_discs(seed: int) -> Float32Array:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] + 0.5
    discs = [
        generator.uniform(4, 20) - np.hypot(x - generator.uniform(10, 54), y - generator.uniform(10, 54))
        for _ in range(40)
    ]
    return (np.array(discs) * generator.uniform(0.2, 8, (40, 1, 1))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_equals_the_processor_of_transformers(seed: int):
    module = pytest.importorskip(
        "transformers.models.sam.image_processing_pil_sam", reason="the reference is of transformers"
    )
    logits = logits_of_discs(seed)
    qualities = np.random.default_rng(seed).uniform(0.8, 1.0, 40).astype(np.float32)
    processor = module.SamImageProcessorPil()
    _, scores, boxes = processor.filter_masks(
        torch.from_numpy(logits)[:, None], torch.from_numpy(qualities)[:, None], (64, 64), [0, 0, 64, 64]
    )
    order = scores.argsort(descending=True)
    expected: list[int] = []
    for row in order.tolist():
        others = boxes[expected].float()
        if not len(others) or box_iou(boxes[row : row + 1].float(), others).max() <= 0.7:
            expected.append(row)

    class Scripted(Discs):
        def decode(self, embedding: Embedding, queries: Queries) -> Decoded:
            return Decoded(logits[None], qualities[None], GridTransform(1.0, 1.0, 0.0, 0.0))

    (instances,) = GridSegmenter(Scripted(), points_per_side=1)([np.zeros((64, 64, 3), np.uint8)])
    # Their boxes end at the last pixel, ours behind it: an overlap just at the limit may differ by that.
    assert abs(len(instances) - len(expected)) <= 1
    ours = set(instances.scores.tolist())
    assert len(ours & set(scores[expected].tolist())) >= len(expected) - 1


def test_the_grid_covers_the_unit_square():
    grid = point_grid(2)
    assert grid.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
