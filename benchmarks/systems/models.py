"""The compared systems at their true sizes: with the official weights if they are there, or with random ones.

Time and memory do not depend on the weights; masks do, and those of random weights are not looked at.

MobileSAM's and EdgeTAM's encoders are `timm`'s, which imports torchvision. They need not be in the environment:

    pip install --no-deps --target FOLDER timm torchvision==0.28.0
    PYTHONPATH=FOLDER scripts/bench systems --systems mobile-sam,edgetam

The torchvision of PyPI, built for CUDA, cannot be imported beside torch's processor build; see `require_timm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from streamseg.tiers.catalogue import model_path
from streamseg.tiers.memory.loading import load_video_model, video_model
from streamseg.tiers.memory.sessions import SessionVideoModel
from streamseg.tiers.model_folder import IMAGENET_MEAN, IMAGENET_STD
from streamseg.tiers.quality.loading import load_promptable
from streamseg.tiers.quality.model import PromptableModel
from streamseg.tiers.quality.transformers_model import FAMILIES, TransformersModel

__all__ = ["SYSTEMS", "System", "num_parameters", "opened_promptable", "opened_video", "promptable", "video"]

EDGETAM_BACKBONE: Final = {
    "model_type": "timm_wrapper",
    "architecture": "repvit_m1.dist_in1k",
    "num_classes": 0,
    "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
}


_DECLARED: list[Any] = []
"""Keeps the operators that `require_timm` declares."""


def require_timm() -> None:
    """Make timm importable: declare the operators that a torchvision of another build of torch asks for at its import.

    timm uses none of them. Raises ImportError if one of the two is missing.
    """
    import importlib

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)
        importlib.import_module("torchvision")
    importlib.import_module("timm")


@dataclass(frozen=True)
class System:
    """One system of the comparison."""

    name: str
    kind: Literal["network", "promptable", "video"]
    build: Callable[[], Any]
    """Makes the model of transformers with random weights."""
    note: str = ""
    """How it differs from the published architecture with random weights; "" if it does not."""

    @property
    def folder(self) -> Path | None:
        """Folder with its official weights, see `streamseg tiers`; None if they are missing."""
        folder = model_path(self.name.removesuffix("-video"))
        return folder if folder.is_dir() and any(folder.iterdir()) else None


def _sam_vit_b() -> nn.Module:
    from transformers import SamConfig, SamModel

    return SamModel(SamConfig())


def _hq_sam_b() -> nn.Module:
    from transformers import SamHQConfig, SamHQModel

    return SamHQModel(SamHQConfig())


def _efficient_sam_s() -> nn.Module:
    from transformers import SamConfig, SamModel

    vision = {
        "hidden_size": 384,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        "mlp_dim": 1536,
        "use_rel_pos": False,
        "window_size": 0,
        "global_attn_indexes": list(range(12)),
    }
    return SamModel(SamConfig(vision_config=vision))


class _TinyVit(nn.Module):
    """MobileSAM's encoder: TinyViT-5M whose last stage keeps its size, with SAM's neck."""

    def __init__(self) -> None:
        super().__init__()
        require_timm()
        import timm

        self.backbone = timm.create_model("tiny_vit_5m_224", pretrained=False, features_only=True, out_indices=[3])
        stages = [module for name, module in self.backbone.named_modules() if name.endswith("stages_3.downsample")]
        stages[0].conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, 1, bias=False), nn.GroupNorm(1, 256), nn.Conv2d(256, 256, 3, padding=1, bias=False),
            nn.GroupNorm(1, 256),
        )  # fmt: skip

    def forward(self, pixels: Tensor, **_: Any) -> tuple[Tensor]:
        embedding: Tensor = self.neck(self.backbone(pixels)[-1])
        return (embedding,)


def _mobile_sam() -> nn.Module:
    require_timm()  # before transformers, which looks for torchvision when it is imported
    from transformers import SamConfig, SamModel

    # A small encoder, which is replaced: the prompt encoder and the mask decoder are those of SAM.
    model = SamModel(SamConfig(vision_config={"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}))
    model.vision_encoder = _TinyVit()
    model.get_image_embeddings = lambda pixels: model.vision_encoder(pixels)[0]
    return model


def _sam2_tiny() -> nn.Module:
    from transformers import Sam2Config, Sam2Model

    return Sam2Model(Sam2Config())


def _sam2_tiny_video() -> nn.Module:
    from transformers import Sam2VideoConfig, Sam2VideoModel

    return Sam2VideoModel(Sam2VideoConfig())


def _edgetam() -> nn.Module:
    require_timm()
    from transformers import EdgeTamConfig, EdgeTamModel

    return EdgeTamModel(EdgeTamConfig(vision_config={"backbone_config": EDGETAM_BACKBONE}))


def _edgetam_video() -> nn.Module:
    require_timm()
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel

    vision = {"model_type": "edgetam_vision_model", "backbone_config": EDGETAM_BACKBONE}
    return EdgeTamVideoModel(EdgeTamVideoConfig(vision_config=vision))


SYSTEMS: Final = (
    System("streamseg", "network", lambda: None),
    System("mobile-sam", "promptable", _mobile_sam, "encoder from timm, decoder from transformers"),
    System("edgetam", "promptable", _edgetam),
    System("efficient-sam-s", "promptable", _efficient_sam_s, "ViT-S with SAM's neck and decoder from transformers"),
    System("sam2.1-tiny", "promptable", _sam2_tiny),
    System("sam-vit-b", "promptable", _sam_vit_b),
    System("hq-sam-b", "promptable", _hq_sam_b),
    System("edgetam-video", "video", _edgetam_video),
    System("sam2.1-tiny-video", "video", _sam2_tiny_video),
)


def promptable(system: System, seed: int = 0) -> TransformersModel:
    """Return a promptable system with random weights."""
    torch.manual_seed(seed)
    model = system.build()
    family = FAMILIES[model.config.model_type]
    return TransformersModel(model, family, name=system.name, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def video(system: System, seed: int = 0) -> SessionVideoModel:
    """Return a video system with random weights, whose objects are always present."""
    torch.manual_seed(seed)
    model = system.build()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    return video_model(model)


def opened_promptable(system: System) -> tuple[PromptableModel, Path | None]:
    """Return a promptable system, and the folder of its weights; None: they are random."""
    folder = system.folder
    return (promptable(system), None) if folder is None else (load_promptable(folder, device="cpu"), folder)


def opened_video(system: System) -> tuple[SessionVideoModel, Path | None]:
    """Return a video system, and the folder of its weights; None: they are random."""
    folder = system.folder
    return (video(system), None) if folder is None else (load_video_model(folder, device=torch.device("cpu")), folder)


def num_parameters(module: nn.Module | None) -> int | None:
    """Return the number of parameters; None without a module, as that of a graph."""
    return None if module is None else sum(one.numel() for one in module.parameters())
