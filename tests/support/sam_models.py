"""Small promptable models of transformers with random weights, seeded: the real architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from streamseg.tiers.quality.transformers_model import FAMILIES, TransformersModel

SIDE = 64
"""Side of the models' input, pixels."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def small_model(kind: str, seed: int = 0) -> Any:
    """Return a random model of transformers by its `model_type`; skips without transformers."""
    transformers = pytest.importorskip("transformers", reason="the tiers need transformers")
    torch.manual_seed(seed)
    prompt = {"hidden_size": 32, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 4}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    if kind in ("sam", "sam_hq"):
        vision = {
            "hidden_size": 32, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": SIDE, "patch_size": 8, "window_size": 4, "global_attn_indexes": [0, 1], "mlp_dim": 64,
            "num_pos_feats": 16,
        }  # fmt: skip
        decoder |= {"vit_dim": 32} if kind == "sam_hq" else {}
        name = {"sam": "Sam", "sam_hq": "SamHQ"}[kind]
    else:
        vision = {
            "backbone_config": {
                "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
                "image_size": [SIDE, SIDE], "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2], "window_size_per_stage": [4, 2, 2, 2],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 32,
        }  # fmt: skip
        prompt |= {"patch_size": 16}
        name = "Sam2"
    config = getattr(transformers, f"{name}Config")(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # The initial weights are so small that all masks are alike.
            noise = torch.randn_like(parameter)
            parameter.copy_(noise * 0.2 if parameter.ndim > 1 else parameter + noise * 0.1)
    return model.eval()


def promptable(kind: str, seed: int = 0) -> TransformersModel:
    """Return a small model as a promptable one."""
    mean, std = IMAGENET
    return TransformersModel(small_model(kind, seed), FAMILIES[kind], name=f"small-{kind}", mean=mean, std=std)
