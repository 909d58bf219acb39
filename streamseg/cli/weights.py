"""`streamseg weights`: list and download official weights; convert, average and describe weights files."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli import weights_average
from streamseg.cli.named_weights import download_bar
from streamseg.cli.tiers import tier_lines
from streamseg.errors import WeightsError

if TYPE_CHECKING:
    from streamseg.weights.catalogue import OfficialWeights

__all__ = ["add_parser", "convert", "describe", "get", "show_list"]


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    catalogue: Sequence[OfficialWeights] | None = None,
) -> None:
    """Add `weights` to the command line; `catalogue` None for the built-in catalogue."""
    parser = subparsers.add_parser(
        "weights",
        help="list, download, convert, average and describe weights",
        description="List, download, convert, average and describe weights. Official FastSAM weights are downloaded on"
        " request and verified against a pinned hash. Their licence is contested; streamseg does not include them.",
    )
    parser.set_defaults(command=functools.partial(show_list, catalogue=catalogue))
    actions = parser.add_subparsers(title="actions", metavar="ACTION")

    action = actions.add_parser("list", help="list names, sizes, state and licences (the default action)")
    action.set_defaults(command=functools.partial(show_list, catalogue=catalogue))

    action = actions.add_parser("get", help="download official weights")
    action.add_argument("name", metavar="NAME", help="FastSAM-s or FastSAM-x")
    action.add_argument("--out", type=Path, metavar="DIR", help="target folder (default: the cache folder)")
    action.add_argument("--url", help="download from this mirror; the hash is verified as usual")
    action.add_argument(
        "--yes", action="store_true", help="do not ask for confirmation; replace another file of the same name"
    )
    action.set_defaults(command=functools.partial(get, catalogue=catalogue))

    action = actions.add_parser("convert", help="convert weights to .safetensors")
    action.add_argument("source", metavar="IN", help=".pt or .safetensors file, or a name")
    action.add_argument("out", type=Path, metavar="OUT.safetensors", help="output file; an existing file is replaced")
    action.add_argument("--half", action="store_true", help="convert to half precision (default: keep the precision)")
    action.set_defaults(command=functools.partial(convert, catalogue=catalogue))

    weights_average.add_parser(actions, catalogue)

    action = actions.add_parser("info", help="describe a weights file")
    action.add_argument("source", metavar="FILE", help=".pt, .safetensors, .onnx or .xml file, or a name")
    action.add_argument("--json", action="store_true", help="print JSON")
    action.set_defaults(command=functools.partial(describe, catalogue=catalogue))


def _catalogue(catalogue: Sequence[OfficialWeights] | None) -> Sequence[OfficialWeights]:
    from streamseg.weights.catalogue import CATALOGUE

    return CATALOGUE if catalogue is None else catalogue


def _entry(name: str, catalogue: Sequence[OfficialWeights]) -> OfficialWeights:
    from streamseg.weights.catalogue import find_official, suggest_names
    from streamseg.weights.embedded import EMBEDDED

    entry = find_official(name, catalogue)
    if entry is not None:
        return entry
    if name in EMBEDDED:
        raise WeightsError(f"the {name} weights are included in streamseg and need no download")
    near = [other for other in suggest_names(name, catalogue) if other not in EMBEDDED]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise WeightsError(
        f"no official weights are named {name!r}; available: {', '.join(entry.name for entry in catalogue)}{hint}"
    )


def show_list(args: argparse.Namespace, *, catalogue: Sequence[OfficialWeights] | None = None) -> int:
    """Print the table, then the licences."""
    from streamseg.weights.embedded import EMBEDDED
    from streamseg.weights.resolve import cached_weights_path

    rows = [_embedded_row(name) for name in EMBEDDED]
    for entry in _catalogue(catalogue):
        rows.append((entry.name, _megabytes(entry.files[0].num_bytes), _state(entry), str(cached_weights_path(entry))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in [("NAME", "SIZE", "STATE", "WHERE"), *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nlicence of {', '.join(EMBEDDED)}, trained by this project: Apache-2.0 (see the model card beside them)")
    for entry in _catalogue(catalogue):
        print(f"licence of {entry.name}: {entry.licence_text()}")
    print("streamseg does not include official weights; `streamseg weights get NAME` downloads them")
    print("\nmodels of the tiers (quality.model, follow.model, text.model):")
    for line in tier_lines():
        print(line)
    return 0


def _embedded_row(name: str) -> tuple[str, str, str, str]:
    from streamseg.weights.embedded import embedded_path

    try:
        path = embedded_path(name)
    except WeightsError as error:
        return name, "", "missing", str(error)
    return name, _megabytes(path.stat().st_size), "embedded", str(path)


def _state(entry: OfficialWeights) -> str:
    from streamseg.weights.catalogue import edition_at
    from streamseg.weights.download import part_path
    from streamseg.weights.resolve import cached_weights_path

    path = cached_weights_path(entry)
    if edition_at(path, entry.files) is not None:
        return "cached"
    if path.exists():
        return "damaged"
    parts = [part_path(file, path) for file in entry.files]
    received = max((part.stat().st_size for part in parts if part.is_file()), default=0)
    return f"{_megabytes(received)} downloaded" if received else "not downloaded"


def get(args: argparse.Namespace, *, catalogue: Sequence[OfficialWeights] | None = None) -> int:
    """Download official weights; exit code 1 if the user declines."""
    from streamseg.weights.catalogue import edition_at
    from streamseg.weights.download import download
    from streamseg.weights.resolve import cached_weights_path

    entry = _entry(args.name, _catalogue(catalogue))
    # A script that requests FastSAM.pt expects a file of that name.
    alias_name = next((alias for alias in entry.aliases if alias.lower() == args.name.lower() and "." in alias), None)
    target = cached_weights_path(entry) if args.out is None else args.out / (alias_name or entry.file_name)
    use = entry.name if args.out is None else target
    if edition_at(target, entry.files) is not None:
        print(f"{entry.name} is already at {target}; use it with --weights {use}")
        return 0
    if args.out is not None and target.exists() and not args.yes:
        raise WeightsError(f"{target} exists and is not {entry.name}; move it away, or replace it with --yes")
    print(f"licence of {entry.name}: {entry.licence_text()}")
    if not args.yes and sys.stdin.isatty() and not _confirmed(entry):
        print("nothing was downloaded")
        return 1
    files = entry.files if args.url is None else tuple(replace(file, urls=(args.url,)) for file in entry.files)
    with download_bar() as progress:
        download(files, target, progress=progress)
    print(f"{entry.name} is at {target}; use it with --weights {use}")
    return 0


def _confirmed(entry: OfficialWeights) -> bool:
    try:
        answer = input(f"download {entry.name} ({_megabytes(entry.files[0].num_bytes)})? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def convert(args: argparse.Namespace, *, catalogue: Sequence[OfficialWeights] | None = None) -> int:
    """Read weights and write them as .safetensors."""
    from streamseg.weights import load_weights
    from streamseg.weights.convert import convert_weights

    with download_bar() as progress:
        weights = load_weights(args.source, progress=progress, catalogue=_catalogue(catalogue))
    out = convert_weights(weights, args.out, half=args.half)
    before, after = weights.path.stat().st_size, out.stat().st_size
    print(
        f"{weights.path} ({_megabytes(before)}) -> {out} ({_megabytes(after)}), {len(weights.state_dict)} tensors"
        f"{', in half precision' if args.half else ', values unchanged'}"
    )
    return 0


def describe(args: argparse.Namespace, *, catalogue: Sequence[OfficialWeights] | None = None) -> int:
    """Print a description of a weights file; a name must have been downloaded before."""
    from streamseg.weights import load_weights
    from streamseg.weights.catalogue import edition_at, find_official
    from streamseg.weights.metadata import read_graph_metadata, read_weights_metadata
    from streamseg.weights.resolve import cached_weights_path

    path = Path(args.source)
    entry = find_official(args.source, _catalogue(catalogue))
    if entry is not None and not path.is_file() and edition_at(cached_weights_path(entry), entry.files) is None:
        raise WeightsError(f"{entry.name} is not downloaded; run `streamseg weights get {entry.name}`")
    if path.suffix == ".onnx" and path.is_file():
        fields = asdict(read_graph_metadata(path))
    elif path.suffix == ".xml":
        from streamseg.engines.openvino_model import describe_xml

        fields = asdict(describe_xml(path))
    else:
        weights = load_weights(args.source, catalogue=_catalogue(catalogue))
        fields = asdict(read_weights_metadata(weights, catalogue=_catalogue(catalogue)))
    if args.json:
        print(json.dumps(fields, indent=2))
    else:
        for line in _lines(fields):
            print(line)
    return 0


def _lines(fields: dict[str, Any]) -> list[str]:
    """Return one line per field; the entries of a mapping are indented below its name."""
    shown = dict(fields)
    shown["num_bytes"] = f"{fields['num_bytes']} ({_megabytes(fields['num_bytes'])})"
    if "official" in shown:
        shown["official"] = shown["official"] or "no known official file"
        shown["licence"] = shown["licence"] or "unknown"
    lines = []
    for name, value in shown.items():
        if isinstance(value, dict):
            lines.append(f"{name}:" if value else f"{name}: none")
            lines += [f"  {key}: {text}" for key, text in sorted(value.items())]
        else:
            text = "-".join(map(str, value)) if isinstance(value, tuple) else value
            lines.append(f"{name + ':':<17}{text}")
    return lines


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"
