"""The comparison of live runs with and without a tier."""

from collections.abc import Sequence

import pytest
import torch

from benchmarks.live_tiers import compared, live_run, main
from streamseg.config import SceneSource
from streamseg.structures.arrays import ImageArray
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from streamseg.tiers import Tiers
from streamseg.tiers.quality.tier import PromptableQualityTier
from tests.support.promptable import ScriptedModel


def test_unknown_systems_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--systems", "mobile-sam,sam9"])
    assert caught.value.code == 2
    assert "unknown systems sam9; known are mobile-sam" in capsys.readouterr().err


def turn(tier: str, fps: float, age: float, published: int = 9, **masks: int) -> dict[str, object]:
    return {
        "tier": tier, "fps": fps, "age_p95_ms": age, "published": published, "finished": 9, "in_order": True,
        "mask_source": masks,
    }  # fmt: skip


def test_medians_and_ratios_of_turns():
    turns = [
        turn("without", 20, 50, proposal=9), turn("with", 16, 60, proposal=8, quality=1),
        turn("without", 20, 50, proposal=9), turn("with", 18, 60, proposal=9),
    ]  # fmt: skip
    figures = compared(turns)
    assert (figures["fps_ratio"], figures["age_p95_ratio"], figures["all_published"]) == (0.85, 1.2, True)
    assert figures["mask_source"] == {"proposal": 17, "quality": 1}
    assert not compared([*turns, turn("with", 16, 60, published=8)])["all_published"]


def test_a_live_run_counts_its_messages_and_masks():
    scene = SceneSource(id="scene", width=100, height=64, fps=200.0, num_frames=20, num_objects=1)

    def everything(images: Sequence[ImageArray], regions: object = None) -> list[Instances]:
        whole = torch.tensor([[0.0, 0.0, 100.0, 64.0]])
        return [
            Instances(whole, torch.ones(1), torch.full((1, 16, 25), 4.0), GridTransform(4, 4, 0, 0), (64, 100))
            for _ in images
        ]

    tiers = Tiers(quality=PromptableQualityTier(ScriptedModel(), name="scripted", budget_ms=20))
    figures = live_run(everything, tiers, 10.0, scene)
    assert 1 <= figures["finished"] <= 20
    assert figures["published"] == figures["finished"] == sum(figures["mask_source"].values())
    assert figures["in_order"]
    assert set(figures["counts"]) == {"quality"}
