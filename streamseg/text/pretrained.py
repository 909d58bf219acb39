"""Image and text encoders of models of transformers and open_clip. Both libraries are needed for the export only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import Tensor, nn

from streamseg.errors import ConfigError, StreamsegError, WeightsError

__all__ = ["LICENCES", "OPEN_CLIP_PREFIX", "PretrainedEncoders", "load_pretrained"]

LICENCES: Final = {
    "openai/clip-vit-base-patch32": "MIT",
    "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M": "MIT",
    "wkcn/TinyCLIP-ViT-40M-32-Text-19M-LAION400M": "MIT",
    "google/siglip2-base-patch16-224": "Apache-2.0",
}
"""Licences by name of the model, as stated by the publishers in November 2026."""

OPEN_CLIP_PREFIX: Final = "open_clip:"

ACTIVATIONS: Final = {"clip": "softmax", "siglip": "sigmoid"}
"""Activation per transformers model type, for models whose encoders take one image of a fixed size and one text.
SigLIP 2 with a fixed size is of type siglip, too."""

BILINEAR: Final = 2
BICUBIC: Final = 3
"""PIL's resampling codes in `preprocessor_config.json`."""


@dataclass(frozen=True)
class PretrainedEncoders:
    """The two encoders of a model, and what `export_encoders` needs beside them."""

    image: nn.Module
    """float32 (N, 3, S, S) to (N, D)."""
    text: nn.Module
    """int64 (N, L) to (N, D)."""
    tokenizer: bytes
    """Contents of `tokenizer.json` of the `tokenizers` library."""
    fields: dict[str, Any]
    """Fields of `EncodersDescription`: size, normalisation, context length, scale, bias, activation."""


class _Part(nn.Module):
    """One of the two encoders of a model, as a separate module."""

    def __init__(self, model: nn.Module, encode: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self._encode = encode

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings (N, D)."""
        output = self._encode(self.model, inputs)
        embeddings: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return embeddings


def load_pretrained(name: str) -> PretrainedEncoders:
    """Load the encoders of a model, downloading them if necessary.

    Args:
        name: name or local folder of a transformers model, or open_clip:NAME/PRETRAINED with one of open_clip's tags or
            the path of a file.

    Raises:
        ConfigError: the name is invalid, the model is of an unsupported type, or the library is not installed.
        WeightsError: the model cannot be loaded or downloaded.
    """
    is_open_clip = name.startswith(OPEN_CLIP_PREFIX)
    architecture, slash, pretrained = name.removeprefix(OPEN_CLIP_PREFIX).partition("/")
    if is_open_clip and not (architecture and slash and pretrained):
        raise ConfigError(f"open_clip models must be open_clip:NAME/PRETRAINED, got {name!r}")
    library, package = ("open_clip", "open_clip_torch") if is_open_clip else ("transformers", "transformers")
    if find_spec(library) is None:
        raise ConfigError(f"exporting {name} needs {package}, which is not installed; run: pip install {package}")
    if find_spec("tokenizers") is None:
        raise ConfigError("text prompts need tokenizers, which is not installed; run: pip install 'streamseg[text]'")
    try:
        return _from_open_clip(architecture, pretrained) if is_open_clip else _from_transformers(name)
    except StreamsegError:
        raise
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise WeightsError(f"cannot load {name}: {' '.join(str(error).split())}") from error


def _from_transformers(name: str) -> PretrainedEncoders:
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.image_processing_base import ImageProcessingMixin

    config = AutoConfig.from_pretrained(name)
    if config.model_type not in ACTIVATIONS:
        raise ConfigError(f"{name} is a model of type {config.model_type!r}; allowed are {', '.join(ACTIVATIONS)}")
    # Eager attention consists of plain operators, which every opset supports.
    model = AutoModel.from_pretrained(name, attn_implementation="eager", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(name)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(f"the tokenizer of {name} cannot be exported: it does not use the tokenizers library")
    preprocessing, _ = ImageProcessingMixin.get_image_processor_dict(name)
    bias = getattr(model, "logit_bias", None)
    fields = {
        "image_size": config.vision_config.image_size,
        "mean": preprocessing["image_mean"],
        "std": preprocessing["image_std"],
        "resize": "bilinear" if preprocessing.get("resample", BICUBIC) == BILINEAR else "bicubic",
        "context_length": config.text_config.max_position_embeddings,
        "pad_id": tokenizer.pad_token_id,
        "logit_scale": model.logit_scale.exp().item(),
        "logit_bias": 0.0 if bias is None else bias.item(),
        "activation": ACTIVATIONS[config.model_type],
    }
    return PretrainedEncoders(
        _Part(model, lambda both, pixels: both.get_image_features(pixel_values=pixels)),
        _Part(model, lambda both, tokens: both.get_text_features(input_ids=tokens)),
        backend.to_str().encode(),
        fields,
    )


def _from_open_clip(name: str, pretrained: str) -> PretrainedEncoders:
    import open_clip

    model = open_clip.create_model(name, pretrained=pretrained).eval()
    # The fused attention kernel of torch has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    tokenizer = open_clip.get_tokenizer(name)
    preprocessing = model.visual.preprocess_cfg
    side = preprocessing["size"][0] if isinstance(preprocessing["size"], tuple | list) else preprocessing["size"]
    bias = getattr(model, "logit_bias", None)
    if hasattr(tokenizer, "bpe_ranks"):
        contents, pad_id = _clip_tokenizer(tokenizer), 0
    else:
        contents = tokenizer.tokenizer.backend_tokenizer.to_str().encode()
        pad_id = tokenizer.tokenizer.pad_token_id
    fields = {
        "image_size": side,
        "mean": list(preprocessing["mean"]),
        "std": list(preprocessing["std"]),
        "resize": preprocessing["interpolation"],
        "context_length": tokenizer.context_length,
        "pad_id": pad_id,
        "logit_scale": model.logit_scale.exp().item(),
        "logit_bias": 0.0 if bias is None else bias.item(),
        "activation": "softmax" if bias is None else "sigmoid",
    }
    return PretrainedEncoders(
        _Part(model, lambda both, pixels: both.encode_image(pixels)),
        _Part(model, lambda both, tokens: both.encode_text(tokens)),
        contents,
        fields,
    )


def _clip_tokenizer(tokenizer: Any) -> bytes:
    """Convert CLIP's own byte-pair tokenizer, with its vocabulary, to the tokenizers library."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    begin, end = "<start_of_text>", "<end_of_text>"
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    built = Tokenizer(
        models.BPE(vocab=dict(tokenizer.encoder), merges=merges, end_of_word_suffix="</w>", unk_token=end)
    )
    built.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    special = [(token, tokenizer.encoder[token]) for token in (begin, end)]
    built.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=special)
    contents: str = built.to_str()
    return contents.encode()
