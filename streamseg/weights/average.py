"""Average the weights of several networks: the result is one network, as fast as each of them."""

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

ARCHITECTURE: Final = (
    "architecture",
    "size",
    "channels",
    "repeats",
    "num_classes",
    "reg_max",
    "num_masks",
    "sppf_activation",
)
"""Metadata fields that must be equal in all networks; the shapes of tensors determine the others."""

REFINER_KEYS: Final = ("refined_weights_sha256", "refined_with")
"""Metadata keys that describe a file's refiner."""

MIN_IMGSZ, MAX_IMGSZ = 32, 4096
"""Range of `SegmentationConfig.imgsz`."""


def average_weights(
    weights: Sequence[Weights],
    out: str | Path,
    *,
    shares: Sequence[float] | None = None,
    refiner_of: Weights | Literal["none"] | None = None,
    imgsz: int | None = None,
) -> Path:
    """Write the mean of several networks, tensor by tensor ("model soup", Wortsman et al. 2022, arXiv 2203.05482).

    This is useful for networks from one training, or from several trainings with the same start; the mean of other
    networks is noise. Means are computed in float64 and stored in the first network's precision. Batch-norm statistics
    are averaged like any other tensor, without re-estimation on images. Integers, such as step counters, are copied
    from the first network.

    Metadata that describe the network are copied from the first file that contains them. `averaged_sha256` is a JSON
    list of the sources' hashes and shares, `refiner_of_sha256` the hash of the file that the refiner is from. If the
    sources have different licences, all of them are listed.

    Args:
        weights: at least two networks of one architecture; the same one may occur twice.
        out: path ending in .safetensors; an existing file is replaced.
        shares: one positive number per network, in any unit; None: equal shares.
        refiner_of: weights to copy the refiner from, which need not be averaged; "none": no refiner; None: the only
            refiner in the averaged files, see `refiner_source`. Refiners are not averaged.
        imgsz: long side of the input that the mean is intended for, 32..4096 px; None: as in the files, which must
            agree.

    Returns:
        The path of `out`.

    Raises:
        ConfigError: there are fewer than two networks, the number of shares is wrong, a share is not positive, or
            `imgsz` is out of range.
        WeightsError: the architectures or metadata of the networks differ, a refiner is missing, ambiguous or has
            another number of prototypes, `out` is one of the files or has another suffix, or it cannot be written.
    """
    if len(weights) < 2:
        raise ConfigError(f"averaging requires at least two weights files, got {len(weights)}; add another one")
    normalised = normalised_shares(shares, len(weights))
    if imgsz is not None and not MIN_IMGSZ <= imgsz <= MAX_IMGSZ:
        raise ConfigError(f"imgsz must be {MIN_IMGSZ}..{MAX_IMGSZ}, got {imgsz}")
    out = Path(out)
    _check_out(out, [*weights, refiner_of] if isinstance(refiner_of, Weights) else weights)
    described = [read_weights_metadata(one) for one in weights]
    for one, metadata_of_one in zip(weights[1:], described[1:], strict=True):
        _check_same_architecture(weights[0], described[0], one, metadata_of_one)
    source = refiner_source(weights, refiner_of)
    refiner = {} if source is None else _refiner_tensors(source)
    if source is not None:
        _check_refiner_fits(source, described[0].num_masks)
    metadata = _network_metadata(weights, described, imgsz)
    metadata["averaged_sha256"] = json.dumps(
        [{"sha256": one.sha256, "share": share} for one, share in zip(weights, normalised, strict=True)]
    )
    metadata["averaged_by"] = f"streamseg {streamseg.__version__}"
    if source is not None:
        metadata |= {key: source.metadata[key] for key in REFINER_KEYS if key in source.metadata}
        metadata["refiner_of_sha256"] = source.sha256
    return save_weights(
        mean_state_dict([one.state_dict for one in weights], normalised) | refiner, out, metadata=metadata
    )


def mean_state_dict(state_dicts: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Average networks' tensors, in the order and precision of the first one, without refiners.

    Args:
        state_dicts: at least one; all contain the first one's tensors in the same shapes.
        shares: one per state dict; their sum is 1.
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
    """Scale shares to a sum of 1.

    Args:
        shares: positive numbers in any unit; None: equal shares.
        count: required number of shares.

    Raises:
        ConfigError: their number is wrong, or one is not positive and finite.
    """
    if shares is None:
        shares = [1.0] * count
    if len(shares) != count:
        raise ConfigError(
            f"got {len(shares)} shares for {count} weights files; give one share per file, in the same order"
        )
    for share in shares:
        if not (share > 0 and math.isfinite(share)):
            raise ConfigError(f"shares must be positive finite numbers, got {share:g}; omit files without a share")
    # Divide by the largest share first: the sum of very large ones would not be finite.
    relative = [share / max(shares) for share in shares]
    return [share / math.fsum(relative) for share in relative]


def refiner_source(weights: Sequence[Weights], refiner_of: Weights | Literal["none"] | None = None) -> Weights | None:
    """Select the file whose refiner goes with the mean; None for no refiner.

    By default, this is the first file with a refiner, provided that all refiners are equal: which of two different
    ones suits the mean better cannot be determined without trying.

    Raises:
        WeightsError: the specified file has no refiner, or none is specified and the refiners differ.
    """
    if refiner_of == "none":
        return None
    if isinstance(refiner_of, Weights):
        if not _refiner_tensors(refiner_of):
            raise WeightsError(f"{refiner_of.path} has no refiner; specify a file with one, or --refiner-of none")
        return refiner_of
    refined = [one for one in weights if _refiner_tensors(one)]
    for other in refined[1:]:
        if not _same_tensors(_refiner_tensors(refined[0]), _refiner_tensors(other)):
            raise WeightsError(
                f"{refined[0].path} and {other.path} have different refiners, which cannot be averaged; select one"
                " with --refiner-of FILE, or none with --refiner-of none"
            )
    return refined[0] if refined else None


def _check_out(out: Path, sources: Sequence[Weights]) -> None:
    if out.suffix != ".safetensors":
        raise WeightsError(f"averaged weights must be a .safetensors file, got {out}")
    for source in sources:
        if out.exists() and source.path.exists() and out.samefile(source.path):
            raise WeightsError(f"{out} is the input {source.path}; choose another output")


def _check_same_architecture(
    first: Weights, first_metadata: WeightsMetadata, other: Weights, other_metadata: WeightsMetadata
) -> None:
    for field in ARCHITECTURE:
        values = getattr(first_metadata, field), getattr(other_metadata, field)
        if values[0] != values[1]:
            raise _architecture_error(first, other, f"{field} {values[0]} and {values[1]}")
    for name, tensor in first.state_dict.items():
        if not _is_averaged(name, tensor):
            continue
        shapes = tuple(tensor.shape), tuple(other.state_dict[name].shape)
        if shapes[0] != shapes[1]:
            raise _architecture_error(first, other, f"tensor {name!r} of shape {shapes[0]} and {shapes[1]}")


def _architecture_error(first: Weights, other: Weights, difference: str) -> WeightsError:
    return WeightsError(
        f"{first.path} and {other.path} have different architectures: {difference};"
        " average networks of one architecture"
    )


def _is_averaged(name: str, tensor: Tensor) -> bool:
    # Step counters are missing in some files, and floating-point numbers in others.
    return (
        tensor.is_floating_point() and not name.startswith(REFINER_PREFIX) and not name.endswith("num_batches_tracked")
    )


def _refiner_tensors(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.state_dict.items() if name.startswith(REFINER_PREFIX)}


def _same_tensors(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(
        tensor.dtype == others[name].dtype and torch.equal(tensor, others[name]) for name, tensor in some.items()
    )


def _check_refiner_fits(source: Weights, num_masks: int) -> None:
    try:
        refiner_from_state_dict(source.state_dict, num_masks=num_masks)
    except WeightsError as error:
        raise WeightsError(
            f"the refiner of {source.path} does not fit networks with {num_masks} prototypes ({error}); specify another"
            " file with --refiner-of FILE, or none with --refiner-of none"
        ) from error


def _network_metadata(
    weights: Sequence[Weights], described: Sequence[WeightsMetadata], imgsz: int | None
) -> dict[str, str]:
    """Select the metadata that also apply to the mean, unlike those about one file's training."""
    metadata: dict[str, str] = {}
    for key in ("names", SPPF_ACTIVATION):
        metadata |= next(({key: one.metadata[key]} for one in weights if key in one.metadata), {})
    metadata |= _common("size", weights, "one of them is wrong; average files of one size")
    if imgsz is None:
        metadata |= _common("imgsz", weights, "select the value for the mean with --imgsz")
    else:
        metadata["imgsz"] = str(imgsz)
    # The derived licence, because official files do not contain theirs.
    licences = dict.fromkeys(one.licence for one in described if one.licence)
    return metadata | ({"license": "; ".join(licences)} if licences else {})


def _common(key: str, weights: Sequence[Weights], remedy: str) -> dict[str, str]:
    """Return a metadata entry that must be equal in all files that contain it; empty if none does."""
    holders = [one for one in weights if key in one.metadata]
    for other in holders[1:]:
        values = holders[0].metadata[key], other.metadata[key]
        if values[0] != values[1]:
            raise WeightsError(
                f"{holders[0].path} has {key} {values[0][:80]!r}, {other.path} has {key} {values[1][:80]!r}; {remedy}"
            )
    return {key: holders[0].metadata[key]} if holders else {}
