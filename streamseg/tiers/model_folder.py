"""Folders of models as published for transformers: `config.json`, safetensors and a description of the preprocessing.

Nothing is downloaded, and nothing is unpickled.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch

from streamseg.errors import ConfigError, EngineError, WeightsError

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LOAD_ERRORS",
    "device_of",
    "first_line",
    "load_error",
    "load_model",
    "model_type",
    "normalisation",
    "quiet_loading",
    "read_json",
    "require_transformers",
]

logger = logging.getLogger(__name__)

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

BACKBONE_PACKAGES: Final = ("timm", "torchvision")
"""Packages with the image encoders of some models, such as EdgeTAM and OmDet-Turbo; the first needs the second."""

LOAD_ERRORS: Final = (OSError, RuntimeError, ValueError, KeyError, TypeError, ImportError, AttributeError)
"""Exceptions of `from_pretrained` for folders that are damaged or of another model."""

MAX_MISSING: Final = 0.05
"""Maximum share of a model's tensors that a folder may lack. Published folders can lack a few that are not used;
transformers fills what is missing with random values, and more of it makes random masks."""


def require_transformers(purpose: str) -> None:
    """Raise ConfigError if transformers is not installed, which something needs."""
    if find_spec("transformers") is None:
        raise ConfigError(f"{purpose} needs transformers, which is not installed; run: pip install 'streamseg[tiers]'")


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Load models of transformers without its progress bars, which would stand between the lines of a command."""
    from transformers import utils

    log: Any = utils.logging
    was_enabled = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            log.enable_progress_bar()


def load_model(class_name: str, folder: Path, what: str) -> Any:
    """Return a model of transformers in a folder, float32 on the CPU; nothing is downloaded, nothing is unpickled.

    Args:
        class_name: name of its class in transformers.
        folder: folder with `config.json` and `*.safetensors`.
        what: the model in words, such as "the model".

    Raises:
        ConfigError: a package that the model needs is missing.
        WeightsError: the folder is damaged, of another model, or lacks its tensors.
    """
    import transformers

    try:
        with quiet_loading():
            model, found = getattr(transformers, class_name).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except LOAD_ERRORS as error:
        raise load_error(what, folder, error) from error
    missing, num_tensors = sorted(found["missing_keys"]), len(model.state_dict())
    if len(missing) > MAX_MISSING * num_tensors:
        raise WeightsError(
            f"{what} in {folder} lacks {len(missing)} of {num_tensors} tensors, such as {missing[0]}; its config.json"
            " belongs to another file of weights, or the file is incomplete"
        )
    if missing:
        logger.warning("%s in %s lacks %d tensors, such as %s", what, folder, len(missing), missing[0])
    return model


def load_error(what: str, folder: Path, error: BaseException) -> ConfigError | WeightsError:
    """Return the error of a model that cannot be loaded: a package is missing or unusable, or the folder is damaged.

    Args:
        what: the model in words, such as "the model".
        folder: its folder.
        error: one of `LOAD_ERRORS`, raised by transformers.
    """
    # transformers hides the error of an import behind one of its own.
    hidden = [one for one in _chain(error) if any(name in str(one) for name in BACKBONE_PACKAGES)]
    if hidden and any(isinstance(one, ImportError | RuntimeError) for one in hidden):
        missing = [name for name in BACKBONE_PACKAGES if find_spec(name) is None]
        if missing:
            state = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not installed"
        else:
            state = f"they cannot be imported: {first_line(hidden[-1])}"
        return ConfigError(
            f"{what} in {folder} needs timm and torchvision, but {state}; install timm, and the torchvision that"
            f" belongs to torch {torch.__version__} from the same package index"
        )
    return WeightsError(f"cannot load {what} in {folder}: {first_line(error)}")


def device_of(name: str) -> torch.device:
    """Return the device of a configuration; `auto` is CUDA if available.

    Raises:
        EngineError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # TensorRT is an engine of the network only.
    device = torch.device(name.replace("tensorrt", "cuda"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"there is no device {name!r}; use device cpu or auto")
    return device


def model_type(folder: Path) -> str | None:
    """Return the `model_type` of a folder's `config.json`; None if it has no such file."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    kind = read_json(path).get("model_type")
    if not isinstance(kind, str):
        raise WeightsError(f"{path} has no model_type; give a folder of a model as published for transformers")
    return kind


def normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation by channel, 0..1, from the folder's description; else those of ImageNet."""
    for name in ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        fields = read_json(path)
        fields = fields.get("image_processor", fields)
        mean, std = fields.get("image_mean"), fields.get("image_std")
        if _are_three(mean) and _are_three(std) and all(one > 0 for one in std):
            return tuple(mean), tuple(std)
    return IMAGENET_MEAN, IMAGENET_STD


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; raises WeightsError if it cannot be read or is none."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {first_line(error)}") from error
    if not isinstance(fields, dict):
        raise WeightsError(f"{path} must contain a JSON object, got {type(fields).__name__}")
    return fields


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and those that led to it, the first one last."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _are_three(values: Any) -> bool:
    return isinstance(values, list) and len(values) == 3 and all(isinstance(one, int | float) for one in values)
