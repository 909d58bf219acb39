"""Settings of a training run, apart from its data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from streamseg.errors import ConfigError
from streamseg.modeling.sizes import NetworkSize
from streamseg.training.compose import ComposeSettings

__all__ = ["TrainingSettings"]


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a run; two runs with the same settings and data are identical.

    Raises:
        ConfigError: a value is out of range.
    """

    size: NetworkSize = "n"
    num_steps: int = 6000
    batch_size: int = 16
    sizes: tuple[int, ...] = (224, 256, 288)
    """Canvas sizes in pixels, one drawn per batch; multiples of 32."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-3
    final_learning_rate: float = 2e-5
    pretrained_rate: float = 1.0
    """Learning rate of the modules that the architecture's pretrained start provides, relative to `learning_rate`: 0 to
    1, and 0 leaves them as they are. Below 1 they also have no weight decay. YOLOv8-seg has no such start."""
    weight_decay: float = 0.02
    num_warmup_steps: int = 200
    average_decay: float = 0.9995
    """Decay per step of the moving average, 0 to below 1; reached gradually."""
    max_gradient_norm: float = 10.0
    mask_gain: float = 4.0
    """Weight of the mask loss: cross entropy plus Dice, about half each. Box and score losses use YOLOv8's weights."""
    teacher_gain: float = 1.0
    """Weight of the teacher's loss, if there is a teacher; see `teacher_loss`."""
    seed: int = 0
    half: bool = True
    """Run the network in bfloat16; the loss stays in float32."""
    compose: ComposeSettings = field(default_factory=ComposeSettings)

    def __post_init__(self) -> None:
        for name, is_right, allowed in (
            ("size", self.size in get_args(NetworkSize), f"one of {', '.join(get_args(NetworkSize))}"),
            ("num_steps", self.num_steps >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("batch_size", self.batch_size > 1 or 32 not in self.sizes, "at least 2 for images of 32 pixels"),
            ("sizes", self.sizes and all(s > 0 and s % 32 == 0 for s in self.sizes), "one or more multiples of 32"),
            ("optimizer", self.optimizer in ("adamw", "muon"), "adamw or muon"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("final_learning_rate", 0 <= self.final_learning_rate < math.inf, "0 or more"),
            ("pretrained_rate", 0 <= self.pretrained_rate <= 1, "from 0 to 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("num_warmup_steps", self.num_warmup_steps >= 0, "0 or more"),
            ("average_decay", 0 <= self.average_decay < 1, "from 0 to below 1"),
            ("max_gradient_norm", self.max_gradient_norm > 0, "above 0"),
            ("mask_gain", 0 <= self.mask_gain < math.inf, "0 or more"),
            ("teacher_gain", 0 <= self.teacher_gain < math.inf, "0 or more"),
            ("seed", self.seed >= 0, "0 or more"),
        ):
            if not is_right:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {allowed}")
