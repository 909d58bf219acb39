"""The refiner's training examples as patches of 2 x 2 cells, and the refiner's arithmetic on them.

The refiner reads and writes patches. Stored as patches, an example enters it by a single product of matrices, and
nothing is sampled, widened or reordered in a step; mirrored examples are those that a mirrored refiner reads. A step
takes a third of the time of `Refiner.forward`, whose results are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from streamseg.modeling.refiner import REFINER_RASTER, Refiner
from streamseg.modeling.refiner.network import Separable
from streamseg.training.refiner_examples import RefinerExamples

__all__ = ["ExamplePatches", "example_patches", "patch_corrections"]

SIDE: Final = REFINER_RASTER // 2
"""Patches per side of a raster."""

ALIGNMENT: Final = 32
"""Inputs of a patch are padded to a multiple of this, the width of the processor's tiles for bfloat16."""


@dataclass(frozen=True, eq=False)
class ExamplePatches:
    """N examples of P patches, row by row. The four cells of a patch are in the order of reading."""

    inputs: Tensor
    """bfloat16 (N, P, I): the four cells of each input plane, then zeros."""
    logits: Tensor
    """float16 (N, P, 4): mask logits."""
    truth: Tensor
    """uint8 (N, P, 4): mask of the target, 0..255."""
    outline: Tensor
    """bool (N, P, 4): within two cells of the target's border."""
    sides: Tensor
    """float32 (N,): see `ObjectViews`; the rest, see `RefinerExamples`."""
    box_iou: Tensor
    outside: Tensor
    completeness: Tensor
    is_known: Tensor

    def __len__(self) -> int:
        return len(self.sides)

    def __getitem__(self, rows: Tensor | slice) -> ExamplePatches:
        """Return the examples with these indices."""
        return ExamplePatches(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def example_patches(examples: RefinerExamples, *, batch_size: int = 1024) -> ExamplePatches:
    """Return the examples as patches, computed in parts of `batch_size`."""
    parts = [
        _patches(examples[torch.arange(first, min(first + batch_size, len(examples)))])
        for first in range(0, max(len(examples), 1), batch_size)
    ]
    names = ExamplePatches.__dataclass_fields__
    return ExamplePatches(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _patches(examples: RefinerExamples) -> ExamplePatches:
    views = examples.views
    planes = _by_patch(torch.cat(Refiner.planes(views.logits.float(), views.maps.float(), views.pixels), dim=1))
    inputs = functional.pad(planes, (0, -planes.shape[2] % ALIGNMENT)).bfloat16()
    truth = examples.truth[:, None]
    inside = (truth > 127).float()
    # The border is where the largest and the smallest of 5 x 5 cells differ.
    outline = functional.max_pool2d(inside, 5, 1, 2) + functional.max_pool2d(-inside, 5, 1, 2)
    return ExamplePatches(
        inputs,
        _by_patch(views.logits[:, None]).half(),
        _by_patch(truth),
        _by_patch(outline) > 0,
        views.sides,
        examples.box_iou,
        examples.outside,
        examples.completeness,
        examples.is_known,
    )


def _by_patch(planes: Tensor) -> Tensor:
    """Reorder planes (N, C, R, R) to patches (N, P, C * 4)."""
    cells = planes.view(*planes.shape[:2], SIDE, 2, SIDE, 2)  # of `pixel_unshuffle`, which fails without objects
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(len(planes), SIDE * SIDE, 4 * planes.shape[1])


def patch_corrections(refiner: Refiner, patches: ExamplePatches, *, is_mirrored: bool = False) -> tuple[Tensor, Tensor]:
    """Compute what `Refiner.forward` does, from patches.

    Args:
        refiner: the refiner, with gradients if wanted.
        patches: N examples.
        is_mirrored: whether the refiner sees the examples mirrored horizontally; its corrections are mirrored back.

    Returns:
        Corrections float32 (N, P, 4), and quality logits float32 (N,).
    """
    count, num_patches, num_inputs = patches.inputs.shape
    enter, place, correct = refiner.enter.weight, refiner.place.weight, refiner.correct.weight
    entered_bias, bias = cast(Tensor, refiner.enter.bias), cast(Tensor, refiner.correct.bias)
    width = len(enter)
    if is_mirrored:
        enter, place = enter.flip(3), place * place.new_tensor([-1.0, 1.0]).view(1, 2, 1, 1)
        correct, bias = correct[[1, 0, 3, 2]], bias[[1, 0, 3, 2]]
    # Projecting the maps and entering are two linear steps: one product of matrices does both.
    own = enter.shape[1] - refiner.project.out_channels
    maps = torch.einsum("omyx,mc->ocyx", enter[:, own:], refiner.project.weight[:, :, 0, 0])
    weight = torch.cat([enter[:, :own], maps], dim=1).flatten(1)  # (W, I)
    weight = functional.pad(weight, (0, num_inputs - weight.shape[1])).bfloat16()
    entered = torch.mm(patches.inputs.view(-1, num_inputs), weight.T).float().view(count, num_patches, width)
    octaves = refiner.octaves(patches.sides)  # (N, 1)
    steps = torch.linspace(-1, 1, SIDE)
    x, y = steps.repeat(SIDE), steps.repeat_interleave(SIDE)
    constant = torch.stack([x, y], dim=1) @ place[:, :, 0, 0].T + entered_bias  # (P, W)
    known = constant + functional.linear(octaves, refiner.size.weight)[:, None]  # (N, P, W)
    values = functional.relu(entered + known).view(count, SIDE, SIDE, width)
    for block in cast(Iterable[Separable], refiner.blocks):
        around = block.around.weight.flip(3) if is_mirrored else block.around.weight
        near = _Depthwise.apply(values.permute(0, 3, 1, 2), around, block.around.bias)  # type: ignore[no-untyped-call]
        mixed = functional.linear(near.permute(0, 2, 3, 1), block.mix.weight[:, :, 0, 0], block.mix.bias)
        values = values + functional.relu(mixed)
    flat = values.flatten(1, 2)  # (N, P, W)
    return functional.linear(flat, correct[:, :, 0, 0], bias), refiner.judged(
        flat.mean(dim=1), flat.amax(dim=1), octaves
    )


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution whose input gradient is one, too, which takes a third of the time of torch's."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolve values (N, W, H, H) with weight (W, 1, k, k), k odd; the size stays the same."""
        ctx.save_for_backward(values, weight)
        return functional.conv2d(values, weight, bias, padding=weight.shape[2] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the three inputs."""
        values, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        padding, groups = weight.shape[2] // 2, len(weight)
        of_values = functional.conv2d(gradient, weight.flip(2, 3), padding=padding, groups=groups)
        of_weight = conv2d_weight(  # type: ignore[no-untyped-call]
            values, weight.shape, gradient, padding=padding, groups=groups
        )
        return of_values, of_weight, gradient.sum(dim=(0, 2, 3))
