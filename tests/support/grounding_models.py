"""Small random detectors of transformers, and a tokenizer of whole words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

WORDS = ("cat", "dog", "a", "red", "cup", "detect", ",")
SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Ids that Grounding DINO expects of BERT's tokens."""
VOCABULARY_SIZE = 1100
SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 1, 1],
    "window_size": 2,
    "out_indices": [2, 3, 4],
}
WITHOUT_TRANSFORMERS = "transformers is not installed (extra: tiers)"


def word_tokenizer(max_length: int = 77) -> Any:
    """Return a tokenizer in which every word is one token; unknown words are [UNK]."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra: text)")
    vocabulary = {**SPECIAL, **{word: 200 + position for position, word in enumerate(WORDS)}}
    built = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    built.normalizer = tokenizers.normalizers.Lowercase()
    built.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    built.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=max_length,
    )  # fmt: skip


def image_processor(size: int = 64) -> Any:
    """Return the image processor of DETR's family without torchvision, to squares."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    return transformers.GroundingDinoImageProcessorPil(size={"height": size, "width": size}, do_pad=False)


def grounding_dino(seed: int = 0) -> Any:
    """Return a small seeded Grounding DINO."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    torch.manual_seed(seed)
    config = transformers.GroundingDinoConfig(
        backbone_config=SWIN,
        text_config={
            "model_type": "bert",
            "vocab_size": VOCABULARY_SIZE,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
        num_queries=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
        num_feature_levels=4,
        max_text_len=32,
    )
    return transformers.GroundingDinoForObjectDetection(config).eval()


def omdet_turbo(seed: int = 0) -> Any:
    """Return a small seeded OmDet-Turbo."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    torch.manual_seed(seed)
    config = transformers.OmDetTurboConfig(
        backbone_config=SWIN,
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": VOCABULARY_SIZE,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "projection_dim": 16,
            "eos_token_id": 102,
        },
        apply_layernorm_after_vision_backbone=False,
        image_size=64,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        task_encoder_hidden_dim=16,
        class_embed_dim=16,
        num_queries=12,
        encoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32],
        encoder_in_channels=[16, 32, 64],
        encoder_attention_heads=2,
        encoder_dim_feedforward=16,
        decoder_hidden_dim=32,
        decoder_num_heads=2,
        decoder_num_layers=1,
        decoder_dim_feedforward=16,
    )
    return transformers.OmDetTurboForObjectDetection(config).eval()


def sam3(seed: int = 0) -> Any:
    """Return a small seeded SAM 3 with inputs of 56 x 56 pixels."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    torch.manual_seed(seed)
    small = {"hidden_size": 16, "num_attention_heads": 2}
    layers = {**small, "num_layers": 1, "intermediate_size": 16}
    config = transformers.Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                **small,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "image_size": 56,
                "pretrain_image_size": 56,
                "window_size": 2,
                "global_attn_indexes": [0],
            },
            "fpn_hidden_size": 16,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            "model_type": "clip_text_model",
            **small,
            "vocab_size": VOCABULARY_SIZE,
            "num_hidden_layers": 1,
            "intermediate_size": 16,
            "projection_dim": 16,
            "max_position_embeddings": 32,
            "eos_token_id": 102,
        },
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 12},
        mask_decoder_config=small,
    )
    return transformers.Sam3Model(config).eval()
