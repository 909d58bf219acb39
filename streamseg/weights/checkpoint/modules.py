"""From the tree of modules in a checkpoint to tensors by name, and to what the tensors do not tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from streamseg.modeling.network import SPPF, Bottleneck, Conv, NetworkConfig
from streamseg.modeling.state_dict import meta_network
from streamseg.weights.checkpoint.refusal import OTHER, quoted, refuse
from streamseg.weights.checkpoint.storages import StoredTensor
from streamseg.weights.checkpoint.stubs import Inert

__all__ = ["Tree", "check_agrees", "tree_of"]

LAYERS = (
    *("Conv", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "Conv", "C2f", "SPPF"),
    *("Upsample", "Concat", "C2f", "Upsample", "Concat", "C2f"),
    *("Conv", "Concat", "C2f", "Conv", "Concat", "C2f", "Segment"),
)
"""The graph of YOLOv8-seg, layer by layer."""

SOURCES: dict[int, object] = {11: [-1, 6], 14: [-1, 4], 17: [-1, 12], 20: [-1, 9], 22: [15, 18, 21]}
"""What a layer takes, where it is not the layer before it."""

_MOST_MODULES = 5_000
_DEEPEST = 12
"""The largest network has 600 modules, 7 deep."""

_POOLING = "model.9.cv1"


@dataclass(frozen=True)
class Tree:
    """A network as the checkpoint has it."""

    modules: dict[str, Inert]
    """By name, such as `model.0.conv`."""
    tensors: dict[str, StoredTensor]
    """By name, such as `model.0.conv.weight`; parameters and persistent buffers."""


def tree_of(model: Inert) -> Tree:
    """Walk a segmentation model, and check that it is laid out as YOLOv8-seg.

    Raises:
        WeightsError: it is another model, or no tree of modules at all.
    """
    if model.short_kind != "SegmentationModel":
        raise refuse(f"the checkpoint holds a {model.short_kind}, which finds no instances with masks", OTHER)
    modules: dict[str, Inert] = {}
    tensors: dict[str, StoredTensor] = {}
    for name, module in _walk(model):
        modules[name] = module
        tensors.update((f"{name}.{key}" if name else key, tensor) for key, tensor in _tensors(name, module))
    _check_layers(modules)
    _check_not_fused(modules)
    return Tree(modules, tensors)


def check_agrees(tree: Tree, config: NetworkConfig) -> bool:
    """Compare everything that decides what the network answers and that no tensor carries.

    Returns:
        Whether the first convolution of the pooling ends in an activation.

    Raises:
        WeightsError: something differs from the network that is built here.
    """
    network = meta_network(config)
    for name, ours in network.named_modules():
        theirs = tree.modules.get(name)
        # Upsampling and concatenation have been compared as layers.
        if theirs is None or not isinstance(ours, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d | Bottleneck | SPPF):
            continue
        for key, expected in _constants(ours).items():
            found = theirs.attributes.get(key, expected)
            if type(found) is not type(expected) or found != expected:
                raise refuse(f"{name} has {key} {_shown(found)}, where YOLOv8-seg has {expected}", OTHER)
    return _check_activations(tree, [name for name, ours in network.named_modules() if isinstance(ours, Conv)])


def _walk(model: Inert) -> Iterator[tuple[str, Inert]]:
    """Every module by its name, in the order of a state dict; one that two parents share comes twice."""
    pending: list[tuple[str, Inert, int]] = [("", model, 0)]
    count = 0
    while pending:
        name, module, depth = pending.pop()
        count += 1
        if count > _MOST_MODULES or depth > _DEEPEST:
            raise refuse(f"the checkpoint's network has more than {_MOST_MODULES} modules, or is over {_DEEPEST} deep")
        yield name, module
        for key, child in reversed(list(_named(module, "_modules", name))):
            if child is not None and not isinstance(child, Inert):
                raise refuse(f"{quoted(key)} in {name or 'the network'} is no module")
            if child is not None:
                pending.append((f"{name}.{key}" if name else key, child, depth + 1))


def _tensors(name: str, module: Inert) -> Iterator[tuple[str, StoredTensor]]:
    passing = module.attributes.get("_non_persistent_buffers_set", frozenset())
    for collection in ("_parameters", "_buffers"):
        for key, tensor in _named(module, collection, name):
            if isinstance(tensor, StoredTensor):
                if collection == "_parameters" or not isinstance(passing, frozenset) or key not in passing:
                    yield key, tensor
            elif tensor is not None:
                raise refuse(f"{quoted(key)} in {name or 'the network'} is no tensor")


def _named(module: Inert, collection: str, name: str) -> Iterator[tuple[str, object]]:
    entries = module.attributes.get(collection, {})
    if not isinstance(entries, dict):
        raise refuse(f"{collection} of {name or 'the network'} is no dict")
    for key, value in entries.items():
        if not isinstance(key, str) or len(key) > 40 or not key.replace("_", "a").isalnum():
            raise refuse(f"{name or 'the network'} has a part named {quoted(key)}")
        yield key, value


def _check_layers(modules: dict[str, Inert]) -> None:
    for index, expected in enumerate(LAYERS):
        layer = modules.get(f"model.{index}")
        kind = layer.short_kind if layer else "nothing"
        if layer is None or kind != expected:
            raise refuse(f"the checkpoint's layer {index} is {kind}, where YOLOv8-seg has {expected}", OTHER)
        source = layer.attributes.get("f", -1)
        wanted = SOURCES.get(index, -1)
        if not _same_source(source, wanted):
            raise refuse(f"the checkpoint's layer {index} does not take what that of YOLOv8-seg takes", OTHER)
        constants: dict[str, object] = {}
        if kind == "Upsample":
            constants = {"scale_factor": 2.0, "mode": "nearest"}
        elif kind == "Concat":
            constants = {"d": 1}
        for key, constant in constants.items():
            if layer.attributes.get(key) != constant:
                raise refuse(f"the checkpoint's layer {index} has another {key} than {constant}", OTHER)
    if f"model.{len(LAYERS)}" in modules:
        raise refuse(f"the checkpoint's network has more than the {len(LAYERS)} layers of YOLOv8-seg", OTHER)
    pooling = modules.get("model.9.m")
    window = tuple(pooling.attributes.get(key) for key in ("kernel_size", "stride", "padding")) if pooling else None
    if window != (5, 1, 2):
        raise refuse("the checkpoint's layer 9 does not pool 5x5 cells as that of YOLOv8-seg does", OTHER)


def _same_source(source: object, wanted: object) -> bool:
    # Compared one by one: what the file gives may be nested.
    if isinstance(source, list) and isinstance(wanted, list):
        return len(source) == len(wanted) and all(
            type(first) is int and first == second for first, second in zip(source, wanted, strict=True)
        )
    return type(source) is int and source == wanted


def _check_not_fused(modules: dict[str, Inert]) -> None:
    for name, module in modules.items():
        if module.short_kind == "Conv" and f"{name}.conv" in modules and f"{name}.bn" not in modules:
            raise refuse(
                f"{name} has its batch norm folded into its convolution",
                "give the checkpoint from before the network was fused",
            )


def _constants(module: nn.Module) -> dict[str, object]:
    if isinstance(module, nn.BatchNorm2d):
        return {"eps": module.eps}
    if isinstance(module, Bottleneck):
        return {"add": module.residual}
    if isinstance(module, SPPF):
        # Newer files have both; the networks after YOLOv8 differ in them.
        return {"n": 3, "add": False}
    keys = ("stride", "padding", "dilation", "groups", "padding_mode", "output_padding")
    return {key: getattr(module, key) for key in keys}


def _check_activations(tree: Tree, names: list[str]) -> bool:
    kinds = {name: tree.modules[f"{name}.act"].short_kind for name in names if f"{name}.act" in tree.modules}
    for name in names:
        kind = kinds.get(name, "nothing")
        if kind != "SiLU" and not (name == _POOLING and kind == "Identity"):
            raise refuse(f"{name} ends in {kind}, where YOLOv8-seg ends in SiLU", OTHER)
    return kinds[_POOLING] == "SiLU"


def _shown(found: object) -> str:
    if isinstance(found, tuple) and len(found) <= 4 and all(isinstance(value, int) for value in found):
        return str(found)
    return quoted(found)
