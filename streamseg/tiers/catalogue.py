"""The models of the tiers by name: where they come from, under which licence, and where they are expected.

None of them is distributed with streamseg, and none is downloaded by it. Their files have no pinned hashes: what a
folder contains is up to its owner. Weights are read from safetensors and ONNX only, which cannot contain code.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamseg.errors import ConfigError, WeightsError
from streamseg.paths import cache_folder
from streamseg.tiers.contract import TierName

__all__ = ["TIER_MODELS", "TierModel", "find_model_path", "model_path"]


@dataclass(frozen=True)
class TierModel:
    """A model by name."""

    name: str
    tiers: tuple[TierName, ...]
    licence: str
    """Licence as stated by its publishers, with the source if they contradict each other."""
    repository: str | None = None
    """Repository on Hugging Face with a folder for transformers; None if there is none."""
    commands: str = ""
    """How to get the files without such a repository; `{folder}` is the folder where they are expected."""
    needs: str = ""
    """What must be installed beside the extra `tiers`; "" for nothing."""
    unconfirmed: str = ""
    """What of this entry could not be read at its source; "" for nothing. See docs/tiers.md for the sources."""

    @property
    def how_to_get(self) -> str:
        """What to do to have its files."""
        folder = model_path(self.name)
        if self.repository is None:
            return self.commands.format(folder=folder)
        return f"hf download {self.repository} --local-dir {folder}"


_MOBILE_SAM = (
    "from mobile_sam.pt (github.com/ChaoningZhang/MobileSAM, weights): pip install samexporter;"
    " python -m samexporter.export_encoder --checkpoint mobile_sam.pt --model-type mobile --use-preprocess"
    " --output {folder}/encoder.onnx; python -m samexporter.export_decoder --checkpoint mobile_sam.pt"
    " --model-type mobile --return-single-mask --output {folder}/decoder.onnx"
)
_EDGE_SAM = (
    "curl -L --create-dirs --output-dir {folder} --remote-name-all"
    " https://huggingface.co/spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_3x_encoder.onnx"
    " https://huggingface.co/spaces/chongzhou/EdgeSAM/resolve/main/weights/edge_sam_3x_decoder.onnx"
)
_YOLO_WORLD = (
    "in a clone of github.com/AILab-CVC/YOLO-World: deploy/export_onnx.py CONFIG CHECKPOINT --custom-text TEXTS.json"
    " --work-dir {folder}; then copy TEXTS.json to {folder}/texts.json"
)

TIER_MODELS: Final = (
    TierModel("sam-vit-b", ("quality",), "Apache-2.0", "facebook/sam-vit-base"),
    TierModel("sam-vit-l", ("quality",), "Apache-2.0", "facebook/sam-vit-large"),
    TierModel("sam-vit-h", ("quality",), "Apache-2.0", "facebook/sam-vit-huge"),
    TierModel(
        "mobile-sam",
        ("quality",),
        "Apache-2.0 (github.com/ChaoningZhang/MobileSAM); MIT (huggingface.co/dhkim2810/MobileSAM)",
        commands=_MOBILE_SAM,
    ),
    TierModel(
        "efficient-sam-s",
        ("quality",),
        "Apache-2.0",
        commands="hf download yunyangx/EfficientSAM efficientsam_s_encoder.onnx efficientsam_s_decoder.onnx"
        " --local-dir {folder}",
    ),
    TierModel("edge-sam", ("quality",), "NTU S-Lab License 1.0, not for commercial use", commands=_EDGE_SAM),
    TierModel("hq-sam-b", ("quality",), "Apache-2.0", "syscv-community/sam-hq-vit-base"),
    TierModel("sam2.1-tiny", ("quality", "memory"), "Apache-2.0", "facebook/sam2.1-hiera-tiny"),
    TierModel("sam2.1-small", ("quality", "memory"), "Apache-2.0", "facebook/sam2.1-hiera-small"),
    TierModel(
        "sam2.1-base-plus",
        ("quality", "memory"),
        "Apache-2.0",
        "facebook/sam2.1-hiera-base-plus",
        unconfirmed="whether the repository has the files for transformers, as those of tiny and small do",
    ),
    TierModel(
        "edgetam",
        ("quality", "memory"),
        "Apache-2.0",
        "yonigozlan/EdgeTAM-hf",
        needs="timm and torchvision",
        unconfirmed="the licence of this conversion; that of github.com/facebookresearch/EdgeTAM is Apache-2.0",
    ),
    TierModel("sam3", ("quality", "words"), "SAM License (access on request)", "facebook/sam3"),
    TierModel("yolo-world", ("words",), "GPL-3.0", commands=_YOLO_WORLD),
    TierModel("omdet-turbo", ("words",), "Apache-2.0", "omlab/omdet-turbo-swin-tiny-hf", needs="timm and torchvision"),
    TierModel("grounding-dino", ("words",), "Apache-2.0", "IDEA-Research/grounding-dino-tiny"),
)


def model_path(name: str) -> Path:
    """Return the folder where a model of the catalogue is expected; it may not exist."""
    return cache_folder() / "tiers" / name


def find_model_path(name: str, tier: TierName, key: str) -> Path:
    """Return the folder or file of a model.

    Args:
        name: a name of the catalogue, or the path of a folder or file; a path that exists takes precedence.
        tier: the tier that it is for.
        key: key of the configuration, for messages.

    Raises:
        ConfigError: neither a path nor a name of a model of this tier.
        WeightsError: the files of a named model are missing; says how to get them.
    """
    path = Path(name)
    if path.exists():
        return path
    valid = {model.name: model for model in TIER_MODELS if tier in model.tiers}
    if name not in valid:
        near = difflib.get_close_matches(name.lower(), valid, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{key} must be a folder or one of {', '.join(valid)}, got {name!r}, which is neither an existing path nor"
            f" such a name{hint}"
        )
    folder = model_path(name)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise WeightsError(f"the weights of {name} are not in {folder}; to get them: {valid[name].how_to_get}")
    return folder
