"""Write the byte fixtures of the current wire version: `python tests/golden/make_wire_golden.py`.

The fixtures pin the format: a change that alters one of them requires a new version and a new folder. The folders of
earlier versions are read-only. Each file is one message in its single-part form, from which the parts can be
recovered.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from streamseg.structures.degradation import Degradation
from streamseg.structures.message import Message, PromptStatus
from streamseg.structures.source_status import SourceStatus
from streamseg.structures.zone import ZoneStatus
from streamseg.wire import MASK_ENCODINGS, Status, encode, encode_status, pack_single
from tests.support.messages import disc, make_message, make_object

FOLDER = Path(__file__).parent / "wire" / "1.4"
FOLDER_1_3 = Path(__file__).parent / "wire" / "1.3"
"""Fixtures of version 1.3, which had no `zones`."""
FOLDER_1_2 = Path(__file__).parent / "wire" / "1.2"
"""Fixtures of version 1.2, which had no `degradation`."""
FOLDER_1_1 = Path(__file__).parent / "wire" / "1.1"
"""Fixtures of version 1.1, whose prompts had no `mask_quality` and no `mask_source`."""
FOLDER_1_0 = Path(__file__).parent / "wire" / "1.0"
"""Fixtures of version 1.0, which had no prompts."""
JPEG = bytes.fromhex("ffd8ffe000104a46494600ffd9")
"""Placeholder for an image; the wire format does not inspect it."""

FULL = make_message(
    make_object(disc(11), 3, 2, track_id=1, score=0.9134, box=(3.25, 2.5, 13.75, 12.99), label="Käse"),
    make_object(np.ones((5, 8), dtype=np.bool_), 8, 8, track_id=2, prompt_ids=("cup", "everything")),
    make_object(np.ones((48, 2), dtype=np.bool_), 62, 0, track_id=-1, prompt_ids=()),
    make_object(np.zeros((0, 0), dtype=np.bool_), 0, 0, track_id=9007199254740991),
    pts_seconds=1.4,
    frame_id="front_camera",
    prompts=(
        PromptStatus("cup", "bound", 0.9731, 2, 0.8406),
        PromptStatus("Tür", "lost", 0.0, 5),
        PromptStatus("dog", "reacquired", 0.5, 9007199254740991, 1.0, "propagated"),
        PromptStatus("cat", "none"),
    ),
    drops={"capture": {"newer_frame": 3}, "publish": {"slow_subscriber": 1}},
    degradation=Degradation(step=3, plain_masks=True, imgsz_scale=0.75, every_nth=2),
    zones=(
        ZoneStatus("door", (1, 2), entered=(2,), left=(5, 9007199254740991), num_entered=7, num_left=5),
        ZoneStatus("gate", num_left=3),
    ),
    mask_to_image=(2.0, 2.5, -0.5, 0.25),
    image_size=(120, 128),
    epoch="5f0c2a",
    seq=17,
)
"""A message with every field set: a disc, a filled box, a full column, an empty mask; the first two overlap."""

MESSAGES: dict[str, Message] = {
    "empty": make_message(epoch="5f0c2a", seq=0),
    "picture": replace(FULL, jpeg=JPEG),
    **dict.fromkeys(MASK_ENCODINGS, FULL),
}
STATUS = Status(
    epoch="5f0c2a",
    stamp_ns=1_700_000_001_000_000_007,
    sources={"cam0": 17, "cam1": -1},
    states={"cam0": SourceStatus("live", 3.25), "cam1": SourceStatus("denied", 60.5, "401 Unauthorized")},
)


def parts_of(name: str) -> list[bytes]:
    """Return the parts that the current code writes for a fixture."""
    if name == "status":
        return encode_status(STATUS)
    if name == "zlib":
        return encode(FULL, compression="zlib")
    return encode(MESSAGES[name], mask_encoding=name if name in MASK_ENCODINGS else "rle-crop-u32")


NAMES = (*MESSAGES, "status")
"""Fixtures to be reproduced byte for byte. `zlib` is only read, because its bytes depend on the library's version."""

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in (*NAMES, "zlib"):
        body = pack_single(parts_of(name))
        (FOLDER / f"{name}.bin").write_bytes(body)
        print(f"{name}: {len(body)} bytes")
