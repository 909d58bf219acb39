"""Wire format: pure functions between records and bytes, with NumPy only.

message           encode / decode: topics, frame messages and status messages
header            JSON header of a frame message
masks             the four mask encodings
buffers           binary parts, and the single-part form of a message
prompts           prompts as JSON
prompt_statuses   states of prompts as JSON
json_fields       typed getters and limits for JSON from untrusted peers
"""

from streamseg.wire.buffers import Compression, pack_single, unpack_single
from streamseg.wire.header import Header
from streamseg.wire.masks import MASK_ENCODINGS, MaskEncoding
from streamseg.wire.message import (
    Status,
    assemble,
    decode,
    decode_status,
    encode,
    encode_status,
    image_topic,
    mask_buffers,
    mask_topic,
    read_header,
)
from streamseg.wire.prompts import collect_prompts, prompt_from_json, prompt_to_json, prompts_from_json

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
