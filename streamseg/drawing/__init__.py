"""Draw detected objects and prompts over images, and write videos.

overlay  masks in a colour per identity, outlines, labels
prompts  prompted objects and the states of prompts
video    write an MP4
"""

from streamseg.drawing.overlay import PALETTE, TENTATIVE, Colour, colour_of, draw_message, draw_objects

__all__ = [
    "PALETTE",
    "TENTATIVE",
    "Colour",
    "colour_of",
    "draw_message",
    "draw_objects",
]
