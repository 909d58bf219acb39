"""Pictures with what was found in them.

overlay     masks in a colour that stays with its object, outlines, labels
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
