"""Variants of following on a sequence."""

import pytest

from benchmarks.mask_propagation.ablation import MIN_SMOOTH_FRAMES, CachedEngine, ablation
from benchmarks.mask_propagation.variants import VARIANTS
from streamseg.engines import build_engine
from tests.support.sequences import moving, sequence_folder


@pytest.mark.slow
def test_every_variant_is_scored_for_every_prompt(tmp_path):
    sequence_folder(tmp_path, {"long": moving(MIN_SMOOTH_FRAMES), "short": moving(4)})
    variants = [one for one in VARIANTS if one.name in ("proposals only", "both", "both, no embedding")]
    scores = list(ablation(CachedEngine(build_engine()), tmp_path, variants, limit=None, imgsz=128))
    assert {(one.sequence, one.variant, one.prompt) for one in scores} == {
        ("long", variant.name, prompt) for variant in variants for prompt in ("box", "1 point")
    }
    assert all(0 <= one.region_and_contour <= 1 for one in scores)
    assert all(one.share_propagated == 0 for one in scores if one.variant == "proposals only")
