"""Encoders of pictures and words for streamseg, from models of transformers or open_clip."""

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
"""As their publishers state them, read in November 2026; `--licence` states another."""

ACTIVATIONS = {"clip": "softmax", "siglip": "sigmoid"}
"""Of the kinds of models of transformers whose encoders take one picture of a fixed size and one text. SigLIP 2 with a
fixed size is of kind siglip, too."""

BILINEAR, BICUBIC = 2, 3
"""How PIL counts them in `preprocessor_config.json`."""


class Part(nn.Module):
    """One of a model's two encoders as a module of its own."""

    def __init__(self, model: nn.Module, encode: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self._encode = encode

    def forward(self, inputs: Tensor) -> Tensor:
        """Embeddings (N, D)."""
        output = self._encode(self.model, inputs)
        embeddings: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return embeddings


def from_transformers(name: str) -> tuple[nn.Module, nn.Module, bytes, dict[str, Any]]:
    """Both encoders, `tokenizer.json` and what they say about themselves, of a name of the Hub or a local folder."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.image_processing_base import ImageProcessingMixin

    config = AutoConfig.from_pretrained(name)
    if config.model_type not in ACTIVATIONS:
        raise ConfigError(f"{name} is a model of kind {config.model_type!r}; allowed are {', '.join(ACTIVATIONS)}")
    # Attention as plain operators, which every opset has.
    model = AutoModel.from_pretrained(name, attn_implementation="eager", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(name)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(f"the tokenizer of {name} is not one of the tokenizers library, and cannot be exported")
    pictures, _ = ImageProcessingMixin.get_image_processor_dict(name)
    bias = getattr(model, "logit_bias", None)
    said = {
        "image_size": config.vision_config.image_size,
        "mean": pictures["image_mean"],
        "std": pictures["image_std"],
        "resize": "bilinear" if pictures.get("resample", BICUBIC) == BILINEAR else "bicubic",
        "context_length": config.text_config.max_position_embeddings,
        "pad_id": tokenizer.pad_token_id,
        "logit_scale": model.logit_scale.exp().item(),
        "logit_bias": 0.0 if bias is None else bias.item(),
        "activation": ACTIVATIONS[config.model_type],
    }
    image = Part(model, lambda both, pixels: both.get_image_features(pixel_values=pixels))
    text = Part(model, lambda both, tokens: both.get_text_features(input_ids=tokens))
    return image, text, backend.to_str().encode(), said


def from_open_clip(name: str, pretrained: str) -> tuple[nn.Module, nn.Module, bytes, dict[str, Any]]:
    """The same of a model of open_clip; `pretrained` is one of its tags, or the path of a file."""
    import open_clip

    model = open_clip.create_model(name, pretrained=pretrained).eval()
    # The fused kernel of torch's attention has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    tokenizer = open_clip.get_tokenizer(name)
    pictures = model.visual.preprocess_cfg
    side = pictures["size"][0] if isinstance(pictures["size"], tuple | list) else pictures["size"]
    bias = getattr(model, "logit_bias", None)
    said = {
        "image_size": side,
        "mean": list(pictures["mean"]),
        "std": list(pictures["std"]),
        "resize": pictures["interpolation"],
        "context_length": tokenizer.context_length,
        "logit_scale": model.logit_scale.exp().item(),
        "logit_bias": 0.0 if bias is None else bias.item(),
        "activation": "softmax" if bias is None else "sigmoid",
    }
    if hasattr(tokenizer, "bpe_ranks"):
        contents, said["pad_id"] = clip_tokenizer(tokenizer), 0
    else:
        contents, said["pad_id"] = (
            tokenizer.tokenizer.backend_tokenizer.to_str().encode(),
            tokenizer.tokenizer.pad_token_id,
        )
    image = Part(model, lambda both, pixels: both.encode_image(pixels))
    text = Part(model, lambda both, tokens: both.encode_text(tokens))
    return image, text, contents, said


def clip_tokenizer(tokenizer: Any) -> bytes:
    """CLIP's own byte-pair tokenizer, with its vocabulary, for the tokenizers library."""
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
    """Export what the command line names."""
    parser = argparse.ArgumentParser(prog="export_text_encoders", description=__doc__)
    parser.add_argument(
        "model",
        help=f"name or local folder of a transformers model ({', '.join(LICENCES)}), or open_clip:NAME/PRETRAINED",
    )
    parser.add_argument("--out", type=Path, help="folder; an older one is replaced (default: where streamseg looks)")
    parser.add_argument("--half", action="store_true", help="compute in float16, for GPUs")
    parser.add_argument("--template", default="a photo of {}", help="sentence that texts are put into (%(default)s)")
    parser.add_argument("--licence", help="of the weights, as the publisher states it")
    args = parser.parse_args()
    licence = LICENCES.get(args.model, "") if args.licence is None else args.licence
    folder = args.out if args.out is not None else encoders_folder()
    try:
        kind, _, rest = args.model.partition(":")
        if kind == "open_clip":
            name, slash, pretrained = rest.partition("/")
            if not slash:
                raise ConfigError(f"open_clip models are open_clip:NAME/PRETRAINED, got {args.model!r}")
            image, text, tokenizer, said = from_open_clip(name, pretrained)
        else:
            image, text, tokenizer, said = from_transformers(args.model)
        with torch.inference_mode():
            dim = image(torch.zeros(1, 3, said["image_size"], said["image_size"])).shape[1]
        written = export_encoders(
            image,
            text,
            tokenizer,
            folder,
            half=args.half,
            **said,
            name=args.model,
            licence=licence,
            lowercase=True,
            embedding_dim=dim,
            template=args.template,
        )
    except (StreamsegError, OSError) as error:
        print(f"export_text_encoders: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"{written.folder}: {written.num_bytes / 1e6:.1f} MB, licence {licence or 'not known'}")
    print(
        "largest difference of an embedding's component between ONNX Runtime and torch:"
        f" pictures {written.image_difference:.1g}, texts {written.text_difference:.1g}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
