import torch

from benchmarks.prompt_tracking.fit import fit
from streamseg.prompting.reid import FEATURES
from tests.support.prompt_sequences import cup_and_kite


def test_fit_weights_distinguish_objects():
    fitted = fit([[cup_and_kite("c" * 20 + "." * 5 + "c" * 10)], [cup_and_kite("c" * 30)]])
    weights = fitted["weights"]
    assert isinstance(weights, dict)
    assert tuple(weights) == FEATURES[:6]
    absent = fitted["weights_beside_looks"]
    assert isinstance(absent, dict)
    assert tuple(absent) == FEATURES
    assert absent["appearance"] + absent["gallery"] > 0 > absent["constant"]
    assert weights["appearance"] > 0 > weights["constant"]
    assert fitted["num_pairs"] > fitted["num_same"] > 0
    assert torch.isfinite(torch.tensor(list(weights.values()))).all()
