"""What a reader accepts: bytes come from strangers, so everything that costs memory has a bound."""

from typing import Final

__all__ = [
    "MAX_BUFFERS",
    "MAX_BUFFER_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_MASK_PIXELS",
    "MAX_OBJECTS",
    "MAX_PROMPTS",
    "MAX_PROMPT_STATUSES",
    "MAX_SEQ",
    "MAX_SIDE_PX",
    "MAX_TEXT_CHARACTERS",
]

MAX_HEADER_BYTES: Final = 4 << 20
"""Several thousand objects; 60 take 7 kB."""
MAX_OBJECTS: Final = 4096
MAX_PROMPTS: Final = 1024
"""That are asked at a time, and in one request."""
MAX_PROMPT_STATUSES: Final = 4096
"""Of one header: more than one publisher lets in, for those to come."""
MAX_BUFFERS: Final = 16
MAX_BUFFER_BYTES: Final = 256 << 20
"""Of one buffer, after decompression."""
MAX_MASK_PIXELS: Final = 1 << 29
"""Of all crops of a message together, one byte each once decoded: 300 objects at 4K, each a fifth of the picture."""
MAX_SIDE_PX: Final = 1 << 15
MAX_TEXT_CHARACTERS: Final = 1024
"""Of one string in the header."""
MAX_SEQ: Final = (1 << 53) - 1
"""Largest integer that every JSON reader keeps exactly."""
