"""What `streamseg eval` can measure: one module per protocol, each with a `PROTOCOL`.

`PROTOCOLS` lists them in the order of the report; a module is imported when it is asked for, because most
of them bring torch and OpenCV along.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from streamseg.cli.evaluations.protocol import Protocol
from streamseg.errors import ConfigError

__all__ = ["PROTOCOLS", "load_protocol", "protocol_names"]

PROTOCOLS = {
    "proposals": "box and mask recall of class-less proposals on a COCO-format folder",
    "prompted": "mIoU of the masks that answer boxes and points",
    "boundary": "boundary IoU of the masks",
    "scores": "whether scores follow the quality of masks",
    "edges": "outlines of masks against boundaries that people drew, by the Berkeley benchmark",
    "video": "J and F of an object followed through films from a prompt in the first frame",
    "scene": "precision, IDF1 and HOTA on the rendered scene",
}
"""Name of the protocol and of its module here, and what it measures."""


def protocol_names(asked: str) -> Sequence[str]:
    """The protocols that a name on the command line means; `all` means every one.

    Raises:
        ConfigError: there is no protocol of that name.
    """
    if asked == "all":
        return tuple(PROTOCOLS)
    if asked not in PROTOCOLS:
        near = difflib.get_close_matches(asked, [*PROTOCOLS, "all"], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join([*PROTOCOLS, 'all'])}"
        raise ConfigError(f"unknown protocol {asked!r}; {hint}")
    return (asked,)


def load_protocol(name: str) -> Protocol:
    """The protocol of a name in `PROTOCOLS`.

    Raises:
        ConfigError: a library of the extra `eval` is missing.
    """
    if find_spec("pycocotools") is None:
        raise ConfigError("eval needs pycocotools, which is not installed; run: pip install 'streamseg[eval]'")
    protocol: Protocol = import_module(f"streamseg.cli.evaluations.{name}").PROTOCOL
    return protocol
