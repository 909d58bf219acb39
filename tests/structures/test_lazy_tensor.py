import numpy as np
import pytest
import torch

from streamseg.structures.grid import STRIDE_4
from streamseg.structures.instances import Instances
from streamseg.structures.lazy_tensor import LazyTensor

VALUES = torch.arange(24.0).view(2, 3, 4)


class Source:
    """Counts how often its values are fetched."""

    def __init__(self):
        self.num_fetches = 0

    def __call__(self):
        self.num_fetches += 1
        return VALUES


@pytest.fixture
def source():
    return Source()


def test_shape_and_type_need_no_values(source):
    lazy = LazyTensor((2, 3, 4), source)
    assert (tuple(lazy.shape), lazy.ndim, len(lazy), lazy.size(1)) == ((2, 3, 4), 3, 2, 3)
    assert (lazy.dtype, lazy.device.type, lazy.numel()) == (torch.float32, "cpu", 24)
    assert not lazy.is_fetched
    assert source.num_fetches == 0


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda values: values.numpy(), id="numpy"),
        pytest.param(np.asarray, id="asarray"),
        pytest.param(lambda values: values + 1, id="operator"),
        pytest.param(lambda values: torch.stack([values, values]), id="in a list"),
        pytest.param(lambda values: torch.mm(torch.ones(1, 2), values.reshape(2, 12)), id="argument"),
        pytest.param(lambda values: values[1, :2], id="index"),
        pytest.param(lambda values: values.half(), id="conversion"),
        pytest.param(lambda values: values.index_select(0, torch.tensor([1])), id="index-select"),
    ],
)
def test_any_use_fetches_the_values_once(source, use):
    lazy = LazyTensor((2, 3, 4), source)
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(use(lazy)), np.asarray(use(VALUES)))
    assert lazy.is_fetched
    assert source.num_fetches == 1


def instances(source):
    return Instances(torch.zeros(2, 4), torch.tensor([0.9, 0.8]), LazyTensor((2, 3, 4), source), STRIDE_4, (12, 16))


@pytest.mark.parametrize(
    "rows",
    [[1], slice(0, 1), torch.tensor([True, False]), torch.tensor([1, 0]), -1, []],
    ids=["list", "slice", "mask", "index", "number", "none"],
)
def test_selected_rows_of_instances_stay_lazy(source, rows):
    chosen = instances(source)[rows]
    assert source.num_fetches == 0
    index = [rows] if isinstance(rows, int) else torch.tensor(rows, dtype=torch.int64) if rows == [] else rows
    assert chosen.mask_logits.reshape(-1).equal(VALUES[index].reshape(-1))


def test_instances_on_the_host_stay_lazy(source):
    assert not instances(source).to("cpu").mask_logits.is_fetched
