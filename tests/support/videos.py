"""Encode short videos whose images carry their own number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from streamseg.structures.arrays import ImageArray


def numbered_image(index: int, *, size: tuple[int, int] = (96, 128)) -> ImageArray:
    """Return an image (H, W, 3) whose grey value 8 * (index % 28) + 16 survives lossy coding."""
    image = np.full((*size, 3), 8 * (index % 28) + 16, np.uint8)
    # A moving texture in the lower half gives the encoder something to spend bytes on.
    noise = np.random.default_rng(index).integers(0, 256, (size[0] // 2, size[1], 3), dtype=np.uint8)
    image[size[0] - noise.shape[0] :] = noise
    return image


def read_number(image: ImageArray) -> int:
    """Read the index modulo 28 that `numbered_image` encoded."""
    return round((float(image[: image.shape[0] // 3].mean()) - 16) / 8)


def write_video(
    path: Path,
    num_frames: int = 20,
    *,
    codec: str = "libx264",
    fps: int | Fraction = 25,
    size: tuple[int, int] = (96, 128),
    key_every: int = 10,
    container_options: dict[str, str] | None = None,
    images: Sequence[ImageArray] | None = None,
) -> Path:
    """Write a video of numbered images, or of `images`, into the container that the file suffix selects."""
    import av

    pixel_format = "yuv420p" if codec != "mjpeg" else "yuvj420p"
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = size if images is None else images[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.gop_size = key_every
        stream.time_base = 1 / Fraction(fps)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12"}
        if codec == "libx265":
            parameters = f"log-level=none:bframes=0:keyint={key_every}:min-keyint={key_every}:scenecut=0:open-gop=0"
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "12", "x265-params": parameters}
        for index in range(num_frames if images is None else len(images)):
            image = numbered_image(index, size=size) if images is None else images[index]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
