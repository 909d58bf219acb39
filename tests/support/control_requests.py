"""Requests of the control channel, mutated as a hostile client might."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

__all__ = ["SEEDS", "mutated_request"]

SEEDS: tuple[dict[str, Any], ...] = (
    {"id": 1, "op": "status"},
    {"id": 2, "op": "prompts.list", "args": {}},
    {"id": 3, "op": "prompts.set", "args": {"prompts": [{"id": "p", "points": [[5, 5]], "labels": [1], "index": 3}]}},
    {"id": 4, "op": "prompts.set", "args": {"prompts": [{"id": "b", "box": [1, 2, 30, 40], "source": "scene"}]}},
    {"id": 5, "op": "prompts.set", "args": {"prompts": [{"id": "t", "text": "a cup"}], "replace": True}},
    {"id": 6, "op": "prompts.set", "args": {"prompts": [{"id": "m", "mask": {"size": [64, 64], "counts": "PP3"}}]}},
    {"id": 7, "op": "prompts.step", "args": {"id": "p"}},
    {"id": 8, "op": "prompts.clear", "args": {"ids": ["p"]}},
    {"id": 9, "op": "sources.list"},
    {"id": 10, "op": "sources.types"},
    {"id": 11, "op": "sources.add", "args": {"type": "scene", "id": "f1", "width": 64, "height": 64, "fps": 0}},
    {
        "id": 12,
        "op": "sources.add",
        "args": {"type": "stream", "id": "f2", "url": "rtsp://u:p@127.0.0.1:1/x", "fps": 1},
    },
    {"id": 13, "op": "sources.add", "args": {"type": "images", "id": "f3", "path": "/nowhere/*.jpg"}},
    {"id": 14, "op": "sources.restart", "args": {"id": "another"}},
    {"id": 15, "op": "sources.remove", "args": {"id": "scene"}},
    {"id": "s", "op": "pause"},
    {"id": 17, "op": "step"},
    {"id": 18, "op": "resume"},
)
"""A valid request, or an invalid one, of each operation and kind of argument."""

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**400, -(2**63), 1e308, "", "x", "\x00", "é" * 2000, "../../etc/passwd", "${HOME}",
    [], {}, [[]], {"": {}}, [1] * 2000, {"id": {"id": {"id": []}}}, "1", "null", "status", "\ud800",
)  # fmt: skip


def mutated_request(generator: random.Random) -> bytes:
    """Return a request with a few changes of its values, its structure or its bytes; sometimes none."""
    request = json.loads(json.dumps(generator.choice(SEEDS)))
    for _ in range(generator.randrange(4)):
        _change(request, generator)
    body = json.dumps(request).encode("utf-8")
    kind = generator.randrange(12)
    if kind == 0:
        return generator.randbytes(generator.randrange(200))
    if kind == 1:
        return body[: generator.randrange(len(body) + 1)]
    if kind == 2:
        at = generator.randrange(len(body))
        return body[:at] + generator.randbytes(1 + generator.randrange(3)) + body[at + 1 :]
    if kind == 3:
        depth = generator.choice((10, 1000, 100_000))
        return b'{"id":1,"op":"status","args":' + b"[" * depth
    return body


def _change(value: Any, generator: random.Random) -> None:
    """Change one value somewhere inside a dict or list."""
    while isinstance(value, dict | list) and value:
        key = generator.choice(list(value)) if isinstance(value, dict) else generator.randrange(len(value))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and generator.random() < 0.7:
            value = inner
            continue
        action = generator.randrange(4)
        if action == 0:
            del value[key]
        elif action == 1 and isinstance(value, dict):
            value[str(generator.choice(("id", "op", "args", "ids", "prompts", "x", "points", "box")))] = inner
        else:
            value[key] = copy.deepcopy(generator.choice(_VALUES))  # a later change must not change the table
        return
