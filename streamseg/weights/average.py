"""The mean of several networks' weights: one network, as fast as each of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor

import streamseg
from streamseg.errors import ConfigError, WeightsError
from streamseg.modeling.refiner import REFINER_PREFIX, refiner_from_state_dict
from streamseg.modeling.state_dict import SPPF_ACTIVATION
from streamseg.weights.files import Weights, save_weights
from streamseg.weights.metadata import WeightsMetadata, read_weights_metadata

__all__ = ["average_weights", "mean_state_dict", "normalised_shares", "refiner_source"]

ARCHITECTURE: Final = ("size", "channels", "repeats", "num_classes", "reg_max", "num_masks", "sppf_activation")
"""Fields of a description that networks must have in common; shapes of tensors tell the rest."""

OF_REFINER: Final = ("refined_weights_sha256", "refined_with")
"""Entries of a file's metadata that are about its refiner."""

SMALLEST_IMGSZ, LARGEST_IMGSZ = 32, 4096
"""As in `SegmentationConfig.imgsz`."""


def average_weights(
    weights: Sequence[Weights],
    out: str | Path,
    *,
    shares: Sequence[float] | None = None,
    refiner_of: Weights | Literal["none"] | None = None,
    imgsz: int | None = None,
) -> Path:
    """Write the mean of several networks, tensor by tensor ("model soup", Wortsman et al. 2022, arXiv 2203.05482).

    It makes sense of networks that one training has led to, or several from the same start; of others it is noise.
    Means are taken in float64 and stored in the first network's precision. Statistics of batch norms are averaged as
    any other tensor is, without a look at pictures; integers, such as counters of steps, are the first network's.

    The metadata are those that describe the network, from the first file that has them; `averaged_sha256` is a JSON
    list of the sources' hashes and shares, `refiner_of_sha256` the hash of the file that gave the refiner. Where
    sources differ in their licences, all are named.

    Args:
        weights: at least two, of one architecture; the same one may come twice.
        out: ends in .safetensors; an older file is replaced.
        shares: one positive number for each network, in any unit; None: all alike.
        refiner_of: whose refiner goes with the mean, also of a file that is not averaged; "none": no refiner;
            None: the only one that the networks bring, see `refiner_source`. It is not averaged.
        imgsz: long side of the input that the mean is meant for, 32..4096 px; None: as the networks say, which must
            agree then.

    Returns:
        The path of `out`.

    Raises:
        ConfigError: fewer than two networks, shares of another number or not positive, or an impossible `imgsz`.
        WeightsError: the networks differ in their architecture or contradict each other, a refiner is missing, in
            doubt or of another number of prototypes, `out` is one of the files or has another suffix, or it cannot be
            written.
    """
    if len(weights) < 2:
        raise ConfigError(f"an average needs at least two weights files, got {len(weights)}; name another one")
    normalised = normalised_shares(shares, len(weights))
    if imgsz is not None and not SMALLEST_IMGSZ <= imgsz <= LARGEST_IMGSZ:
        raise ConfigError(f"imgsz must be {SMALLEST_IMGSZ}..{LARGEST_IMGSZ}, got {imgsz}")
    out = Path(out)
    _check_out(out, [*weights, refiner_of] if isinstance(refiner_of, Weights) else weights)
    descriptions = [read_weights_metadata(one) for one in weights]
    for one, description in zip(weights[1:], descriptions[1:], strict=True):
        _check_same_architecture(weights[0], descriptions[0], one, description)
    giver = refiner_source(weights, refiner_of)
    refiner = {} if giver is None else _refiner_tensors(giver)
    if giver is not None:
        _check_fits(giver, descriptions[0].num_masks)
    metadata = _about_network(weights, descriptions, imgsz)
    metadata["averaged_sha256"] = json.dumps(
        [{"sha256": one.sha256, "share": share} for one, share in zip(weights, normalised, strict=True)]
    )
    metadata["averaged_by"] = f"streamseg {streamseg.__version__}"
    if giver is not None:
        metadata |= {key: giver.metadata[key] for key in OF_REFINER if key in giver.metadata}
        metadata["refiner_of_sha256"] = giver.sha256
    return save_weights(
        mean_state_dict([one.state_dict for one in weights], normalised) | refiner, out, metadata=metadata
    )


def mean_state_dict(state_dicts: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """The mean of networks' tensors, in the order and the precision of the first; without a refiner.

    Args:
        state_dicts: at least one, all with the first one's tensors in the same shapes.
        shares: one for each, which sum to 1.
    """
    mean = {name: tensor for name, tensor in state_dicts[0].items() if not name.startswith(REFINER_PREFIX)}
    for name, tensor in mean.items():
        if _is_averaged(name, tensor):
            total = torch.zeros(tensor.shape, dtype=torch.float64)
            for state_dict, share in zip(state_dicts, shares, strict=True):
                total += share * state_dict[name].double()
            mean[name] = total.to(tensor.dtype)
    return mean


def normalised_shares(shares: Sequence[float] | None, count: int) -> list[float]:
    """Shares that sum to 1.

    Args:
        shares: positive numbers in any unit; None: all alike.
        count: how many there must be.

    Raises:
        ConfigError: there are more or fewer, or one is not positive or not finite.
    """
    if shares is None:
        shares = [1.0] * count
    if len(shares) != count:
        raise ConfigError(f"got {len(shares)} shares for {count} weights files; give one for each, in their order")
    for share in shares:
        if not (share > 0 and math.isfinite(share)):
            raise ConfigError(f"shares must be positive finite numbers, got {share:g}; leave out what is to have none")
    # The largest first becomes 1: a sum of large ones would not be finite.
    relative = [share / max(shares) for share in shares]
    return [share / math.fsum(relative) for share in relative]


def refiner_source(weights: Sequence[Weights], refiner_of: Weights | Literal["none"] | None = None) -> Weights | None:
    """The file that gives the mean of networks its refiner; None where it gets none.

    Unless one is named, it is the first network's that brings any, provided that others bring the same or none:
    nobody can tell which of two different ones suits the mean better without trying.

    Raises:
        WeightsError: the file that is named has no refiner, or none is named and the networks bring different ones.
    """
    if refiner_of == "none":
        return None
    if isinstance(refiner_of, Weights):
        if not _refiner_tensors(refiner_of):
            raise WeightsError(
                f"{refiner_of.path} has no refiner; name a file with one, or none with --refiner-of none"
            )
        return refiner_of
    bringing = [one for one in weights if _refiner_tensors(one)]
    for other in bringing[1:]:
        if not _same_tensors(_refiner_tensors(bringing[0]), _refiner_tensors(other)):
            raise WeightsError(
                f"{bringing[0].path} and {other.path} bring different refiners, which are not averaged; say which one"
                " the mean gets with --refiner-of FILE, or none with --refiner-of none"
            )
    return bringing[0] if bringing else None


def _check_out(out: Path, sources: Sequence[Weights]) -> None:
    if out.suffix != ".safetensors":
        raise WeightsError(f"averaged weights are written to a .safetensors file, got {out}")
    for source in sources:
        if out.exists() and source.path.exists() and out.samefile(source.path):
            raise WeightsError(f"{out} is {source.path}, one of the files that are read; name another one")


def _check_same_architecture(
    first: Weights, first_description: WeightsMetadata, other: Weights, description: WeightsMetadata
) -> None:
    for field in ARCHITECTURE:
        values = getattr(first_description, field), getattr(description, field)
        if values[0] != values[1]:
            raise _different(first, other, f"{field} {values[0]} and {values[1]}")
    for name, tensor in first.state_dict.items():
        if not _is_averaged(name, tensor):
            continue
        shapes = tuple(tensor.shape), tuple(other.state_dict[name].shape)
        if shapes[0] != shapes[1]:
            raise _different(first, other, f"tensor {name!r} of shape {shapes[0]} and {shapes[1]}")


def _different(first: Weights, other: Weights, difference: str) -> WeightsError:
    return WeightsError(
        f"{first.path} and {other.path} are different networks: {difference}; average networks of one architecture"
    )


def _is_averaged(name: str, tensor: Tensor) -> bool:
    # Counters of steps are missing in some files, and floating-point numbers in others.
    return tensor.is_floating_point() and not name.startswith(REFINER_PREFIX) and not name.endswith("num_batches_tracked")


def _refiner_tensors(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.state_dict.items() if name.startswith(REFINER_PREFIX)}


def _same_tensors(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(
        tensor.dtype == others[name].dtype and torch.equal(tensor, others[name]) for name, tensor in some.items()
    )


def _check_fits(giver: Weights, num_masks: int) -> None:
    try:
        refiner_from_state_dict(giver.state_dict, num_masks=num_masks)
    except WeightsError as error:
        raise WeightsError(
            f"the refiner of {giver.path} does not fit networks of {num_masks} prototypes ({error}); name another file"
            " with --refiner-of FILE, or none with --refiner-of none"
        ) from error


def _about_network(
    weights: Sequence[Weights], descriptions: Sequence[WeightsMetadata], imgsz: int | None
) -> dict[str, str]:
    """What holds for the mean as well, of all that the files say; how one of them was trained does not."""
    metadata: dict[str, str] = {}
    for key in ("names", SPPF_ACTIVATION):
        metadata |= next(({key: one.metadata[key]} for one in weights if key in one.metadata), {})
    metadata |= _agreed("size", weights, "one of them is wrong; average files of one size")
    if imgsz is None:
        metadata |= _agreed("imgsz", weights, "say which is right for the mean with --imgsz")
    else:
        metadata["imgsz"] = str(imgsz)
    # Of a description, which knows the licences of official files that do not tell them.
    licences = dict.fromkeys(description.licence for description in descriptions if description.licence)
    return metadata | ({"license": "; ".join(licences)} if licences else {})


def _agreed(key: str, weights: Sequence[Weights], remedy: str) -> dict[str, str]:
    """An entry of the metadata that must be the same wherever there is one; empty where there is none."""
    stating = [one for one in weights if key in one.metadata]
    for other in stating[1:]:
        values = stating[0].metadata[key], other.metadata[key]
        if values[0] != values[1]:
            told = f"{stating[0].path} says {key} {values[0][:80]!r}, {other.path} {values[1][:80]!r}"
            raise WeightsError(f"{told}; {remedy}")
    return {key: stating[0].metadata[key]} if stating else {}
