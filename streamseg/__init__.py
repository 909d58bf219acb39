"""Segment everything in live video and publish the results.

from streamseg import Segmenter, Subscriber

segmenter = Segmenter("default")
found = segmenter("photo.jpg")               # or a PIL image, an array, a tensor; a list gives a list
found.save("overlay.png")
masks = found.masks                          # one CropMask per object, at the image's resolution

for message in Subscriber("tcp://127.0.0.1:5555"):
    print(message.source_id, message.age_ms, [(o.track_id, o.box) for o in message.objects])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamseg.publish import Subscriber
    from streamseg.segmentation import ImageInstances, Segmenter, instance_masks

__all__ = ["ImageInstances", "Segmenter", "Subscriber", "__version__", "instance_masks"]

__version__ = "0.1.0"

_HOME = {
    "ImageInstances": "streamseg.segmentation",
    "Segmenter": "streamseg.segmentation",
    "Subscriber": "streamseg.publish",
    "instance_masks": "streamseg.segmentation",
}


def __getattr__(name: str) -> Any:
    """Import on first use, because a subscriber does not need torch and a segmenter does not need ZeroMQ."""
    if name in _HOME:
        try:
            return getattr(import_module(_HOME[name]), name)
        except ModuleNotFoundError as error:
            if error.name != _HOME[name]:
                raise
            raise ModuleNotFoundError(
                f"{name} is not part of the light client; install the whole package, in a clone of it: pip install .",
                name=error.name,
            ) from error
    raise AttributeError(f"module 'streamseg' has no attribute {name!r}")
