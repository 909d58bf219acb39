"""Collect the tensors of a checkpoint's module tree by name, and check the architecture that no tensor determines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from streamseg.modeling.network import Conv
from streamseg.modeling.state_dict import meta_network
from streamseg.modeling.yolov8 import SPPF, Bottleneck, YoloV8Config
from streamseg.weights.checkpoint.errors import UNSUPPORTED, checkpoint_error, quoted
from streamseg.weights.checkpoint.storages import StoredTensor
from streamseg.weights.checkpoint.stubs import Stub

__all__ = ["ModuleTree", "check_constants", "module_tree"]

LAYERS = (
    *("Conv", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "SPPF"),
    *("Upsample", "Concat", "C2f", "Upsample", "Concat", "C2f"),
    *("Conv", "Concat", "C2f", "Conv", "Concat", "C2f", "Segment"),
)
"""The graph of YOLOv8-seg, layer by layer."""

INPUTS: dict[int, object] = {11: [-1, 6], 14: [-1, 4], 17: [-1, 12], 20: [-1, 9], 22: [15, 18, 21]}
"""Inputs of the layers whose input is not the previous layer."""

_MAX_MODULES = 5_000
_MAX_DEPTH = 12
"""The largest network has 600 modules in 7 levels."""

_POOLING = "model.9.cv1"


@dataclass(frozen=True)
class ModuleTree:
    """The modules and tensors of a checkpoint's network."""

    modules: dict[str, Stub]
    """Modules by name, such as `model.0.conv`."""
    tensors: dict[str, StoredTensor]
    """Parameters and persistent buffers by name, such as `model.0.conv.weight`."""


def module_tree(model: Stub) -> ModuleTree:
    """Traverse a segmentation model and check that its layers are those of YOLOv8-seg.

    Raises:
        WeightsError: it is another model, or not a valid tree of modules.
    """
    if model.short_kind != "SegmentationModel":
        raise checkpoint_error(
            f"the checkpoint contains a {model.short_kind}, which is not an instance segmentation model", UNSUPPORTED
        )
    modules: dict[str, Stub] = {}
    tensors: dict[str, StoredTensor] = {}
    for name, module in _walk(model):
        modules[name] = module
        tensors.update((f"{name}.{key}" if name else key, tensor) for key, tensor in _tensors(name, module))
    _check_layers(modules)
    _check_not_fused(modules)
    return ModuleTree(modules, tensors)


def check_constants(tree: ModuleTree, config: YoloV8Config) -> bool:
    """Check all constants and activations that affect the network's output and are not tensors.

    Returns:
        Whether SPPF's first convolution ends in an activation.

    Raises:
        WeightsError: one of them differs from streamseg's network.
    """
    network = meta_network(config)
    for name, ours in network.named_modules():
        theirs = tree.modules.get(name)
        # Upsampling and concatenation are already checked as layers.
        if theirs is None or not isinstance(ours, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d | Bottleneck | SPPF):
            continue
        for key, expected in _constants(ours).items():
            found = theirs.attributes.get(key, expected)
            if type(found) is not type(expected) or found != expected:
                raise checkpoint_error(f"{name} has {key} {_shown(found)}, but YOLOv8-seg has {expected}", UNSUPPORTED)
    return _check_activations(tree, [name for name, ours in network.named_modules() if isinstance(ours, Conv)])


def _walk(model: Stub) -> Iterator[tuple[str, Stub]]:
    """Yield all modules by name, in the order of a state dict; a module with two parents occurs twice."""
    pending: list[tuple[str, Stub, int]] = [("", model, 0)]
    count = 0
    while pending:
        name, module, depth = pending.pop()
        count += 1
        if count > _MAX_MODULES or depth > _MAX_DEPTH:
            raise checkpoint_error(
                f"the checkpoint's network has more than {_MAX_MODULES} modules or more than {_MAX_DEPTH} levels"
            )
        yield name, module
        for key, child in reversed(list(_named(module, "_modules", name))):
            if child is not None and not isinstance(child, Stub):
                raise checkpoint_error(f"{quoted(key)} in {name or 'the network'} is not a module")
            if child is not None:
                pending.append((f"{name}.{key}" if name else key, child, depth + 1))


def _tensors(name: str, module: Stub) -> Iterator[tuple[str, StoredTensor]]:
    non_persistent = module.attributes.get("_non_persistent_buffers_set", frozenset())
    for collection in ("_parameters", "_buffers"):
        for key, tensor in _named(module, collection, name):
            if isinstance(tensor, StoredTensor):
                if (
                    collection == "_parameters"
                    or not isinstance(non_persistent, frozenset)
                    or key not in non_persistent
                ):
                    yield key, tensor
            elif tensor is not None:
                raise checkpoint_error(f"{quoted(key)} in {name or 'the network'} is not a tensor")


def _named(module: Stub, collection: str, name: str) -> Iterator[tuple[str, object]]:
    entries = module.attributes.get(collection, {})
    if not isinstance(entries, dict):
        raise checkpoint_error(f"{collection} of {name or 'the network'} is not a dict")
    for key, value in entries.items():
        if not isinstance(key, str) or len(key) > 40 or not key.replace("_", "a").isalnum():
            raise checkpoint_error(f"{name or 'the network'} has a member with the unsupported name {quoted(key)}")
        yield key, value


def _check_layers(modules: dict[str, Stub]) -> None:
    for index, expected in enumerate(LAYERS):
        layer = modules.get(f"model.{index}")
        kind = layer.short_kind if layer else "nothing"
        if layer is None or kind != expected:
            raise checkpoint_error(
                f"the checkpoint's layer {index} is {kind}, but YOLOv8-seg has {expected}", UNSUPPORTED
            )
        source = layer.attributes.get("f", -1)
        expected_source = INPUTS.get(index, -1)
        if not _same_source(source, expected_source):
            raise checkpoint_error(
                f"the checkpoint's layer {index} does not have the same inputs as in YOLOv8-seg", UNSUPPORTED
            )
        constants: dict[str, object] = {}
        if kind == "Upsample":
            constants = {"scale_factor": 2.0, "mode": "nearest"}
        elif kind == "Concat":
            constants = {"d": 1}
        for key, constant in constants.items():
            if layer.attributes.get(key) != constant:
                raise checkpoint_error(f"the checkpoint's layer {index} does not have {key} {constant}", UNSUPPORTED)
    if f"model.{len(LAYERS)}" in modules:
        raise checkpoint_error(
            f"the checkpoint's network has more than the {len(LAYERS)} layers of YOLOv8-seg", UNSUPPORTED
        )
    pooling = modules.get("model.9.m")
    window = tuple(pooling.attributes.get(key) for key in ("kernel_size", "stride", "padding")) if pooling else None
    if window != (5, 1, 2):
        raise checkpoint_error("the checkpoint's layer 9 does not pool 5x5 cells as in YOLOv8-seg", UNSUPPORTED)


def _same_source(source: object, expected: object) -> bool:
    # Compared element by element: the file may contain nested lists of any depth.
    if isinstance(source, list) and isinstance(expected, list):
        return len(source) == len(expected) and all(
            type(first) is int and first == second for first, second in zip(source, expected, strict=True)
        )
    return type(source) is int and source == expected


def _check_not_fused(modules: dict[str, Stub]) -> None:
    for name, module in modules.items():
        if module.short_kind == "Conv" and f"{name}.conv" in modules and f"{name}.bn" not in modules:
            raise checkpoint_error(
                f"{name} has its batch norm folded into its convolution",
                "choose a checkpoint from before the network was fused",
            )


def _constants(module: nn.Module) -> dict[str, object]:
    if isinstance(module, nn.BatchNorm2d):
        return {"eps": module.eps}
    if isinstance(module, Bottleneck):
        return {"add": module.residual}
    if isinstance(module, SPPF):
        # Newer files contain both; they differ in the networks after YOLOv8.
        return {"n": 3, "add": False}
    keys = ("stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
    return {key: getattr(module, key) for key in keys}


def _check_activations(tree: ModuleTree, names: list[str]) -> bool:
    kinds = {name: tree.modules[f"{name}.act"].short_kind for name in names if f"{name}.act" in tree.modules}
    for name in names:
        kind = kinds.get(name, "nothing")
        if kind != "SiLU" and not (name == _POOLING and kind == "Identity"):
            raise checkpoint_error(f"{name} ends in {kind}, but YOLOv8-seg ends in SiLU", UNSUPPORTED)
    return kinds[_POOLING] == "SiLU"


def _shown(found: object) -> str:
    if isinstance(found, tuple) and len(found) <= 4 and all(isinstance(value, int) for value in found):
        return str(found)
    return quoted(found)
