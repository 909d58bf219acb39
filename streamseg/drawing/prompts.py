"""Overlays of prompted objects with a prominent outline, and of the state of each prompt as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from streamseg.drawing.overlay import Colour, colour_of, draw_message
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import Message, MessageObject, PromptStatus

__all__ = ["draw_lines", "draw_prompted", "prompted_objects", "status_line"]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
OUTLINE_PX_AT_720 = 3.0
"""Width of the coloured outline in pixels, for an image whose short side is 720 pixels; the white outline around
it is three times as wide."""
MAX_STATUS_LINES = 8


def prompted_objects(message: Message) -> tuple[MessageObject, ...]:
    """Return the objects selected by a prompt for specific objects, not only by a prompt for all objects."""
    prompted = {status.prompt_id for status in message.prompts}
    return tuple(found for found in message.objects if not prompted.isdisjoint(found.prompt_ids))


def status_line(status: PromptStatus) -> str:
    """Format the state of a prompt, such as `cup: followed 0.93, mask 0.84, object 7`."""
    text = f"{status.prompt_id}: {status.words}"
    if status.state in ("bound", "reacquired"):
        text += f" {status.confidence:.2f}"
    if status.mask_quality is not None:
        text += f", mask {status.mask_quality:.2f}"
    return f"{text}, object {status.track_id}" if status.track_id >= 0 else text


def draw_prompted(image: ImageArray, message: Message) -> ImageArray:
    """Return a copy of the image (H, W, 3) with the objects of its message; prompted objects stand out.

    Prompted objects have a thick outline and the ids of their prompts. The state of each prompt is written at
    the lower left.
    """
    canvas = draw_message(image, message)
    thickness = max(1, round(OUTLINE_PX_AT_720 * min(message.image_size) / 720))
    prompted = {status.prompt_id for status in message.prompts}
    for found in prompted_objects(message):
        mask = replace(found.mask, space=message.mask_space)
        contours, _ = cv2.findContours(mask(message.image_size).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, WHITE, 3 * thickness, cv2.LINE_AA)
        cv2.drawContours(canvas, contours, -1, colour_of(found.track_id), thickness, cv2.LINE_AA)
        names = " ".join(prompt_id for prompt_id in found.prompt_ids if prompt_id in prompted)
        draw_lines(canvas, [names], mask.centroid or found.centroid, is_centred=True)
    lines = [status_line(status) for status in message.prompts[:MAX_STATUS_LINES]]
    if len(message.prompts) > MAX_STATUS_LINES:
        lines.append(f"and {len(message.prompts) - MAX_STATUS_LINES} more")
    draw_lines(canvas, lines, (0, canvas.shape[0]))
    return canvas


def draw_lines(
    canvas: ImageArray, lines: Sequence[str], corner: tuple[float, float], *, is_centred: bool = False
) -> None:
    """Draw lines of text, white on black, into an image; the text is moved to fit inside.

    Args:
        canvas: (H, W, 3), modified in place.
        lines: from top to bottom; an empty sequence draws nothing. Characters missing from the font become question
            marks.
        corner: (x, y) of the upper left corner.
        is_centred: interpret `corner` as the centre.
    """
    if not lines:
        return
    scale = max(0.4, min(canvas.shape[:2]) / 1300)
    sizes = [cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0] for line in lines]
    row = max(height for _, height in sizes) + 8
    width, height = max(width for width, _ in sizes) + 8, row * len(lines)
    x, y = (corner[0] - width / 2, corner[1] - height / 2) if is_centred else corner
    left = int(np.clip(x, 0, max(canvas.shape[1] - width, 0)))
    top = int(np.clip(y, 0, max(canvas.shape[0] - height, 0)))
    cv2.rectangle(canvas, (left, top), (left + width - 1, top + height - 1), BLACK, cv2.FILLED)
    for number, line in enumerate(lines, start=1):
        position = (left + 4, top + row * number - 5)
        cv2.putText(canvas, line, position, cv2.FONT_HERSHEY_SIMPLEX, scale, WHITE, 1, cv2.LINE_AA)
