"""The workers of a configuration, from the resources of the machines."""

from __future__ import annotations

from typing import Any

import pytest

from streamseg.errors import ConfigError
from streamseg.fleet.workers import Machine, plan_workers, share_gpus
from tests.support.fleets import fleet_config

ONE_GPU = Machine("a", 8.0, 1)
FOUR_GPUS = Machine("b", 32.0, 4)


def names(section: dict[str, Any], *machines: Machine) -> list[str]:
    return [worker.name for worker in plan_workers(fleet_config("a", workers=[{"name": "w", **section}]), machines)]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        pytest.param({}, ["w"], id="one"),
        pytest.param({"count": 2}, ["w0", "w1"], id="number"),
        pytest.param({"count": "auto", "gpus": 1}, [f"w{number}" for number in range(5)], id="one-per-gpu"),
        pytest.param({"count": "auto", "gpus": 0.5}, [f"w{number}" for number in range(10)], id="half-a-gpu"),
        pytest.param({"count": "auto", "gpus": 0.3}, [f"w{number}" for number in range(15)], id="no-third-of-two-gpus"),
        pytest.param({"count": "auto", "gpus": 2}, ["w0", "w1"], id="two-gpus-of-one-machine"),
        pytest.param({"count": "auto", "cpus": 8}, [f"w{number}" for number in range(5)], id="cores"),
        pytest.param({"count": "auto", "gpus": 1, "host": "a"}, ["w0"], id="of-one-machine"),
        pytest.param({"count": 3, "gpus": 64}, ["w0", "w1", "w2"], id="a-number-is-not-limited"),
    ],
)
def test_names(section: dict[str, Any], expected: list[str]):
    assert names(section, ONE_GPU, FOUR_GPUS) == expected


def test_no_room():
    with pytest.raises(ConfigError, match=r"workers w: no machine has 1 GPUs; give a number"):
        names({"count": "auto", "gpus": 1}, Machine("c", 4.0, 0))


@pytest.mark.parametrize(
    ("gpus", "num_gpus", "expected"),
    [
        pytest.param([0, 0], 0, [(), ()], id="cpus"),
        pytest.param([0.5, 0.5, 0.5], 2, [(0,), (0,), (1,)], id="fractions"),
        pytest.param([1, 2], 3, [(0,), (1, 2)], id="whole"),
        pytest.param([0.6, 0.6], 2, [(0,), (1,)], id="fractions-that-do-not-fit-together"),
    ],
)
def test_shares_of_gpus(gpus: list[float], num_gpus: int, expected: list[tuple[int, ...]]):
    sections = [{"name": f"w{number}", "gpus": share} for number, share in enumerate(gpus)]
    workers = plan_workers(fleet_config("a", workers=sections), [])
    assert [worker.gpu_ids for worker in share_gpus(workers, num_gpus)] == expected


def test_too_few_gpus():
    workers = plan_workers(fleet_config("a", workers=[{"name": "w", "count": 3, "gpus": 0.5}]), [])
    with pytest.raises(ConfigError, match=r"worker w2 needs 0\.5 GPUs, but this machine has 1"):
        share_gpus(workers, 1)
