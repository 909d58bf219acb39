"""Pictures with what was found in them.

overlay     masks in a colour that stays with its object, outlines, labels
reference   the picture that the official FastSAM program makes
"""

from streamseg.drawing.overlay import PALETTE, TENTATIVE, Colour, colour_of, draw_message, draw_objects
from streamseg.drawing.reference import ONE_COLOUR, contour_pixels, draw_reference, topmost_rows

__all__ = [
    "ONE_COLOUR",
    "PALETTE",
    "TENTATIVE",
    "Colour",
    "colour_of",
    "contour_pixels",
    "draw_message",
    "draw_objects",
    "draw_reference",
    "topmost_rows",
]
