"""Encoders for tests: tiny ones of a few kB in a folder, and scripted ones that use tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streamseg.text.description import EncodersDescription
from streamseg.text.export import export_encoders

SIZE, DIM, LENGTH = 16, 4, 12
WORDS = [
    "a",
    "b",
    "photo",
    "image",
    "of",
    "dog",
    "cat",
    "red",
    "green",
    "blue",
    "cup",
    "something",
    "the",
    "background",
    "surface",
    "blurry",
]
BEGIN, END = len(WORDS), len(WORDS) + 1


class ColourEncoder(nn.Module):
    """Encode images float32 (N, 3, S, S) as (N, 4): the mean of each channel, and a constant."""

    def forward(self, pixels: Tensor) -> Tensor:
        means = pixels.mean(dim=(2, 3))
        return torch.cat([means, torch.full_like(means[:, :1], 0.3)], dim=1)


class WordEncoder(nn.Module):
    """Encode tokens int64 (N, L) as (N, 4): red, green and blue are the colour axes, all other words the fourth."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.zeros(len(WORDS) + 2, DIM)
        table[: len(WORDS), 3] = 0.05
        for axis, word in enumerate(("red", "green", "blue")):
            table[WORDS.index(word)] = torch.eye(DIM)[axis]
        self.table = nn.Embedding.from_pretrained(table)

    def forward(self, tokens: Tensor) -> Tensor:
        summed: Tensor = self.table(tokens).sum(dim=1)
        return summed


def tiny_tokenizer() -> bytes:
    """Return a whole-word tokenizer with a start token, and an end token that is also the padding."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate(WORDS)} | {"<begin>": BEGIN, "<end>": END}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="something"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", BEGIN), ("<end>", END)]
    )
    contents: str = tokenizer.to_str()
    return contents.encode()


def description_fields(**changes: Any) -> dict[str, Any]:
    """Return the description fields of the tiny encoders, except those that the export adds."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "licence": "none",
        "image_size": SIZE,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "resize": "bilinear",
        "context_length": LENGTH,
        "pad_id": END,
        "lowercase": True,
        "embedding_dim": DIM,
        "logit_scale": 50.0,
        "logit_bias": 0.0,
        "activation": "softmax",
        "template": "a photo of {}",
    }
    return fields | changes


def make_encoders(folder: Path, **changes: Any) -> Path:
    """Write a folder of encoders that know red, green and blue."""
    return export_encoders(
        ColourEncoder(), WordEncoder(), tiny_tokenizer(), folder, **description_fields(**changes)
    ).folder


def description(**changes: Any) -> EncodersDescription:
    """Return a description without files."""
    hashes = dict.fromkeys(("image.onnx", "text.onnx", "tokenizer.json"), "0" * 64)
    fields = {"format": "streamseg text encoders", "version": 1, **description_fields(**changes), "sha256": hashes}
    return EncodersDescription.model_validate_json(json.dumps(fields))


class ScriptedEncoders:
    """Encoders that use tables and count their calls.

    Args:
        encode_crop: function that maps a crop uint8 (S, S, 3) to any (D,).
        words: mapping of sentences to any (D,); all other sentences map to `other`.
        other: (D,) of distractors.
        changes: changed fields of the description.
    """

    def __init__(
        self,
        encode_crop: Callable[[npt.NDArray[np.uint8]], Sequence[float]],
        words: Mapping[str, Sequence[float]],
        other: Sequence[float],
        **changes: Any,
    ) -> None:
        self.description = description(**{"embedding_dim": len(other), "template": "{}", **changes})
        self._encode_crop, self._words, self._other = encode_crop, words, other
        self.num_images: list[int] = []
        """Number of crops of each call."""
        self.texts: list[str] = []
        """Distinct embedded sentences."""

    def embed_images(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.num_images.append(len(crops))
        return _unit([self._encode_crop(crop) for crop in crops], len(self._other))

    def embed_texts(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        self.texts += [sentence for sentence in dict.fromkeys(sentences) if sentence not in self.texts]
        return _unit([self._words.get(sentence, self._other) for sentence in sentences], len(self._other))

    def is_text_cached(self, sentence: str) -> bool:
        return sentence in self.texts


def _unit(rows: Sequence[Sequence[float]], dim: int) -> npt.NDArray[np.float32]:
    vectors = np.array(rows, np.float32).reshape(len(rows), dim)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
