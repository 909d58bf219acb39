"""Images that carry their number and the time of their rendering, and whose every pixel is known.

Needs the standard library only: the camera runs on the system's Python, which has GStreamer.
"""

from __future__ import annotations

__all__ = ["CELL", "HEIGHT", "NUM_BITS", "NUM_TIME_BITS", "WIDTH", "background_level", "render"]

WIDTH, HEIGHT = 512, 288
CELL = 16
"""Side of the square that shows one bit, in pixels."""
NUM_TIME_BITS = 48
NUM_BITS = 64
"""Bits of the code: the time in µs, then the number of the image modulo 2^16."""
SPEED = 16
"""Pixels by which the background moves per image: more than its neighbours may differ after encoding."""
RAMP = bytes(range(32, 224)) + bytes(range(224, 32, -1))
"""Levels of the background along a row, repeated; smooth, so that encoding hardly changes it."""
BAND = 32
"""Height in pixels of the bands of the background, which differ in phase."""


def background_level(x: int, y: int, number: int) -> int:
    """Return the level of a pixel of the background, 32..224, in the image with this number."""
    return RAMP[(x + number * SPEED + y // BAND * 40) % len(RAMP)]


def render(number: int, time_us: int) -> bytes:
    """Return an image as I420: the code in the two top rows of cells, the moving background below, no colour."""
    code = time_us % (1 << NUM_TIME_BITS) | (number % (1 << 16)) << NUM_TIME_BITS
    cells_per_row = WIDTH // CELL
    rows = []
    for begin in range(0, NUM_BITS, cells_per_row):
        bits = [code >> bit & 1 for bit in range(begin, begin + cells_per_row)]
        rows += [b"".join(bytes([208 if bit else 48]) * CELL for bit in bits)] * CELL
    ramp = RAMP * (WIDTH // len(RAMP) + 2)
    for y in range(len(rows), HEIGHT):
        phase = (number * SPEED + y // BAND * 40) % len(RAMP)
        rows.append(ramp[phase : phase + WIDTH])
    return b"".join(rows) + bytes([128]) * (WIDTH * HEIGHT // 2)
