"""Small random video models of transformers, and a film of a moving square."""

from typing import Any

import numpy as np
import pytest
import torch

from streamseg.structures.arrays import ImageArray, MaskArray

SIZE = 128
"""Side of the models' input."""
WITHOUT_TRANSFORMERS = "transformers is not installed (extra: tiers)"


def video_config(kind: str) -> Any:
    """Return the configuration of a small model, `sam2_video` or `edgetam_video`; EdgeTAM's has SAM 2's backbone."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [SIZE, SIZE],
            "window_positional_embedding_background_size": [2, 2],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 1, 1],
            "window_size_per_stage": [8, 4, 4, 4],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 128,
    }
    common = {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 128, "image_size": SIZE, "patch_size": 16, "mask_input_channels": 4},
        "mask_decoder_config": {
            "hidden_size": 128,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
        "image_size": SIZE,
        "memory_attention_hidden_size": 128,
        "memory_attention_rope_feat_sizes": [8, 8],
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 32,
    }
    if kind == "sam2_video":
        return transformers.Sam2VideoConfig(
            **common, memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=32
        )
    return transformers.EdgeTamVideoConfig(
        **common,
        memory_attention_num_layers=1,
        memory_attention_mlp_hidden_size=32,
        memory_attention_rope_k_sizes=[4, 4],
        perceiver_resampler_num_latents=16,
        perceiver_resampler_num_latents_2d=16,
        perceiver_resampler_hidden_size=64,
        perceiver_resampler_mlp_intermediate_size=16,
        perceiver_resampler_attention_head_dim=64,
    )


def transformers_video_model(kind: str, seed: int = 0) -> Any:
    """Return a small seeded model whose objects are always present, so that its masks depend on all of its parts."""
    transformers = pytest.importorskip("transformers", reason=WITHOUT_TRANSFORMERS)
    torch.manual_seed(seed)
    model_type = {"sam2_video": "Sam2VideoModel", "edgetam_video": "EdgeTamVideoModel"}[kind]
    model = getattr(transformers, model_type)(video_config(kind)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # The initial weights are too small for masks that differ from frame to frame.
            parameter.mul_(3).add_(torch.randn(parameter.shape) * 0.02)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return model


def film(num_frames: int, height: int = 90, width: int = 120) -> tuple[list[ImageArray], list[MaskArray]]:
    """Return images (H, W, 3) of a bright square that moves to the right over noise, and its masks (H, W)."""
    generator = np.random.default_rng(0)
    images, masks = [], []
    for frame in range(num_frames):
        image = generator.integers(0, 80, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.bool_)
        x = 5 + 2 * frame % (width - 40)
        mask[20:50, x : x + 30] = True
        image[mask] = (200, 180, 60)
        images.append(image)
        masks.append(mask)
    return images, masks
