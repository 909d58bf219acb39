"""Devices that a training can run on."""

from __future__ import annotations

import torch

from streamseg.errors import ConfigError

__all__ = ["check_device"]


def check_device(device: str) -> None:
    """Check that a device exists: `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigError: it does not.
    """
    if device == "cpu":
        return
    name, _, number = device.partition(":")
    if name != "cuda" or not (number or "0").isdecimal() or int(number or 0) >= torch.cuda.device_count():
        available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise ConfigError(f"device {device!r} is not available; available: {', '.join(available)}")
