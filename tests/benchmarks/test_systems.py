"""The comparison of systems: its command line and its table."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.systems.__main__ import _row, main
from benchmarks.systems.models import SYSTEMS
from benchmarks.systems.published import PUBLISHED
from streamseg.structures.arrays import Float32Array, ImageArray, MaskArray
from streamseg.structures.instances import Instances
from streamseg.tiers import Tiers
from streamseg.tiers.quality.tier import PromptableQualityTier
from tests.support.datasets import coco_folder, coco_labels
from tests.support.images import disc, paint
from tests.support.promptable import ScriptedModel
from tests.support.sequences import SIZE, instances_of, moving, sequence_folder


def test_unknown_systems_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--systems", "streamseg,sam9"])
    assert caught.value.code == 2
    assert "unknown systems sam9" in capsys.readouterr().err


def test_an_update_needs_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--update", "--json", str(tmp_path / "missing.json")])
    assert caught.value.code == 2
    assert "--update needs --json with a file of results" in capsys.readouterr().err


def test_names_are_unique():
    names = [one.name for one in SYSTEMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("figures", "row"),
    [
        pytest.param({"missing": "No module named 'timm'"}, "missing: No module named 'timm'", id="missing"),
        pytest.param(
            {
                "parameters": 9_800_000,
                "memory_mb": 2469,
                "stages": {"encode": {"p50": 2328.0}},
                "pipeline": {"finish_ms": {"p95": 3.6}, "mask_source": {"proposal": 40}},
            },
            "9.8 M   2469 MB  encode 2328 ms; pipeline: finish p95 3.6 ms, {'proposal': 40}; random weights, no"
            " quality",
            id="random",
        ),
        pytest.param(
            {
                "weights": "/w/mobile-sam",
                "parameters": None,
                "memory_mb": 1,
                "stages": {},
                "pipeline": {"finish_ms": {"p95": 3.6}, "mask_source": {}},
                "quality": {"box_miou": 0.7, "point_miou": 0.5, "box_boundary_iou": 0.6, "j_and_f": 0.8},
            },
            "box 0.700, point 0.500, outline 0.600, J&F 0.800",
            id="official",
        ),
    ],
)
def test_rows(figures: dict[str, object], row: str):
    assert _row("mobile-sam", figures).endswith(row)


def test_published_figures_have_a_source(capsys: pytest.CaptureFixture[str]):
    assert main(["--published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PUBLISHED) == len({(one.system, one.what) for one in PUBLISHED})
    assert all("arXiv" in one.source for one in PUBLISHED)


def test_the_quality_of_the_network_is_that_of_the_evaluation(tmp_path: Path):
    from benchmarks.systems.quality import network_quality

    assert network_quality(tmp_path / "missing.json") == {}
    quality = network_quality()
    assert {"box_miou", "point_miou", "box_boundary_iou", "j_and_f", "weights_sha256"} <= set(quality)
    assert all(0 < quality[name] < 1 for name in ("box_miou", "point_miou", "box_boundary_iou", "j_and_f"))


def test_the_quality_of_a_model_that_finds_the_truth(tmp_path: Path):
    from benchmarks.systems.quality import prompted_quality

    discs = [disc(SIZE, 20, 30, 11), disc(SIZE, 70, 25, 14)]
    folder = coco_folder(tmp_path / "coco", [(paint(discs, [(200, 9, 9), (9, 200, 9)], SIZE), coco_labels(discs))])

    def truth(image: ImageArray, box: Float32Array) -> MaskArray:
        x, y = int(box[::2].mean()), int(box[1::2].mean())
        return next(mask for mask in discs if mask[y, x])

    assert prompted_quality(ScriptedModel(truth), folder) == {
        "box_miou": 1.0, "point_miou": 1.0, "box_boundary_iou": 1.0, "num_objects": 2
    }  # fmt: skip
    boxes = prompted_quality(ScriptedModel(), folder)
    assert 0.7 < boxes["box_miou"] < 0.85, "the filled box of a disc"
    assert boxes["point_miou"] == 0, "the filled box of a point is empty"


@pytest.mark.slow
def test_a_tier_that_finds_the_truth_raises_the_quality_of_following(tmp_path: Path):
    from benchmarks.systems.quality import followed_quality

    folder = sequence_folder(tmp_path / "video", {"disc": moving(6)})

    def rough(images: Sequence[ImageArray], regions: object = None) -> list[Instances]:
        """Find the object with a frame of pixels around it."""
        return [instances_of([cv2.dilate(red(image).astype(np.uint8), np.ones((5, 5))) > 0]) for image in images]

    def red(image: ImageArray) -> MaskArray:
        return (image[:, :, 0] > 150) & (image[:, :, 1] < 50)

    model = ScriptedModel(lambda image, box: red(image))
    quality = followed_quality(rough, lambda: Tiers(quality=PromptableQualityTier(model, name="truth")), folder)
    assert quality["num_frames"] == 6
    assert quality["j_and_f"] == pytest.approx(1)
    assert quality["j_and_f_without"] < 0.9
