"""Export of two torch modules and a tokenizer to a folder of encoders."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from streamseg.errors import EngineError, WeightsError, reason_of
from streamseg.text.description import DESCRIPTION, IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, EncodersDescription
from streamseg.text.encoders import load_encoders

__all__ = ["OPSET", "ExportedEncoders", "export_encoders"]

OPSET: Final = 17
"""ONNX operator set: LayerNormalization is a single operator from 17 on."""

LARGEST_DIFFERENCE: Final = 1e-3
"""Largest allowed difference of a component of a unit embedding between torch and ONNX Runtime, in float32."""
LARGEST_DIFFERENCE_HALF: Final = 2e-2
"""Largest allowed difference in float16."""


@dataclass(frozen=True)
class ExportedEncoders:
    """Summary of an export."""

    folder: Path
    """Folder of encoders."""
    num_bytes: int
    """Total size of its files."""
    image_difference: float
    """Largest difference of a component of an embedding between torch and ONNX Runtime, on random images."""
    text_difference: float
    """Largest difference of a component on random tokens."""


class _Cast(nn.Module):
    """A module with float32 inputs and outputs that computes in another type."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module.to(dtype)
        self.dtype = dtype

    def forward(self, inputs: Tensor) -> Tensor:
        embeddings: Tensor = self.module(inputs.to(self.dtype) if inputs.is_floating_point() else inputs)
        return embeddings.float()


def export_encoders(
    image: nn.Module,
    text: nn.Module,
    tokenizer: bytes,
    folder: str | Path,
    *,
    half: bool = False,
    **fields: Any,
) -> ExportedEncoders:
    """Write a folder of encoders atomically, and compare it with the modules.

    Args:
        image: image encoder, float32 (N, 3, S, S) to (N, D); the batch is dynamic.
        text: text encoder, int64 (N, L) to (N, D).
        tokenizer: contents of `tokenizer.json` of the `tokenizers` library.
        folder: output folder; an existing one is replaced.
        half: compute in float16 (for GPUs); inputs and outputs are float32 in either case.
        fields: fields of `EncodersDescription` except format, version and hashes.

    Raises:
        WeightsError: a field is invalid, the graphs differ from the modules, or the folder cannot be written.
        EngineError: the `onnx` package is not installed.
    """
    if find_spec("onnx") is None:
        raise EngineError("writing ONNX graphs needs the onnx package: pip install onnx")
    folder = Path(folder)
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    dtype = torch.float16 if half else torch.float32
    image, text = _Cast(image, dtype).eval(), _Cast(text, dtype).eval()
    generator = torch.Generator().manual_seed(0)
    try:
        beside.mkdir(parents=True)
        try:
            images = torch.rand(2, 3, fields["image_size"], fields["image_size"], generator=generator) * 2 - 1
            tokens = _tokens(tokenizer, fields["context_length"], generator)
            (beside / IMAGE_GRAPH).write_bytes(_graph(image, images, "pixel_values", "image_embeds"))
            (beside / TEXT_GRAPH).write_bytes(_graph(text, tokens, "input_ids", "text_embeds"))
            (beside / TOKENIZER).write_bytes(tokenizer)
            hashes = {
                name: hashlib.sha256((beside / name).read_bytes()).hexdigest()
                for name in (IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER)
            }
            description = {"format": "streamseg text encoders", "version": 1, **fields, "sha256": hashes}
            EncodersDescription.model_validate_json(json.dumps(description))
            (beside / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
            differences = _differences(beside, image, text, images, tokens)
            limit = LARGEST_DIFFERENCE_HALF if half else LARGEST_DIFFERENCE
            if max(differences) > limit:
                raise WeightsError(
                    f"the graphs of {fields['name']} differ from torch by {max(differences):.2g}, more than {limit:g};"
                    " nothing was written"
                )
            if folder.is_dir():
                shutil.rmtree(folder)
            beside.replace(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except ValidationError as error:
        fault = error.errors()[0]
        raise WeightsError(f"invalid encoders: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    except OSError as error:
        raise WeightsError(f"cannot write {folder}: {reason_of(error)}") from error
    num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return ExportedEncoders(folder, num_bytes, *differences)


def _tokens(tokenizer: bytes, context_length: int, generator: torch.Generator) -> Tensor:
    """Draw random tokens int64 (2, L) from the vocabulary."""
    from tokenizers import Tokenizer

    size = Tokenizer.from_buffer(tokenizer).get_vocab_size()
    return torch.randint(0, size, (2, context_length), generator=generator)


def _graph(module: nn.Module, example: Tensor, input_name: str, output_name: str) -> bytes:
    with TemporaryDirectory() as scratch, warnings.catch_warnings(), torch.inference_mode():
        path = Path(scratch) / "graph.onnx"
        # The tracing exporter is deprecated, but requires only onnx; and it warns about every check of a shape.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            path,
            dynamo=False,
            input_names=[input_name],
            output_names=[output_name],
            dynamic_axes={input_name: {0: "batch"}, output_name: {0: "batch"}},
            opset_version=OPSET,
        )
        return path.read_bytes()


def _differences(
    folder: Path, image: nn.Module, text: nn.Module, images: Tensor, tokens: Tensor
) -> tuple[float, float]:
    """Return the largest difference of a component for images and for texts."""
    encoders = load_encoders(folder, device="cpu")
    found = []
    with torch.inference_mode():
        for module, inputs, session in (
            (image, images, encoders.image_session),
            (text, tokens, encoders.text_session),
        ):
            # Use another batch size than the traced one, so that frozen sizes are detected.
            more = torch.cat([inputs, inputs.flip(0)[:1]])
            expected = nn.functional.normalize(module(more), dim=1).numpy()
            rows = session.run(None, {session.get_inputs()[0].name: more.numpy()})[0]
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            found.append(float(np.abs(rows - expected).max()))
    return found[0], found[1]
