"""Threads of the processor for the network and for the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from streamseg.engines import has_free_core, leave_core_for_sources, leave_cores


@dataclass
class NamedEngine:
    """The only attributes of an engine that `leave_cores` reads."""

    name: str
    device: str


def blas_threads() -> set[int]:
    """Return the thread counts of all loaded BLAS libraries."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2, user_api="blas"):
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("name", "device", "num_threads"),
    [("torch", "cpu", 2), ("torch", "cuda:0", 1), ("onnx", "cpu", 1), ("onnx", "tensorrt:0", 1)],
)
def test_host_threads_are_limited_unless_torch_runs_the_network_on_the_cpu(name: str, device: str, num_threads: int):
    leave_cores(NamedEngine(name, device))  # type: ignore[arg-type]
    assert torch.get_num_threads() == num_threads
    assert blas_threads() == {num_threads}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("num_live", "environment", "num_threads"),
    [
        pytest.param(0, {}, 2, id="files only"),
        pytest.param(1, {}, 2, id="one camera"),
        pytest.param(3, {}, 2, id="fewer than two per core"),
        pytest.param(4, {}, 1, id="two per core"),
        pytest.param(100, {}, 1, id="many"),
        pytest.param(100, {"OMP_NUM_THREADS": "2"}, 2, id="the user has decided"),
    ],
)
def test_many_live_sources_take_a_thread_from_the_network(num_live: int, environment: dict[str, str], num_threads: int):
    leave_core_for_sources(num_live, environment)
    assert torch.get_num_threads() == num_threads


@pytest.mark.usefixtures("two_threads")
def test_the_only_thread_stays():
    torch.set_num_threads(1)
    leave_core_for_sources(100, {})
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("device", "num_cores", "expected"),
    [
        pytest.param("cpu", 2, False, id="all cores"),
        pytest.param("cpu", 4, True, id="one per pair of hardware threads"),
        pytest.param("cpu", None, False, id="unknown"),
        pytest.param("cuda:0", 4, False, id="on a GPU"),
    ],
)
def test_free_core(device: str, num_cores: int | None, *, expected: bool):
    assert has_free_core(NamedEngine("onnx", device), num_cores) is expected  # type: ignore[arg-type]
