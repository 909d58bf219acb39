from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from streamseg.engines import leave_cores


@dataclass
class Named:
    """As much of an engine as is asked."""

    name: str


def blas_threads() -> set[int]:
    """Of every library for NumPy's and SciPy's products that is loaded."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2, user_api="blas"):
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("name", "num_threads"), [("torch", 2), ("onnx", 1)])
def test_threads_are_kept_where_torch_runs_the_network(name: str, num_threads: int):
    leave_cores(Named(name))  # type: ignore[arg-type]
    assert torch.get_num_threads() == num_threads
    assert blas_threads() == {num_threads}
