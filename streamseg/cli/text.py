"""`streamseg text`: show and export the encoders for text prompts."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamseg.text.pretrained import PretrainedEncoders

__all__ = ["add_parser", "export", "show"]


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    load: Callable[[str], PretrainedEncoders] | None = None,
) -> None:
    """Add `text` to the command line; `load` None for `text.pretrained.load_pretrained`."""
    parser = subparsers.add_parser(
        "text",
        help="show or export the encoders for text prompts",
        description="Show or export the image and text encoders for text prompts.",
    )
    parser.set_defaults(command=show)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    action = actions.add_parser("show", help="print name, licence and folder of the encoders (the default action)")
    action.set_defaults(command=show)
    action = actions.add_parser(
        "export",
        help="export the encoders of a model of transformers or open_clip",
        description="Export the encoders of a model of the CLIP family, such as openai/clip-vit-base-patch32. Needs"
        " transformers or open_clip_torch, and nothing of them afterwards.",
    )
    action.add_argument(
        "model",
        metavar="MODEL",
        help="name or local folder of a transformers model (e.g. openai/clip-vit-base-patch32,"
        " google/siglip2-base-patch16-224), or open_clip:NAME/PRETRAINED",
    )
    action.add_argument(
        "--out", type=Path, metavar="DIR", help="output folder; an existing one is replaced (default: the cache folder)"
    )
    action.add_argument("--half", action="store_true", help="compute in float16, for GPUs")
    action.add_argument(
        "--template", default="a photo of {}", help="sentence with {} for the text (default: %(default)s)"
    )
    action.add_argument("--licence", help="licence of the weights, as stated by the publisher")
    action.set_defaults(command=functools.partial(export, load=load))


def show(args: argparse.Namespace) -> int:
    """Print one line about the encoders in the cache folder.

    Raises:
        WeightsError: there are none, or their description is invalid; the message names the command that exports them.
    """
    from streamseg.text import encoders_folder
    from streamseg.text.description import EncodersDescription

    folder = encoders_folder()
    description = EncodersDescription.read(folder)
    print(f"{description.name}, licence {description.licence or 'unknown'}, in {folder}")
    return 0


def export(args: argparse.Namespace, *, load: Callable[[str], PretrainedEncoders] | None = None) -> int:
    """Export the encoders of one model, and print their folder, size and largest difference from torch.

    Raises:
        ConfigError: the model is of an unsupported type, or a library is not installed.
        WeightsError: the model cannot be loaded, or the graphs cannot be written.
    """
    import torch

    from streamseg.text import encoders_folder
    from streamseg.text.export import export_encoders
    from streamseg.text.pretrained import LICENCES, load_pretrained

    licence = LICENCES.get(args.model, "") if args.licence is None else args.licence
    encoders = (load_pretrained if load is None else load)(args.model)
    side = encoders.fields["image_size"]
    with torch.inference_mode():
        dim = encoders.image(torch.zeros(1, 3, side, side)).shape[1]
    written = export_encoders(
        encoders.image,
        encoders.text,
        encoders.tokenizer,
        args.out if args.out is not None else encoders_folder(),
        half=args.half,
        **encoders.fields,
        name=args.model,
        licence=licence,
        lowercase=True,
        embedding_dim=dim,
        template=args.template,
    )
    print(f"{written.folder}: {written.num_bytes / 1e6:.1f} MB, licence {licence or 'unknown'}")
    print(
        "largest difference of an embedding component between ONNX Runtime and torch:"
        f" images {written.image_difference:.1g}, texts {written.text_difference:.1g}"
    )
    return 0
