"""What moves the weights: AdamW, or Muon on the convolutions with AdamW on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.errors import ConfigError
from streamseg.modeling.network import Network

__all__ = ["Optimizer", "build_optimizer"]

MUON_MOMENTUM = 0.95
"""Muon's published default (Jordan et al., 2024)."""


class Optimizer:
    """One or two of torch's optimizers that step together, at one learning rate.

    Args:
        parts: torch optimizers, over different parameters.
        flat: pairs of a convolution's weight (O, I, h, w) and the leaf (O, h * w * I) that shares its memory, for
            an optimizer that moves matrices only.
    """

    def __init__(
        self, parts: Sequence[torch.optim.Optimizer], flat: Sequence[tuple[nn.Parameter, nn.Parameter]] = ()
    ) -> None:
        self._parts = tuple(parts)
        self._flat = tuple(flat)
        self._decays = [group["weight_decay"] for part in self._parts for group in part.param_groups]

    def step(self, learning_rate: float) -> None:
        """Move every weight along its gradient, and forget the gradients."""
        for convolution, matrix in self._flat:
            matrix.grad = None if convolution.grad is None else _as_matrix(convolution.grad)
            convolution.grad = None
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = learning_rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each part, in order."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Take over a state; weight decay stays as the settings have it.

        Raises:
            ValueError: it is the state of another kind of optimizer, or of another network.
        """
        if len(states) != len(self._parts):
            raise ValueError(f"{len(states)} optimizers were saved, the settings ask for {len(self._parts)}")
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
        groups = [group for part in self._parts for group in part.param_groups]
        for group, decay in zip(groups, self._decays, strict=True):
            group["weight_decay"] = decay


def build_optimizer(kind: str, network: Network, *, weight_decay: float) -> Optimizer:
    """Make one; weight decay acts on convolutions only, not on biases and batch norms.

    Muon makes each update of a matrix orthogonal, so that all its directions learn at the same pace; a convolution
    is a matrix of its outputs by its inputs. With steps as large as AdamW's own (Liu et al., arXiv 2502.16982)
    the same learning rate and weight decay serve both.

    Args:
        kind: "adamw" or "muon".
        network: its weights must lie in channels_last order and stay where they are.
        weight_decay: 0 or more.

    Raises:
        ConfigError: this torch has no Muon.
        ValueError: the network is not in channels_last memory format.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # A single output has one direction only: nothing to make orthogonal.
    matrices = [one for one in trained if kind == "muon" and one.ndim == 4 and one.shape[0] > 1]
    chosen = {id(one) for one in matrices}
    others = [one for one in trained if id(one) not in chosen]
    adamw = torch.optim.AdamW(
        [
            {"params": [one for one in others if one.ndim > 1], "weight_decay": weight_decay},
            {"params": [one for one in others if one.ndim <= 1], "weight_decay": 0.0},
        ]
    )
    if kind == "adamw":
        return Optimizer([adamw])
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(f"torch {torch.__version__} has no Muon, 2.9 and later have; set optimizer to adamw")
    flat = [(one, nn.Parameter(_as_matrix(one.data))) for one in matrices]
    if any(matrix.data_ptr() != one.data_ptr() for one, matrix in flat):
        raise ValueError("Muon needs a network in channels_last memory format")
    muon = torch.optim.Muon(
        [matrix for _, matrix in flat],
        momentum=MUON_MOMENTUM,
        weight_decay=weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return Optimizer([muon, adamw], flat)


def _as_matrix(weight: Tensor) -> Tensor:
    """(O, I, h, w) as (O, h * w * I): without a copy where it lies in channels_last order."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
