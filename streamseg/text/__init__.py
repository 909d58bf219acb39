"""Which objects a text describes. The network for segmentation takes no part: objects are found already.

    crops ─► image encoder ─► memory (per track) ─┐
    texts ─► text encoder ─► kept ────────────────┴► ranking ─► Selection

description  what `encoders.json` says about a folder of encoders
encoders     a folder of two ONNX graphs and a tokenizer; pictures and words to vectors
crops        objects as the image encoder sees them
objects      objects to vectors
ranking      vectors to scores, 0..1, with "none of these"
memory       which objects are looked at in a frame, and what is known of the others
selector     one Selection for each text
export       two torch modules and a tokenizer to such a folder
"""

from streamseg.text.encoders import Encoders, OnnxEncoders, encoders_folder, load_encoders
from streamseg.text.selector import Start, TextSelector, open_text_selector

__all__ = [
    "Encoders",
    "OnnxEncoders",
    "Start",
    "TextSelector",
    "encoders_folder",
    "load_encoders",
    "open_text_selector",
]
