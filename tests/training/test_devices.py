"""Devices that a training can run on."""

from __future__ import annotations

import pytest
import torch

from streamseg.errors import ConfigError
from streamseg.training.devices import check_device


def test_the_cpu_is_always_available():
    check_device("cpu")


@pytest.mark.parametrize("device", ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpus(device):
    check_device(device)


@pytest.mark.parametrize("device", ["cuda:99", "cuda:x", "cuda:-1", "mps", "abacus", ""])
def test_other_devices_are_refused_with_the_available_ones(device):
    with pytest.raises(ConfigError, match=r"is not available; available: cpu") as raised:
        check_device(device)
    assert "\n" not in str(raised.value)
