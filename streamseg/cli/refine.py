"""`streamseg refine`: train a mask refiner on top of trained weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamseg.cli.data_problems import add_strict_argument
from streamseg.errors import ConfigError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `refine` to the command line."""
    parser = subparsers.add_parser(
        "refine",
        help="train a refiner (sharp masks, calibrated scores) on top of trained weights",
        description="Run the network on composed images, and train a refiner to correct its masks and to predict the"
        " quality of each. The network's weights do not change; the refiner is stored beside them.",
    )
    parser.add_argument(
        "recipe", type=Path, help="YAML file whose sources are used, such as configs/train-default.yaml"
    )
    parser.add_argument("--weights", default="default", help="default, a name, or a weights file (default %(default)s)")
    parser.add_argument(
        "--earlier",
        nargs="+",
        default=[],
        metavar="WEIGHTS",
        help="earlier weights of the same training; they take turns in detecting objects, because they still make the"
        " mistakes that the final network makes only on unseen images",
    )
    parser.add_argument(
        "--continue",
        action="store_true",
        dest="continues",
        help="start from the refiner of --weights, not from random weights",
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".safetensors file for network and refiner"
    )
    parser.add_argument(
        "--images", type=int, default=3000, metavar="N", help="number of images to compose (default %(default)s)"
    )
    # The former name.
    parser.add_argument("--pictures", type=int, dest="images", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=float, default=6.0, help="passes over the objects (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="number of torch threads (default: torch's choice)")
    add_strict_argument(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Collect samples, train the refiner, calibrate the scores, and write the weights."""
    import numpy as np
    import torch

    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.terminal import ProgressBar
    from streamseg.cli.training_data import open_training_data
    from streamseg.engines.engine import imgsz_of
    from streamseg.modeling.refiner import REFINER_PREFIX
    from streamseg.training.batches import draw_from
    from streamseg.training.optimizer import require_muon
    from streamseg.training.recipe import load_recipe
    from streamseg.training.refine import held_out_figures, train_refiner
    from streamseg.training.refiner_examples import RefineSettings, collect_examples
    from streamseg.weights import load_weights, save_weights

    for name, least in (("images", 10), ("epochs", 0.0), ("seed", 0), ("threads", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} must be at least {least:g}, got {value:g}")
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"--out must be a .safetensors file, got {args.out}")
    require_muon("install a newer version")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    data = open_training_data(load_recipe(args.recipe), args.data, strict=args.strict)
    for name in (args.weights, *args.earlier):
        fetch_named(name)
    loaded, earlier = load_weights(args.weights), [load_weights(path) for path in args.earlier]
    network, earlier_networks = loaded.network(), [weights.network() for weights in earlier]
    for path, other in zip(args.earlier, earlier_networks, strict=True):
        if other.config != network.config:
            raise ConfigError(
                f"--earlier {path} has another network shape than {args.weights}; give weights of the same training"
            )
    start = loaded.refiner() if args.continues else None
    if args.continues and start is None:
        raise ConfigError(f"--continue needs a refiner, but {args.weights} has none; omit --continue")
    settings = RefineSettings(
        num_images=args.images, imgsz=imgsz_of(loaded.metadata), epochs=args.epochs, seed=args.seed
    )
    draw = draw_from(data.sources, np.asarray(data.weights) / sum(data.weights), data.on_skip)
    with ProgressBar("images", total=settings.num_images) as bar:
        examples, num_training = collect_examples(
            network, draw, settings, earlier=earlier_networks, on_image=lambda done, _: bar.update(done)
        )
    with ProgressBar("steps", total=settings.num_steps(num_training)) as bar:
        refiner = train_refiner(
            examples, num_training, settings, start=start, on_step=lambda step, *_: bar.update(step)
        )
    held_out = examples[torch.arange(num_training, len(examples))]
    tensors = {name: tensor for name, tensor in loaded.state_dict.items() if not name.startswith(REFINER_PREFIX)}
    tensors |= {REFINER_PREFIX + name: tensor for name, tensor in refiner.state_dict().items()}
    data.count_skipped()
    metadata = {**loaded.metadata, "refined_weights_sha256": loaded.sha256, "refined_with": args.recipe.name}
    if start is not None:
        metadata["refined_from_sha256"] = loaded.sha256
    if earlier:
        metadata["refined_earlier_sha256"] = " ".join(weights.sha256 for weights in earlier)
    save_weights(tensors, args.out, metadata=metadata)
    figures = held_out_figures(refiner, held_out)
    print(
        f"wrote {args.out}; on {len(held_out)} held-out objects the masks' mean IoU went from"
        f" {figures['iou_plain']:.3f} to {figures['iou_refined']:.3f}, Spearman of score and IoU from"
        f" {figures['spearman_raw']:.3f} to {figures['spearman_calibrated']:.3f}",
        file=sys.stdout,
    )
    return 0
