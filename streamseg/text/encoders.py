"""Encoders of images and texts to comparable embeddings: a folder of two ONNX graphs and a tokenizer."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from streamseg.engines.onnx_session import RUN_ERRORS, open_session, quiet
from streamseg.errors import ConfigError, EngineError, WeightsError
from streamseg.paths import cache_folder
from streamseg.structures.arrays import Float32Array
from streamseg.text.description import IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, EncodersDescription

__all__ = ["Encoders", "OnnxEncoders", "encoders_folder", "load_encoders"]

_logger = logging.getLogger(__name__)

MAX_BATCH: Final = 32
"""Maximum images or texts per run, which limits memory: a ViT-B/32 takes about 10 MB for each."""

MAX_CACHED_TEXTS: Final = 4096
"""Maximum number of cached text embeddings, 2 kB each with 512 components; the least recently used is evicted first."""


class Encoders(Protocol):
    """Encoders of images and texts, as required by the text selector."""

    @property
    def description(self) -> EncodersDescription:
        """Description of the encoders."""

    def embed_images(self, crops: npt.NDArray[np.uint8]) -> Float32Array:
        """Embed images uint8 (N, S, S, 3) RGB as float32 (N, D) of length 1; N may be 0."""

    def embed_texts(self, sentences: Sequence[str]) -> Float32Array:
        """Embed sentences as float32 (T, D) of length 1; T may be 0."""

    def is_text_cached(self, sentence: str) -> bool:
        """Return whether the sentence has been embedded before, and therefore costs nothing."""


class OnnxEncoders:
    """Encoders in ONNX Runtime. Embeddings of sentences are cached.

    Args:
        description: description of the encoders.
        image_session: one input float32 (N, 3, S, S), one output float32 (N, D).
        text_session: one input int64 (N, L) of tokens, one output float32 (N, D).
        tokenize: function that converts sentences to tokens int64 (N, L).
    """

    def __init__(
        self,
        description: EncodersDescription,
        image_session: onnxruntime.InferenceSession,
        text_session: onnxruntime.InferenceSession,
        tokenize: Callable[[Sequence[str]], npt.NDArray[np.int64]],
    ) -> None:
        self._description = description
        self.image_session = image_session
        self.text_session = text_session
        self._tokenize = tokenize
        self._cache: OrderedDict[str, Float32Array] = OrderedDict()
        mean, std = (np.array(values, np.float32) for values in (description.mean, description.std))
        self._factor, self._summand = 1 / (255 * std), -mean / std

    @property
    def description(self) -> EncodersDescription:
        """Description of the encoders."""
        return self._description

    def embed_images(self, crops: npt.NDArray[np.uint8]) -> Float32Array:
        """Embed images uint8 (N, S, S, 3) RGB as float32 (N, D) of length 1; N may be 0.

        Raises:
            WeightsError: the graph cannot process them, or returns values that are not finite.
        """
        side = self._description.image_size
        if crops.ndim != 4 or crops.shape[1:] != (side, side, 3) or crops.dtype != np.uint8:
            raise ValueError(f"crops must be uint8 (N, {side}, {side}, 3), got {crops.dtype} {crops.shape}")
        return self._in_batches(self.image_session, IMAGE_GRAPH, crops, self._normalized)

    def embed_texts(self, sentences: Sequence[str]) -> Float32Array:
        """Embed sentences as float32 (T, D) of length 1; T may be 0.

        Raises:
            WeightsError: the graph cannot process them, or returns values that are not finite.
        """
        missing = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._cache]
        if missing:
            tokens = self._tokenize(missing)
            embeddings = self._in_batches(self.text_session, TEXT_GRAPH, tokens, lambda batch: batch)
            self._cache.update(zip(missing, embeddings, strict=True))
        found = np.empty((len(sentences), self._description.embedding_dim), np.float32)
        for row, sentence in enumerate(sentences):
            found[row] = self._cache[sentence]
            self._cache.move_to_end(sentence)
        while len(self._cache) > MAX_CACHED_TEXTS:
            self._cache.popitem(last=False)
        return found

    def is_text_cached(self, sentence: str) -> bool:
        """Return whether the sentence has been embedded before, and therefore costs nothing."""
        return sentence in self._cache

    def _normalized(self, crops: npt.NDArray[np.uint8]) -> Float32Array:
        pixels = np.empty((len(crops), 3, *crops.shape[1:3]), np.float32)
        for channel in range(3):
            np.multiply(crops[..., channel], self._factor[channel], out=pixels[:, channel])
            pixels[:, channel] += self._summand[channel]
        return pixels

    def _in_batches(
        self,
        session: onnxruntime.InferenceSession,
        name: str,
        inputs: npt.NDArray[Any],
        prepare: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    ) -> Float32Array:
        embeddings = np.empty((len(inputs), self._description.embedding_dim), np.float32)
        for start in range(0, len(inputs), MAX_BATCH):
            batch = inputs[start : start + MAX_BATCH]
            with quiet():
                try:
                    (rows,) = session.run(None, {session.get_inputs()[0].name: prepare(batch)})
                except RUN_ERRORS as error:
                    reason = str(error).strip().splitlines()[0]
                    raise WeightsError(f"{name} of {self._description.name} cannot be run: {reason}") from error
            if rows.shape != (len(batch), embeddings.shape[1]) or not np.isfinite(rows).all():
                raise WeightsError(
                    f"{name} of {self._description.name} returns {rows.dtype} {rows.shape}; it must return"
                    f" ({len(batch)}, {embeddings.shape[1]}) of finite numbers"
                )
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            embeddings[start : start + MAX_BATCH] = rows / np.maximum(lengths, 1e-12)
        return embeddings


def encoders_folder(named: str | Path = "default") -> Path:
    """Return the folder for a configured value: `default` is `text/default` in the cache folder. It need not exist."""
    return cache_folder() / "text" / "default" if str(named) == "default" else Path(named)


def load_encoders(
    folder: str | Path = "default", *, device: str = "auto", num_threads: int | None = None
) -> OnnxEncoders:
    """Load a folder written by `streamseg text export`. No code in it is executed, and each hash is verified.

    Args:
        folder: folder with `encoders.json`, `image.onnx`, `text.onnx` and `tokenizer.json`; or `default`.
        device: `auto` (CUDA if ONNX Runtime can use it, else the CPU; a warning names missing libraries), `cpu`,
            `cuda` or `cuda:N`.
        num_threads: number of CPU threads; None for as many as torch uses.

    Raises:
        WeightsError: the folder or one of its files is missing or broken, or the files are inconsistent.
        ConfigError: the package `tokenizers` is not installed.
        EngineError: the device is not available.
    """
    folder = encoders_folder(folder)
    if device == "auto":
        if _has_cuda():
            try:
                return load_encoders(folder, device="cuda", num_threads=num_threads)
            except EngineError as error:
                _logger.warning("running the text encoders on the CPU: %s", error)
        device = "cpu"
    description = EncodersDescription.read(folder)
    sessions = []
    for name, kind, num_axes in ((IMAGE_GRAPH, "tensor(float)", 4), (TEXT_GRAPH, "tensor(int64)", 2)):
        path = folder / name
        contents = description.file(folder, name)  # type: ignore[arg-type]
        session = open_session(contents, path=path, device=device, num_threads=num_threads)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != kind or len(inputs[0].shape) != num_axes:
            described = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
            raise WeightsError(
                f"{path} takes {described} and has {len(outputs)} outputs; it must take one {kind} with {num_axes}"
                " axes, and have one output"
            )
        sessions.append(session)
    tokenize = _tokenizer(description.file(folder, TOKENIZER), folder / TOKENIZER, description)
    encoders = OnnxEncoders(description, sessions[0], sessions[1], tokenize)
    # Detect inconsistent files now, not at the first object.
    encoders.embed_images(np.zeros((1, description.image_size, description.image_size, 3), np.uint8))
    encoders.embed_texts([description.sentence("something")])
    return encoders


def _has_cuda() -> bool:
    return torch.cuda.is_available() and "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _tokenizer(
    contents: bytes, path: Path, description: EncodersDescription
) -> Callable[[Sequence[str]], npt.NDArray[np.int64]]:
    if find_spec("tokenizers") is None:
        raise ConfigError("text prompts require the package tokenizers: pip install 'streamseg[text]'")
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(contents)
    except ValueError as error:
        raise WeightsError(f"{path} is not a tokenizer: {' '.join(str(error).split())}") from error
    length = description.context_length
    # Truncation leaves room for the start and end tokens.
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length, pad_id=description.pad_id)

    def tokenize(sentences: Sequence[str]) -> npt.NDArray[np.int64]:
        encodings = tokenizer.encode_batch(list(sentences))
        return np.array([encoding.ids for encoding in encodings], np.int64).reshape(len(sentences), length)

    return tokenize
