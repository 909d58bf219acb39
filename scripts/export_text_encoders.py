"""Export image and text encoders for streamseg from models of transformers or open_clip."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamseg.errors import ConfigError, StreamsegError
from streamseg.text import encoders_folder
from streamseg.text.export import export_encoders

LICENCES = {
    "openai/clip-vit-base-patch32": "MIT",
    "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M": "MIT",
    "wkcn/TinyCLIP-ViT-40M-32-Text-19M-LAION400M": "MIT",
    "google/siglip2-base-patch16-224": "Apache-2.0",
}
"""Licences stated by the publishers, as of November 2026; `--licence` overrides them."""

ACTIVATIONS = {"clip": "softmax", "siglip": "sigmoid"}
"""Activation per transformers model type, for models whose encoders take one image of a fixed size and one text.
SigLIP 2 with a fixed size is of type siglip, too."""

BILINEAR, BICUBIC = 2, 3
"""PIL's resampling codes in `preprocessor_config.json`."""


class Part(nn.Module):
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


def from_transformers(name: str) -> tuple[nn.Module, nn.Module, bytes, dict[str, Any]]:
    """Load a transformers model by Hub name or local folder.

    Returns:
        Image encoder, text encoder, contents of `tokenizer.json`, and description fields.
    """
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
    image = Part(model, lambda both, pixels: both.get_image_features(pixel_values=pixels))
    text = Part(model, lambda both, tokens: both.get_text_features(input_ids=tokens))
    return image, text, backend.to_str().encode(), fields


def from_open_clip(name: str, pretrained: str) -> tuple[nn.Module, nn.Module, bytes, dict[str, Any]]:
    """Load an open_clip model; `pretrained` is one of its tags or the path of a file.

    Returns:
        Image encoder, text encoder, contents of `tokenizer.json`, and description fields.
    """
    import open_clip

    model = open_clip.create_model(name, pretrained=pretrained).eval()
    # The fused attention kernel of torch has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    tokenizer = open_clip.get_tokenizer(name)
    preprocessing = model.visual.preprocess_cfg
    side = preprocessing["size"][0] if isinstance(preprocessing["size"], tuple | list) else preprocessing["size"]
    bias = getattr(model, "logit_bias", None)
    fields = {
        "image_size": side,
        "mean": list(preprocessing["mean"]),
        "std": list(preprocessing["std"]),
        "resize": preprocessing["interpolation"],
        "context_length": tokenizer.context_length,
        "logit_scale": model.logit_scale.exp().item(),
        "logit_bias": 0.0 if bias is None else bias.item(),
        "activation": "softmax" if bias is None else "sigmoid",
    }
    if hasattr(tokenizer, "bpe_ranks"):
        contents, fields["pad_id"] = clip_tokenizer(tokenizer), 0
    else:
        contents, fields["pad_id"] = (
            tokenizer.tokenizer.backend_tokenizer.to_str().encode(),
            tokenizer.tokenizer.pad_token_id,
        )
    image = Part(model, lambda both, pixels: both.encode_image(pixels))
    text = Part(model, lambda both, tokens: both.encode_text(tokens))
    return image, text, contents, fields


def clip_tokenizer(tokenizer: Any) -> bytes:
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


def main() -> int:
    """Export the model given on the command line."""
    parser = argparse.ArgumentParser(prog="export_text_encoders", description=__doc__)
    parser.add_argument(
        "model",
        help=f"name or local folder of a transformers model ({', '.join(LICENCES)}), or open_clip:NAME/PRETRAINED",
    )
    parser.add_argument(
        "--out", type=Path, help="output folder; an existing one is replaced (default: streamseg's folder)"
    )
    parser.add_argument("--half", action="store_true", help="compute in float16, for GPUs")
    parser.add_argument(
        "--template", default="a photo of {}", help="sentence with {} for the text (default %(default)s)"
    )
    parser.add_argument("--licence", help="licence of the weights, as stated by the publisher")
    args = parser.parse_args()
    licence = LICENCES.get(args.model, "") if args.licence is None else args.licence
    folder = args.out if args.out is not None else encoders_folder()
    try:
        kind, _, rest = args.model.partition(":")
        if kind == "open_clip":
            name, slash, pretrained = rest.partition("/")
            if not slash:
                raise ConfigError(f"open_clip models must be open_clip:NAME/PRETRAINED, got {args.model!r}")
            image, text, tokenizer, fields = from_open_clip(name, pretrained)
        else:
            image, text, tokenizer, fields = from_transformers(args.model)
        with torch.inference_mode():
            dim = image(torch.zeros(1, 3, fields["image_size"], fields["image_size"])).shape[1]
        written = export_encoders(
            image,
            text,
            tokenizer,
            folder,
            half=args.half,
            **fields,
            name=args.model,
            licence=licence,
            lowercase=True,
            embedding_dim=dim,
            template=args.template,
        )
    except (StreamsegError, OSError) as error:
        print(f"export_text_encoders: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"{written.folder}: {written.num_bytes / 1e6:.1f} MB, licence {licence or 'unknown'}")
    print(
        "largest difference of an embedding component between ONNX Runtime and torch:"
        f" images {written.image_difference:.1g}, texts {written.text_difference:.1g}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
