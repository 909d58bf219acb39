"""What goes over the network, as pure functions between records and bytes; numpy only.

message   encode / decode: a frame's objects as topic, header and buffers
header    the JSON header        masks    the four mask encodings        buffers   the binary parts
single    the same in one part   status   the publisher's own state      prompts   prompts as JSON
topics    what subscriptions match        limits    what a reader accepts from strangers
"""

from streamseg.wire.buffers import Compression
from streamseg.wire.header import Header
from streamseg.wire.masks import MASK_ENCODINGS, MaskEncoding
from streamseg.wire.message import assemble, decode, encode, mask_buffers, read_header
from streamseg.wire.prompts import collect_prompts, prompt_from_json, prompt_to_json, prompts_from_json
from streamseg.wire.single import pack_single, unpack_single
from streamseg.wire.status import Status, decode_status, encode_status
from streamseg.wire.topics import image_topic, mask_topic

__all__ = [
    "MASK_ENCODINGS",
    "Compression",
    "Header",
    "MaskEncoding",
    "Status",
    "assemble",
    "collect_prompts",
    "decode",
    "decode_status",
    "encode",
    "encode_status",
    "image_topic",
    "mask_buffers",
    "mask_topic",
    "pack_single",
    "prompt_from_json",
    "prompt_to_json",
    "prompts_from_json",
    "read_header",
    "unpack_single",
]
