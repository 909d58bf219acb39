"""streamseg segments everything in live video and publishes it.

from streamseg import Segmenter, Subscriber

segmenter = Segmenter("default")
instances = segmenter([picture])[0]          # picture: uint8 (H, W, 3) RGB
masks = instances.masks()                    # a CropMask per object, at the picture's resolution

for message in Subscriber("tcp://127.0.0.1:5555"):
    print(message.source_id, message.age_ms, [(o.track_id, o.box) for o in message.objects])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamseg.publish import Subscriber
    from streamseg.segmentation import Segmenter

__all__ = ["Segmenter", "Subscriber", "__version__"]

__version__ = "0.1.0"

_HOME = {"Segmenter": "streamseg.segmentation", "Subscriber": "streamseg.publish"}


def __getattr__(name: str) -> Any:
    """Import on first use: a subscriber needs no torch, a segmenter no ZeroMQ."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'streamseg' has no attribute {name!r}")
