from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from streamseg.segmentation.engines import leave_cores


@dataclass
class Named:
    """As much of an engine as is asked."""

    name: str


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("name", "num_threads"), [("torch", 2), ("onnx", 1)])
def test_torch_keeps_its_threads_where_it_runs_the_network(name: str, num_threads: int):
    leave_cores(Named(name))  # type: ignore[arg-type]
    assert torch.get_num_threads() == num_threads
