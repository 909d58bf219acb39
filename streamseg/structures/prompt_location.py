"""Whether prompts lie inside an image."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.errors import DataError
from streamseg.structures.prompt import BoxPrompt, MaskPrompt, PointPrompt, Prompt

__all__ = ["check_prompts"]


def check_prompts(prompts: Sequence[Prompt], image_size: tuple[int, int]) -> None:
    """Reject prompts that cannot match any object of an image of size (H, W).

    Raises:
        DataError: a point lies outside the image, or a box or a mask lies wholly outside; the first one is named.
    """
    height, width = image_size
    for prompt in prompts:
        fault = _location_fault(prompt, image_size)
        if fault is not None:
            raise DataError(f"prompt {prompt.prompt_id!r}: {fault} of {width}x{height}")


def _location_fault(prompt: Prompt, image_size: tuple[int, int]) -> str | None:
    """Return why a prompt does not fit an image, up to the size of the image; None if it fits."""
    height, width = image_size
    match prompt:
        case PointPrompt():
            for x, y in prompt.point_coords:
                if not (0 <= x <= width and 0 <= y <= height):
                    return f"point [{x:g}, {y:g}] lies outside the image"
        case BoxPrompt(box=(x0, y0, x1, y1)):
            if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
                return f"box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] lies outside the image"
        case MaskPrompt(mask=mask):
            crop = mask.crop[max(-mask.y, 0) : max(height - mask.y, 0), max(-mask.x, 0) : max(width - mask.x, 0)]
            if not crop.any():
                return f"mask at [{mask.x}, {mask.y}] has no pixel inside the image"
    return None
