"""The process that measures: results, failures, missing modes, hangs and exits; ended by force if necessary."""

import pytest

from benchmarks.gpu.cases import CASES
from benchmarks.gpu.plan import Measurement
from benchmarks.gpu.workers import ProcessWorker, Request
from tests.support.gpu_measurements import act

X1, X4 = (next(case for case in CASES if case.name == name) for name in ("x1", "x4"))


def request(case=X1, *, mode="graph", device="work", limit=120):
    return Request(Measurement(case, "frames", mode), device, 50, 1.5, 3, limit)


@pytest.fixture
def worker():
    worker = ProcessWorker(act)
    yield worker
    worker.stop()


def test_one_process_makes_several_measurements_and_lacks_a_mode(worker):
    first, missing, second = (worker.measure(request(mode=mode)) for mode in ("graph", "tensorrt", "eager"))
    assert first.values["process"] == second.values["process"]
    assert first.values["seconds"] == 1.5
    assert (missing.state, missing.reason) == ("unavailable", "engine tensorrt needs TensorRT 10 or newer")
    assert worker.is_usable
    worker.stop()
    worker.stop()
    assert not worker._process.is_alive()


@pytest.mark.parametrize(
    ("case", "device", "limit", "reason"),
    [
        pytest.param(
            X4, "work", 120, "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", id="out of memory"
        ),
        pytest.param(X1, "exit", 120, "its process ended with exit code 7", id="exit"),
        pytest.param(X1, "hang", 0.2, "no result within 0 s; its process was ended", id="hang"),
    ],
)
def test_failure_is_one_line_and_ends_the_process(worker, case, device, limit, reason):
    outcome = worker.measure(request(case, device=device, limit=limit))
    assert (outcome.state, outcome.reason) == ("failed", reason)
    assert not worker.is_usable
    worker.stop()
    assert not worker._process.is_alive()
