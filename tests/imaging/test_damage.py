"""Damaged files of every format: an image or one line, never another error."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamseg.errors import SourceError
from streamseg.imaging import animation_frames, image_sizes, load_image, num_animation_frames
from streamseg.imaging import opening as opening_module

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8))


def encoded(kind, **options):
    data = io.BytesIO()
    NOISE.save(data, kind, **options)
    return data.getvalue()


ANIMATED = {"save_all": True, "append_images": [NOISE.rotate(90)], "duration": 50}
WHOLE = {
    **{kind: encoded(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "ICO")},
    **{f"animated {kind}": encoded(kind, **ANIMATED) for kind in ("GIF", "WEBP", "PNG")},
}


def all_frames(path):
    return list(animation_frames(path))


def line_of(read, path):
    """Return the message of a SourceError, "" if the file was read; other errors are raised."""
    try:
        read(path)
    except SourceError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.floats(0.2, 1),
)
def test_damage_is_one_line(tmp_path_factory, kind, changes, kept):
    data = bytearray(WHOLE[kind])
    for position, value in changes:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.image"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening_module, "MAX_PIXELS", 2**20)  # damaged sizes take time, and are tested elsewhere
        lines = [line_of(read, path) for read in (load_image, image_sizes, num_animation_frames, all_frames)]
    assert not [line for line in lines if "\n" in line]
