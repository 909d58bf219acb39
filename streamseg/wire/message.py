"""A message to parts and back: two pure functions, each undoing the other.

    part 0    topic: `seg/1/<source>/`, or `pic/1/<source>/` where the picture is among the buffers
    part 1    header, UTF-8 JSON (`header.py`, `assets/message.schema.json`)
    part 2…   buffers, in the order of the header's table, little-endian (`masks.py`), then `jpeg` if any

The same message goes out on both topics; whoever wants pictures subscribes to `pic/` instead of `seg/`
and gets masks and picture of one frame together. A frame without a picture may come on `pic/`, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamseg.errors import WireError
from streamseg.structures.message import MaskSpace, Message
from streamseg.wire.buffers import Buffer, Compression, pack_buffer, read_array
from streamseg.wire.header import Header, parse_header, parse_object, write_header
from streamseg.wire.masks import MaskEncoding, read_masks, write_masks
from streamseg.wire.topics import image_topic, mask_topic

__all__ = ["assemble", "decode", "encode", "mask_buffers", "read_header"]

Part = bytes | memoryview


def encode(
    message: Message,
    *,
    mask_encoding: MaskEncoding = "rle-crop-u32",
    compression: Compression = "none",
    include_jpeg: bool = True,
) -> list[bytes]:
    """The parts of a message.

    Args:
        message: what to write. Boxes are rounded to 1/100 px, scores to 1/10000, its age to 1/1000 ms.
        mask_encoding: how the masks are written; `label-u16` loses what lies under other masks.
        compression: of the masks.
        include_jpeg: False leaves the picture out; a message without one is unaffected.

    Returns:
        Topic, header and buffers.

    Raises:
        WireError: the message holds something that the format cannot: a mask outside the mask space, a
            number that is not finite, a source id that is no part of a topic.
    """
    return assemble(message, mask_buffers(message, mask_encoding, compression), include_jpeg=include_jpeg)


def mask_buffers(message: Message, mask_encoding: MaskEncoding, compression: Compression = "none") -> list[Buffer]:
    """The expensive half of `encode`: the masks, to be put into several variants of one message."""
    return write_masks([found.mask for found in message.objects], message.mask_size, mask_encoding, compression)


def assemble(message: Message, buffers: Sequence[Buffer], *, include_jpeg: bool = True) -> list[bytes]:
    """The cheap half of `encode`: topic and header around the masks, and the picture."""
    topic = mask_topic(message.source_id)
    if include_jpeg and message.jpeg is not None:
        topic = image_topic(message.source_id)
        buffers = [*buffers, pack_buffer("jpeg", "jpeg", np.frombuffer(message.jpeg, dtype=np.uint8))]
    header = write_header(message, [buffer.entry for buffer in buffers])
    return [topic, header, *(buffer.body for buffer in buffers)]


def read_header(parts: Sequence[Part]) -> Header:
    """Topic and header alone, at a tenth of the cost of `decode`.

    Raises:
        WireError: see `decode`.
    """
    if len(parts) < 2:
        raise WireError(f"a message has a topic, a header and buffers, got {len(parts)} parts")
    header = parse_header(parts[1])
    if len(parts) != 2 + len(header.buffers):
        raise WireError(f"the header lists {len(header.buffers)} buffers, {len(parts) - 2} came")
    names = [entry.name for entry in header.buffers]
    if len(set(names)) != len(names):
        raise WireError(f"buffer names must differ, got {', '.join(names)[:80]}")
    topics = [image_topic(header.source_id)]
    if "jpeg" not in names:
        topics.append(mask_topic(header.source_id))
    if parts[0] not in topics:
        raise WireError(f"the topic is {bytes(parts[0])[:80]!r}, the header belongs to {topics[-1]!r}")
    return header


def decode(parts: Sequence[Part], header: Header | None = None) -> Message:
    """The message in the parts, which may come from anybody.

    Args:
        parts: topic, header and buffers.
        header: what `read_header` made of the same parts, where that was called before.

    Raises:
        WireError: any part contradicts the format, another part or the limits. Nothing else is
            raised, whatever the bytes.
    """
    header = read_header(parts) if header is None else header
    buffers = {entry.name: (entry, body) for entry, body in zip(header.buffers, parts[2:], strict=True)}
    space = MaskSpace(header.mask_size, header.image_size, header.mask_to_image)
    masks = [replace(mask, space=space) for mask in read_masks(buffers, len(header.objects), header.mask_size)]
    return Message(
        source_id=header.source_id,
        frame_index=header.frame_index,
        captured_ns=header.captured_ns,
        clock=header.clock,
        age_ms=header.age_ms,
        image_size=header.image_size,
        mask_size=header.mask_size,
        mask_to_image=header.mask_to_image,
        objects=tuple(
            parse_object(values, mask, header.mask_size) for values, mask in zip(header.objects, masks, strict=True)
        ),
        pts_seconds=header.pts_seconds,
        frame_id=header.frame_id,
        prompts=header.prompts,
        drops=header.drops,
        jpeg=read_array(*buffers["jpeg"], "|u1", (None,)).tobytes() if "jpeg" in buffers else None,
        epoch=header.epoch,
        seq=header.seq,
    )
