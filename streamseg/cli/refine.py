"""`streamseg refine`: train a refiner on top of finished weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamseg.errors import ConfigError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `refine`."""
    parser = subparsers.add_parser(
        "refine",
        help="train what makes masks sharp and scores honest, on top of finished weights",
        description="Runs the weights over composed pictures and learns to correct the masks that they give, and to"
        " tell how good each is. The weights themselves stay as they are; the refiner goes beside them.",
    )
    parser.add_argument("recipe", type=Path, help="YAML whose sources are used, such as configs/train-default.yaml")
    parser.add_argument("--weights", default="default", help="default, a name or a file of weights")
    parser.add_argument(
        "--earlier",
        nargs="+",
        default=[],
        metavar="WEIGHTS",
        help="the same network earlier in its training: they find objects in turns with it, with the faults that it"
        " has left on other pictures only",
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder that the recipe's paths are relative to")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .safetensors file: both together")
    parser.add_argument("--pictures", type=int, default=3000, metavar="N", help="how many to compose (%(default)s)")
    parser.add_argument("--epochs", type=float, default=6.0, help="how often each object is seen (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one, another refiner (%(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="torch threads (default: torch's choice)")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Collect, train, calibrate, write."""
    import numpy as np
    import torch

    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.progress import ProgressBar
    from streamseg.engines.engine import imgsz_of
    from streamseg.modeling.refiner import PREFIX
    from streamseg.training.batches import draw_from
    from streamseg.training.recipe import load_recipe
    from streamseg.training.refine import held_out_figures, train_refiner
    from streamseg.training.refine_samples import RefineSettings, collect
    from streamseg.weights import load_weights, save_weights

    for name, least in (("pictures", 10), ("epochs", 0.0), ("seed", 0), ("threads", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} must be at least {least:g}, got {value:g}")
    if args.out.suffix != ".safetensors":
        raise ConfigError(f"--out names a .safetensors file, got {args.out}")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    sources, weights = load_recipe(args.recipe).open_sources(args.data)
    for name in (args.weights, *args.earlier):
        fetch_named(name)
    loaded, earlier = load_weights(args.weights), [load_weights(path) for path in args.earlier]
    network, finders = loaded.network(), [weights.network() for weights in earlier]
    for path, finder in zip(args.earlier, finders, strict=True):
        if finder.config != network.config:
            raise ConfigError(
                f"--earlier {path} is a network of another shape than {args.weights}; give earlier weights of the same"
            )
    settings = RefineSettings(
        num_pictures=args.pictures, imgsz=imgsz_of(loaded.metadata), epochs=args.epochs, seed=args.seed
    )
    draw = draw_from(sources, np.asarray(weights) / sum(weights))
    bar = ProgressBar("pictures", total=settings.num_pictures)
    samples, num_training = collect(network, draw, settings, earlier=finders, on_image=lambda done, _: bar.update(done))
    bar.close()
    steps = ProgressBar("steps", total=settings.num_steps(num_training))
    refiner = train_refiner(samples, num_training, settings, on_step=lambda step, *_: steps.update(step))
    steps.close()
    held_out = samples[torch.arange(num_training, len(samples))]
    tensors = {name: tensor for name, tensor in loaded.state_dict.items() if not name.startswith(PREFIX)}
    tensors |= {PREFIX + name: tensor for name, tensor in refiner.state_dict().items()}
    metadata = {**loaded.metadata, "refined_weights_sha256": loaded.sha256, "refined_with": args.recipe.name}
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
