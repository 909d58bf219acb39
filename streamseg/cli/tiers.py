"""`streamseg tiers`: the models of the tiers, and their export as ONNX graphs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from streamseg.errors import WeightsError

__all__ = ["add_parser", "export", "show", "tier_lines"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tiers` to the command line."""
    parser = subparsers.add_parser(
        "tiers",
        help="list the models of the tiers, or export one as ONNX graphs",
        description="List the models for better masks, following and words, or export one as ONNX graphs.",
    )
    parser.set_defaults(command=show)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    action = actions.add_parser("list", help="list names, state, sources and licences (the default action)")
    action.set_defaults(command=show)
    action = actions.add_parser(
        "export",
        help="export a promptable model of transformers as ONNX graphs",
        description="Write encoder.onnx and decoder.onnx of SAM, HQ-SAM, SAM 2 or EdgeTAM, and compare them with torch."
        " Needs transformers, and nothing of it afterwards.",
    )
    action.add_argument("model", metavar="NAME|FOLDER", help="a name of the list, or a folder of transformers")
    action.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the graphs (default: the folder of the model, which then uses them)",
    )
    action.set_defaults(command=export)


def show(args: argparse.Namespace) -> int:
    """Print the list."""
    for line in tier_lines():
        print(line)
    return 0


def tier_lines() -> Iterator[str]:
    """Yield the lines of the list: a table, then the licences."""
    from streamseg.tiers.catalogue import TIER_MODELS, model_path

    rows = [("NAME", "TIERS", "STATE", "WHERE TO GET IT")]
    for model in TIER_MODELS:
        folder = model_path(model.name)
        is_there = folder.is_dir() and any(folder.iterdir())
        rows.append((model.name, ", ".join(model.tiers), "present" if is_there else "missing", model.how_to_get))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    by_licence: dict[str, list[str]] = {}
    for model in TIER_MODELS:
        by_licence.setdefault(model.licence, []).append(model.name)
    for licence, names in by_licence.items():
        yield f"licence of {', '.join(names)}: {licence}"
    for model in TIER_MODELS:
        if model.needs:
            yield f"{model.name} needs {model.needs}, too (torchvision of the version that belongs to torch)"
        if model.unconfirmed:
            yield f"not confirmed for {model.name}: {model.unconfirmed}"
    yield f"folders: {model_path('NAME')}; streamseg downloads none of them, and their hashes are not known to it"


def export(args: argparse.Namespace) -> int:
    """Export one model; print the folder, its size and the largest difference from torch.

    Raises:
        ConfigError: the model is unknown, or transformers is not installed.
        WeightsError: the model cannot be loaded or has no common signature, or the graphs cannot be written.
    """
    import torch

    from streamseg.tiers.catalogue import find_model_path
    from streamseg.tiers.quality.export import export_pair
    from streamseg.tiers.quality.transformers_model import load_transformers_model

    folder = find_model_path(args.model, "quality", "the model")
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; give one with config.json and model.safetensors")
    written = export_pair(
        load_transformers_model(folder, device=torch.device("cpu")), args.out if args.out is not None else folder
    )
    print(f"{written.folder}: {written.num_bytes / 1e6:.1f} MB, largest difference from torch {written.difference:.1g}")
    return 0
