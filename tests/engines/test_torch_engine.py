import os

import numpy as np
import pytest
import torch

from streamseg.engines import largest_differences
from streamseg.engines.torch_engine import TorchEngine
from streamseg.modeling.decoding import decode
from streamseg.modeling.refiner import Refiner
from tests.support.networks import blobs, lively_network

NEEDS_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available() and not os.environ.get("FAIL_WITHOUT_CUDA"), reason="needs a CUDA GPU"
)


@pytest.fixture(scope="module")
def network():
    return lively_network()


@pytest.fixture(scope="module")
def images():
    return np.stack([blobs((64, 96), seed) for seed in range(3)])


@pytest.mark.slow
def test_engine_equals_the_network(network, images):
    raw = TorchEngine(network).run(images)
    with torch.inference_mode():
        expected = decode(network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255))
    for found, wanted in zip(raw.arrays().values(), expected[:4], strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted.numpy(), atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_result_is_independent_of_the_batch(network, images):
    engine = TorchEngine(network)
    together = engine.run(images)
    for row in range(len(images)):
        alone = engine.run(images[row : row + 1])
        for name, values in together.arrays().items():
            np.testing.assert_allclose(getattr(alone, name)[0], values[row], atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_half_precision_on_the_cpu_is_close(network, images):
    engine = TorchEngine(network, half=True)
    assert engine.half
    raw = engine.run(images)
    # The host arrays are float32, because NumPy has no bfloat16.
    assert {values.dtype for values in raw.arrays().values()} == {np.dtype(np.float32)}
    differences = largest_differences(raw, TorchEngine(network).run(images))
    # Limits documented in the class; the coefficients of these weights reach 8.
    assert 0 < differences["scores"] < 0.2
    assert differences["boxes"] < 16
    assert differences["mask_coefficients"] < 0.5
    assert differences["prototypes"] < 0.1


@pytest.mark.slow
def test_engine_does_not_modify_the_given_network(network, images):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    TorchEngine(network, half=True).run(images)
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.slow
def test_closed_engine_does_not_run(network, images):
    engine = TorchEngine(network)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(images)


@NEEDS_CUDA
@pytest.mark.parametrize("half", [False, True])
def test_cuda_equals_the_cpu(network, images, half):
    raw = TorchEngine(network, device="cuda:0", half=half).run(images)
    assert raw.boxes.dtype == raw.scores.dtype == np.float32
    assert raw.prototypes.dtype == (np.float16 if half else np.float32)
    differences = largest_differences(raw, TorchEngine(network).run(images))
    assert differences["scores"] < (0.02 if half else 1e-3)
    assert differences["boxes"] < (2 if half else 0.01)


def test_closed_engine_holds_no_tensors():
    engine = TorchEngine(lively_network(), refiner=Refiner())
    engine.close()
    engine.close()
    assert engine.refiner is None
    assert not [value for value in vars(engine).values() if isinstance(value, torch.nn.Module | torch.Tensor)]
