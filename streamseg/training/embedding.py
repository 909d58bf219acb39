"""Training of the embedding branch on top of a finished network, which remains unchanged.

Label propagation gives each cell the label of similar cells in earlier frames. The loss is that decision itself: the
probability that a cell of one frame takes its label from the same object in another one (neighbourhood components
analysis, Goldberger et al. 2004, per cell).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamseg.errors import ConfigError, WeightsError
from streamseg.modeling.nanodet import NanoDetNetwork
from streamseg.modeling.network import Network, fuse
from streamseg.training.compose import Draw
from streamseg.training.frame_pairs import FramePair, compose_pair

__all__ = ["EmbeddingSettings", "PairFeatures", "collect_pairs", "num_steps", "train_embedding"]

TEMPERATURE = 0.07
"""Temperature of the softmax over the similarities of cells, as in propagation."""

RADIUS = 12
"""Distance of cells that are compared, per axis: objects move by at most that many between two frames."""

BORDER = 2
"""Distance in cells from another object, up to which a cell is drawn `BORDER_GAIN` times as often."""
BORDER_GAIN = 3.0

NUM_CELLS = 400
"""Cells of a frame that the loss of a step is computed for."""

HELD_OUT_SHARE = 0.1
"""Share of the pairs that are held out for the accuracy."""


@dataclass(frozen=True)
class EmbeddingSettings:
    """Settings of the training.

    Raises:
        ConfigError: a value is out of range.
    """

    channels: int = 48
    num_pairs: int = 800
    size: int = 320
    """Side of the frames, in pixels; a multiple of 32."""
    num_epochs: float = 4.0
    batch_size: int = 4
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, is_right, allowed in (
            ("channels", 4 <= self.channels <= 256, "4 to 256"),
            ("num_pairs", self.num_pairs >= 10, "at least 10"),
            ("size", self.size >= 64 and self.size % 32 == 0, "a multiple of 32, at least 64"),
            ("num_epochs", 0 < self.num_epochs < math.inf, "above 0"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
        ):
            if not is_right:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {allowed}")


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """Backbone features of N pairs of frames, and the object of each cell."""

    fine: Tensor
    """float16 (N, 2, C3, h, w), at stride 8."""
    coarse: Tensor
    """float16 (N, 2, C4, h / 2, w / 2), at stride 16."""
    labels: Tensor
    """int16 (N, 2, h, w): number of the object, 0 for none."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> PairFeatures:
        return PairFeatures(self.fine[rows], self.coarse[rows], self.labels[rows])


@torch.inference_mode()
def collect_pairs(
    network: Network,
    draw: Draw,
    settings: EmbeddingSettings,
    *,
    on_pair: Callable[[int], None] = lambda done: None,
) -> PairFeatures:
    """Compose pairs of frames and run the backbone on them.

    Args:
        network: NanoDet-seg, in eval mode.
        draw: draws a labelled image.
        settings: settings of the training.
        on_pair: called with the number of finished pairs.

    Raises:
        WeightsError: the network has another architecture.
    """
    if not isinstance(network, NanoDetNetwork):
        raise WeightsError(f"embeddings require a NanoDet-seg network, got {network.architecture}; use other weights")
    backbone = fuse(network).get_submodule("backbone")
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for index in range(settings.num_pairs):
        pair: FramePair = compose_pair(np.random.default_rng((settings.seed, index)), draw, settings.size)
        images = torch.from_numpy(np.stack(pair.images)).permute(0, 3, 1, 2).float() / 255
        _, fine, coarse, _ = backbone(images)
        found.append((fine.half(), coarse.half(), torch.from_numpy(np.stack(pair.labels))))
        on_pair(index + 1)
    return PairFeatures(*(torch.stack(parts) for parts in zip(*found, strict=True)))


def num_steps(num_pairs: int, settings: EmbeddingSettings) -> int:
    """Return the number of training steps for this many pairs."""
    num_training = num_pairs - _num_held_out(num_pairs)
    return max(math.ceil(settings.num_epochs * num_training / settings.batch_size), 1)


def _num_held_out(num_pairs: int) -> int:
    return max(round(num_pairs * HELD_OUT_SHARE), 1)


def train_embedding(
    network: Network,
    pairs: PairFeatures,
    settings: EmbeddingSettings,
    *,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> tuple[NanoDetNetwork, float]:
    """Train an embedding branch for the network that the pairs' features are from.

    Args:
        network: the network; it is copied, with everything but its embedding branch.
        pairs: result of `collect_pairs`.
        settings: settings of the training.
        on_step: called with the number of the step and the loss.

    Returns:
        The network with the branch, in eval mode, and the mean probability on held-out pairs that a cell takes its
        label from its own object, 0..1.
    """
    assert isinstance(network, NanoDetNetwork)
    torch.manual_seed(settings.seed)
    trained = NanoDetNetwork(replace(network.config, embedding_channels=settings.channels))
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("embedding.")}
    trained.load_state_dict(own, strict=False)
    embedding = trained.embedding
    assert embedding is not None
    num_training = len(pairs) - _num_held_out(len(pairs))
    total = num_steps(len(pairs), settings)
    optimizer = torch.optim.AdamW(embedding.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rng = torch.Generator().manual_seed(settings.seed)
    for step in range(total):
        cosine = (1 + math.cos(math.pi * step / total)) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (step + 1) / 20) * (cosine + 1e-3)
        rows = torch.randint(num_training, (settings.batch_size,), generator=rng)
        first, second = _embedded(embedding, pairs[rows])
        labels = pairs.labels[rows].long()
        # Each frame is in turn the memory of the other.
        memory, query = (first, second) if step % 2 else (second, first)
        known, wanted = (labels[:, 0], labels[:, 1]) if step % 2 else (labels[:, 1], labels[:, 0])
        loss = -_own_log_probability(memory, known, query, wanted, rng).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(step + 1, float(loss.detach()))
    with torch.inference_mode():
        accuracy = float(np.mean(list(_accuracies(embedding, pairs[num_training:]))))
    return trained.eval().requires_grad_(False), accuracy


def _embedded(embedding: torch.nn.Module, pairs: PairFeatures) -> tuple[Tensor, Tensor]:
    values = embedding(pairs.fine.flatten(0, 1).float(), pairs.coarse.flatten(0, 1).float())
    both = values.unflatten(0, (-1, 2))
    return both[:, 0], both[:, 1]


def _accuracies(embedding: torch.nn.Module, pairs: PairFeatures) -> Iterator[float]:
    """Yield the mean probability of each pair that a cell takes its label from its own object."""
    rng = torch.Generator().manual_seed(0)
    for row in range(len(pairs)):
        one = pairs[row : row + 1]
        first, second = _embedded(embedding, one)
        labels = one.labels.long()
        yield float(_own_log_probability(first, labels[:, 0], second, labels[:, 1], rng).exp().mean())


def _own_log_probability(
    memory: Tensor, memory_labels: Tensor, query: Tensor, query_labels: Tensor, rng: torch.Generator
) -> Tensor:
    """Return the logarithm of the probability that a cell takes its label from its own object.

    Args:
        memory: float (B, E, h, w), unit vectors over E, of one frame.
        memory_labels: int64 (B, h, w), object of each cell, 0 for none.
        query: the same of the other frame.
        query_labels: the same of the other frame.
        rng: draws `NUM_CELLS` cells of each frame, mostly on and near objects.

    Returns:
        (K,), K up to B * `NUM_CELLS`, at most 0. Cells whose object has no cell in reach in the memory do not count; if
        there are only such, a single 0.
    """
    height, width = query.shape[2:]
    weights = _weights(query_labels).flatten(1)
    drawn = torch.multinomial(weights, min(NUM_CELLS, height * width), generator=rng)  # (B, Q)
    y, x = torch.arange(height * width) // width, torch.arange(height * width) % width
    near_y = (y[drawn][..., None] - y).abs() <= RADIUS
    in_reach = near_y & ((x[drawn][..., None] - x).abs() <= RADIUS)  # (B, Q, N)
    keys = memory.flatten(2)  # (B, E, N)
    queries = query.flatten(2).gather(2, drawn[:, None].expand(-1, keys.shape[1], -1)).transpose(1, 2)  # (B, Q, E)
    # Finite minima: -inf would give NaN gradients.
    lowest = torch.finfo(queries.dtype).min / 2
    logits = (queries @ keys / TEMPERATURE).masked_fill(~in_reach, lowest)
    objects = query_labels.flatten(1).gather(1, drawn)[..., None]
    is_own = (objects == memory_labels.flatten(1)[:, None]) & in_reach
    own = logits.masked_fill(~is_own, lowest).logsumexp(dim=2) - logits.logsumexp(dim=2)  # (B, Q)
    counts = is_own.any(dim=2)
    return own[counts] if counts.any() else queries.sum()[None] * 0


def _weights(labels: Tensor) -> Tensor:
    """Return float (B, h, w): `BORDER_GAIN` near the outline of an object, 1 on objects, little elsewhere."""
    values = labels[:, None].float()
    side = 2 * BORDER + 1
    highest = functional.max_pool2d(values, side, 1, BORDER)
    lowest = -functional.max_pool2d(-values, side, 1, BORDER)
    near = (highest != lowest)[:, 0]
    return torch.where(near, BORDER_GAIN, torch.where(labels > 0, 1.0, 0.2))
