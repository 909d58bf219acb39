"""Overlays of detected objects and prompts, and video files.

overlay  masks in a colour per identity, outlines, labels
prompts  prompted objects and the states of prompts
video    MP4 files
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
