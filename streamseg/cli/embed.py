"""`streamseg embed`: train the embedding by which masks are propagated, on top of trained weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.cli.data_problems import add_strict_argument
from streamseg.errors import ConfigError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `embed` to the command line."""
    parser = subparsers.add_parser(
        "embed",
        help="train the embedding by which followed masks are propagated, on top of trained weights",
        description="Compose pairs of video frames from labelled images, and train a branch of the network whose"
        " vectors match cells of the same object. Nothing else in the weights changes. Requires a NanoDet-seg network.",
    )
    parser.add_argument(
        "recipe", type=Path, help="YAML file whose sources are used, such as configs/train-nanodet.yaml, or a data set"
    )
    parser.add_argument("--weights", default="default", help="default, a name, or a weights file (default %(default)s)")
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".safetensors file to write")
    parser.add_argument(
        "--channels", type=int, default=48, metavar="N", help="channels of the embedding (default %(default)s)"
    )
    parser.add_argument(
        "--pairs", type=int, default=800, metavar="N", help="number of pairs to compose (default %(default)s)"
    )
    parser.add_argument("--epochs", type=float, default=4.0, help="passes over the pairs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="number of torch threads (default: torch's choice)")
    add_strict_argument(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Compose pairs, train the branch, and write the weights."""
    import numpy as np
    import torch

    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.terminal import ProgressBar
    from streamseg.cli.training_data import open_training_data
    from streamseg.modeling.refiner import REFINER_PREFIX
    from streamseg.training.batches import draw_from
    from streamseg.training.embedding import EmbeddingSettings, collect_pairs, num_steps, train_embedding
    from streamseg.training.recipe import load_recipe
    from streamseg.weights import load_weights, save_weights

    if args.out.suffix != ".safetensors":
        raise ConfigError(f"--out must be a .safetensors file, got {args.out}")
    if args.threads is not None:
        if args.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {args.threads}")
        torch.set_num_threads(args.threads)
    settings = EmbeddingSettings(channels=args.channels, num_pairs=args.pairs, num_epochs=args.epochs, seed=args.seed)
    fetch_named(args.weights)
    loaded = load_weights(args.weights)
    network = loaded.network()
    data = open_training_data(load_recipe(args.recipe), args.data, strict=args.strict)
    draw = draw_from(data.sources, np.asarray(data.weights) / sum(data.weights), data.on_skip)
    with ProgressBar("pairs", total=settings.num_pairs) as bar:
        pairs = collect_pairs(network, draw, settings, on_pair=bar.update)
    with ProgressBar("steps", total=num_steps(len(pairs), settings)) as bar:
        trained, accuracy = train_embedding(network, pairs, settings, on_step=lambda step, _: bar.update(step))
    data.count_skipped()
    tensors = dict(loaded.state_dict)
    precision = next(tensor.dtype for name, tensor in tensors.items() if name.startswith("backbone."))
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("embedding.")}
    tensors |= {
        name: tensor.to(precision) for name, tensor in trained.state_dict().items() if name.startswith("embedding.")
    }
    refiner = {name: tensors.pop(name) for name in list(tensors) if name.startswith(REFINER_PREFIX)}
    metadata = {**loaded.metadata, "embedded_weights_sha256": loaded.sha256, "embedded_with": args.recipe.name}
    save_weights(tensors | refiner, args.out, metadata=metadata)
    print(f"wrote {args.out}; on held-out pairs, a cell matches its own object with probability {accuracy:.3f}")
    return 0
