"""Optimizers: AdamW, or Muon for the convolutions with AdamW for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.errors import ConfigError
from streamseg.modeling.network import Network

__all__ = ["Optimizer", "build_optimizer", "muon_of", "require_muon"]

MUON_MOMENTUM = 0.95
"""Muon's published default (Jordan et al., 2024)."""


class Optimizer:
    """One or two torch optimizers that step together with the same learning rate.

    Args:
        parts: torch optimizers with disjoint parameters; `rate` of a group scales its learning rate.
        flat: pairs of a convolution's weight (O, I, h, w) and the leaf tensor (O, h * w * I) that shares its memory,
            for an optimizer that supports only matrices.
    """

    def __init__(
        self, parts: Sequence[torch.optim.Optimizer], flat: Sequence[tuple[nn.Parameter, nn.Parameter]] = ()
    ) -> None:
        self._parts = tuple(parts)
        self._flat = tuple(flat)
        groups = [group for part in self._parts for group in part.param_groups]
        self._decays = [group["weight_decay"] for group in groups]
        self._rates = [group["rate"] for group in groups]

    def step(self, learning_rate: float) -> None:
        """Update all weights and clear their gradients."""
        for convolution, matrix in self._flat:
            matrix.grad = None if convolution.grad is None else _as_matrix(convolution.grad)
            convolution.grad = None
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = learning_rate * group["rate"]
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state of each part, in order."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Restore a state; weight decays and rates remain those of the settings.

        Raises:
            ValueError: the state belongs to another kind of optimizer or to another network.
        """
        if len(states) != len(self._parts):
            raise ValueError(f"{len(states)} optimizers were saved, but the settings require {len(self._parts)}")
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
        groups = [group for part in self._parts for group in part.param_groups]
        for group, decay, rate in zip(groups, self._decays, self._rates, strict=True):
            group["weight_decay"], group["rate"] = decay, rate


def build_optimizer(kind: str, network: Network, *, weight_decay: float, pretrained_rate: float = 1.0) -> Optimizer:
    """Build the optimizer of a network; weight decay applies only to convolutions, not to biases and batch norms.

    Muon orthogonalises each matrix update, so all directions learn at the same rate; a convolution is treated as
    an outputs-by-inputs matrix. Its steps are scaled to the size of AdamW's (Liu et al., arXiv 2502.16982), so both
    share one learning rate and weight decay.

    Args:
        kind: "adamw" or "muon".
        network: network whose weights are in channels_last order and keep their memory.
        weight_decay: 0 or more.
        pretrained_rate: learning rate of the pretrained modules relative to the others', 0 to 1. If it is 0, their
            parameters are frozen; below 1 they are trained by AdamW without weight decay.

    Raises:
        ConfigError: this version of torch has no Muon.
        ValueError: the network is not in channels_last memory format.
    """
    pretrained: list[nn.Parameter] = []
    if pretrained_rate < 1:
        pretrained = [one for module in network.pretrained_modules() for one in module.parameters()]
    if pretrained_rate == 0:
        for one in pretrained:
            one.requires_grad_(False)
    careful = {id(one) for one in pretrained}
    trained = [one for one in network.parameters() if one.requires_grad and id(one) not in careful]
    # A single output has only one direction: there is nothing to orthogonalise.
    matrices = [one for one in trained if kind == "muon" and one.ndim == 4 and one.shape[0] > 1]
    chosen = {id(one) for one in matrices}
    others = [one for one in trained if id(one) not in chosen]
    groups = [
        {"params": [one for one in others if one.ndim > 1], "weight_decay": weight_decay, "rate": 1.0},
        {"params": [one for one in others if one.ndim <= 1], "weight_decay": 0.0, "rate": 1.0},
        {"params": [one for one in pretrained if one.requires_grad], "weight_decay": 0.0, "rate": pretrained_rate},
    ]
    adamw = torch.optim.AdamW(groups if groups[2]["params"] else groups[:2])
    if kind == "adamw":
        return Optimizer([adamw])
    require_muon("set optimizer to adamw")
    flat = [(one, nn.Parameter(_as_matrix(one.data))) for one in matrices]
    if any(matrix.data_ptr() != one.data_ptr() for one, matrix in flat):
        raise ValueError("Muon needs a network in channels_last memory format")
    return Optimizer([muon_of([matrix for _, matrix in flat], weight_decay=weight_decay), adamw], flat)


def require_muon(advice: str) -> None:
    """Refuse a version of torch without Muon.

    Args:
        advice: what to do, for the error.

    Raises:
        ConfigError: it has none.
    """
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(f"torch {torch.__version__} has no Muon (added in 2.9); {advice}")


def muon_of(matrices: Sequence[nn.Parameter], *, weight_decay: float) -> torch.optim.Optimizer:
    """Return Muon for some matrices, a part of an `Optimizer`."""
    return torch.optim.Muon(
        [{"params": list(matrices), "rate": 1.0}],
        momentum=MUON_MOMENTUM,
        weight_decay=weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )


def _as_matrix(weight: Tensor) -> Tensor:
    """View (O, I, h, w) as (O, h * w * I); copies only if the weight is not in channels_last order."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
