"""Text prompts: match texts with objects that are already segmented; the segmentation network is not involved.

    crops ─► image encoder ─► embedding cache (per track) ─┐
    texts ─► text encoder ─► text cache ───────────────────┴► ranking ─► Selection

description       `encoders.json`, the description of a folder of encoders
encoders          a folder of two ONNX graphs and a tokenizer: images and texts to embeddings
crops             crops of objects for the image encoder
ranking           embeddings to scores 0..1, with distractors for "none of these"
embedding_cache   embeddings of tracks, and selection of the objects to embed in a frame
selector          one Selection per text prompt
pretrained        encoders of models of transformers and open_clip, for the export
export            two torch modules and a tokenizer to a folder of encoders
"""

from streamseg.text.encoders import Encoders, OnnxEncoders, encoders_folder, load_encoders
from streamseg.text.selector import Pending, Start, TextSelector, open_text_selector

__all__ = [
    "Encoders",
    "OnnxEncoders",
    "Pending",
    "Start",
    "TextSelector",
    "encoders_folder",
    "load_encoders",
    "open_text_selector",
]
