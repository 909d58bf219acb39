"""Prompts that make sense: for a picture's size, and in a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.config import PromptConfig
from streamseg.errors import DataError
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt, Prompt, TextPrompt

__all__ = ["check_prompts", "prompts_from_config"]


def check_prompts(prompts: Sequence[Prompt], image_size: tuple[int, int]) -> None:
    """Refuse prompts that no picture of `image_size` (H, W) can answer.

    Raises:
        DataError: a point lies outside the picture, or a box or a mask wholly outside; the first one is named.
    """
    height, width = image_size
    for prompt in prompts:
        if isinstance(prompt, PointPrompt):
            for x, y in prompt.point_coords:
                if not (0 <= x <= width and 0 <= y <= height):
                    raise DataError(
                        f"prompt {prompt.prompt_id!r}: the point [{x:g}, {y:g}] lies outside the picture"
                        f" of {width}x{height}"
                    )
        elif isinstance(prompt, BoxPrompt):
            x0, y0, x1, y1 = prompt.box
            if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
                raise DataError(
                    f"prompt {prompt.prompt_id!r}: the box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] lies outside the picture"
                    f" of {width}x{height}"
                )
        elif isinstance(prompt, MaskPrompt):
            mask = prompt.mask
            crop = mask.crop[max(-mask.y, 0) : max(height - mask.y, 0), max(-mask.x, 0) : max(width - mask.x, 0)]
            if not crop.any():
                raise DataError(
                    f"prompt {prompt.prompt_id!r}: the mask at [{mask.x}, {mask.y}] has no pixel in the picture"
                    f" of {width}x{height}"
                )


def prompts_from_config(configs: Sequence[PromptConfig]) -> tuple[Prompt, ...]:
    """The prompts that a configuration asks; one without points, box and text is everything.

    Raises:
        DataError: a prompt contradicts itself.
    """
    prompts: list[Prompt] = []
    for config in configs:
        if config.points is not None:
            labels = config.labels if config.labels is not None else (1,) * len(config.points)
            prompts.append(PointPrompt(config.id, config.points, labels, source_id=config.source, follow=config.follow))
        elif config.box is not None:
            prompts.append(BoxPrompt(config.id, config.box, source_id=config.source, follow=config.follow))
        elif config.text is not None:
            prompts.append(TextPrompt(config.id, config.text, source_id=config.source))
        else:
            prompts.append(EverythingPrompt(config.id, source_id=config.source))
    return tuple(prompts)
