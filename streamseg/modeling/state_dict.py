"""From tensors by name to the network that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from streamseg.errors import WeightsError
from streamseg.modeling.network import Network, NetworkConfig

__all__ = [
    "SPPF_ACTIVATION",
    "check_state_dict",
    "config_from_state_dict",
    "network_from_state_dict",
    "meta_network",
]

MOST_CHANNELS = 65_536
"""Larger axes are no network's; shapes are read from files, and a network is built of them."""

SPPF_ACTIVATION = "sppf_activation"
"""The entry (`true` or `false`) of a file's metadata for `NetworkConfig.sppf_activation`; without it, true."""


def config_from_state_dict(state_dict: Mapping[str, Tensor]) -> NetworkConfig:
    """Read widths, depths, classes and bins from the tensors' shapes; nothing is assumed.

    What no tensor tells (`sppf_activation`) is as in FastSAM.

    Raises:
        WeightsError: a tensor that decides them is missing, or has the wrong number of axes or an absurd size.
    """

    def size(name: str, axis: int) -> int:
        if name not in state_dict:
            raise WeightsError(f"these are not the weights of a YOLOv8-seg network: tensor {name!r} is missing")
        if state_dict[name].ndim != 4:
            raise WeightsError(f"tensor {name!r} must have 4 axes, got shape {tuple(state_dict[name].shape)}")
        count = int(state_dict[name].shape[axis])
        if not 1 <= count <= MOST_CHANNELS:
            raise WeightsError(f"tensor {name!r} has {count} in axis {axis}; 1..{MOST_CHANNELS} are allowed")
        return count

    def repeats(stage: int) -> int:
        count = 0
        while f"model.{stage}.m.{count}.cv1.conv.weight" in state_dict:
            count += 1
        return count

    stages = [size(f"model.{index}.conv.weight", 0) for index in (0, 1, 3, 5, 7)]
    return NetworkConfig(
        channels=(stages[0], stages[1], stages[2], stages[3], stages[4]),
        repeats=(repeats(2), repeats(4)),
        prototype_channels=size("model.22.proto.cv1.conv.weight", 0),
        num_classes=size("model.22.cv3.0.2.weight", 0),
        reg_max=size("model.22.dfl.conv.weight", 1),
        num_masks=size("model.22.proto.cv3.conv.weight", 0),
    )


def check_state_dict(state_dict: Mapping[str, Tensor]) -> NetworkConfig:
    """Check that these are all the tensors of one network, and no others; none is built.

    Returns:
        The configuration that their shapes tell.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape; the first few are named.
    """
    config = config_from_state_dict(state_dict)
    wanted = meta_network(config).state_dict()
    missing = [name for name in wanted if name not in state_dict and not _is_counter(name)]
    left_over = [name for name in state_dict if name not in wanted]
    wrong = [
        f"{name} is {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
        for name, tensor in state_dict.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    for problem, names in (("missing", missing), ("left over", left_over), ("of another shape", wrong)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise WeightsError(f"tensors {problem}: {', '.join(names[:3])}{more}")
    return config


def _is_counter(name: str) -> bool:
    """A counter of training steps, in some files only."""
    return name.endswith("num_batches_tracked")


def network_from_state_dict(state_dict: Mapping[str, Tensor], *, sppf_activation: bool = True) -> Network:
    """Build the network that these tensors belong to, and load them; in eval mode, float32.

    Args:
        state_dict: tensors by their official names.
        sppf_activation: what no tensor tells; see `NetworkConfig`.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape; the first few are named.
    """
    network = meta_network(replace(check_state_dict(state_dict), sppf_activation=sppf_activation))
    loaded = {}
    for name, tensor in network.state_dict().items():
        given = state_dict[name] if name in state_dict else torch.zeros(tensor.shape)
        loaded[name] = given.detach().to(tensor.dtype, copy=True)
    network.load_state_dict(loaded, assign=True)
    return network.eval()


def meta_network(config: NetworkConfig) -> Network:
    """A network whose tensors have shapes and types alone.

    Configurations come from files: this one takes neither memory nor time, however large it is.
    """
    with torch.device("meta"), _WithoutRandomWeights():
        return Network(config)


class _WithoutRandomWeights(TorchFunctionMode):
    """Leaves out the random numbers that torch fills new layers with; on shapes alone they take half a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)
