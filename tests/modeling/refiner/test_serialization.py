import pytest
import torch

from streamseg.errors import WeightsError
from streamseg.modeling.refiner import REFINER_PREFIX, refiner_from_state_dict, refiner_from_text, refiner_to_text
from streamseg.weights import load_weights
from tests.support.networks import lively_network
from tests.support.refiners import refined_file, trained_refiner


@pytest.mark.slow
def test_refiner_is_loaded_from_weights(tmp_path):
    weights = load_weights(refined_file(tmp_path, trained_refiner()))
    assert weights.network().config.num_masks == 32
    found = weights.refiner()
    assert found is not None
    for name, tensor in trained_refiner().state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


@pytest.mark.parametrize("options", [{"num_blocks": 0}, {"num_blocks": 3}, {"num_blocks": 5}, {"width": 16}], ids=str)
def test_architecture_is_inferred_from_tensors(options):
    own = trained_refiner(**options).state_dict()
    found = refiner_from_state_dict({REFINER_PREFIX + name: tensor for name, tensor in own.items()}, num_masks=32)
    assert found is not None
    assert {name: tensor.shape for name, tensor in found.state_dict().items()} == {
        name: tensor.shape for name, tensor in own.items()
    }


def test_calibration_without_an_exponent_ranks_by_the_product():
    """Files from before the exponent hold slope and constant only."""
    own = trained_refiner().state_dict() | {"calibration": torch.tensor([0.8, -0.2])}
    found = refiner_from_state_dict({REFINER_PREFIX + name: tensor for name, tensor in own.items()}, num_masks=32)
    assert found is not None
    torch.testing.assert_close(found.calibration, torch.tensor([0.8, -0.2, 1.0]))


@pytest.mark.slow
def test_weights_without_refiner():
    assert refiner_from_state_dict(lively_network().state_dict(), num_masks=32) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda own: own.pop("size.weight"), "refiner.size.weight.*shape none", id="missing"),
        pytest.param(lambda own: own.pop("enter.weight"), "refiner.enter.weight is missing", id="unknown width"),
        pytest.param(lambda own: own.update(other=torch.zeros(3)), "refiner.other.*requires none", id="unexpected"),
        pytest.param(
            lambda own: own.update({"correct.bias": torch.zeros(3)}), r"refiner.correct.bias.*\(3,\)", id="shape"
        ),
        pytest.param(
            lambda own: own.update({"enter.weight": torch.zeros(9999, 8, 2, 2)}), "absurd", id="absurdly wide"
        ),
        pytest.param(
            lambda own: own.update({f"blocks.{row}.mix.bias": torch.zeros(32) for row in range(99)}),
            "has 99 blocks; at most 32",
            id="absurdly deep",
        ),
        pytest.param(lambda own: own.pop("blocks.1.mix.bias"), r"blocks.1.mix.bias.*shape none", id="half a block"),
        pytest.param(
            lambda own: own.update({"blocks.x.mix.bias": torch.zeros(32)}),
            "blocks.4.*shape none",
            id="invalid block",
        ),
        pytest.param(lambda own: own.pop("version"), "version 1, but version 3 is required", id="first version"),
        pytest.param(lambda own: own.update(version=torch.tensor(9.0)), "version 9, but version 3", id="later version"),
        pytest.param(lambda own: own.update(version=torch.zeros(2)), "version 1, but", id="version with two elements"),
    ],
)
def test_invalid_refiner_is_rejected(change, message):
    own = dict(trained_refiner().state_dict())
    change(own)
    with pytest.raises(WeightsError, match=message):
        refiner_from_state_dict({REFINER_PREFIX + name: tensor for name, tensor in own.items()}, num_masks=32)


def test_refiner_for_another_number_of_prototypes_is_rejected():
    own = {REFINER_PREFIX + name: tensor for name, tensor in trained_refiner().state_dict().items()}
    with pytest.raises(WeightsError, match="project"):
        refiner_from_state_dict(own, num_masks=16)


def test_text_round_trip():
    found = refiner_from_text(refiner_to_text(trained_refiner()), num_masks=32)
    for name, tensor in trained_refiner().state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


@pytest.mark.parametrize("text", ["", "not base64!", "aGVsbG8="], ids=["empty", "not base64", "not tensors"])
def test_invalid_text_is_rejected(text):
    with pytest.raises(WeightsError, match="refiner in the metadata is invalid"):
        refiner_from_text(text, num_masks=32)
