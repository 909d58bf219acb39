"""Options of the effects on images that people watch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, get_args

from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.drawing.effects import EffectStyle

__all__ = ["add_effect_arguments", "style_from_arguments"]


def add_effect_arguments(parser: argparse.ArgumentParser, summary: str) -> None:
    """Add `--effect` and `--effect-background`."""
    from streamseg.config.effect import EffectKind

    parser.add_argument("--effect", choices=get_args(EffectKind), help=f"{summary} (docs/effects.md)")
    parser.add_argument(
        "--effect-background",
        metavar="COLOUR|IMAGE",
        help="background of --effect cutout: #RRGGBB or the path of an image",
    )


def style_from_arguments(args: argparse.Namespace) -> EffectStyle | None:
    """Return the effect that the options describe; None if there is none.

    Raises:
        ConfigError: the background is no colour and no image, or there is no cutout that it could belong to.
    """
    from pydantic import ValidationError

    from streamseg.config.effect import EffectConfig
    from streamseg.drawing.effects import load_style

    if args.effect_background is not None and args.effect != "cutout":
        raise ConfigError("--effect-background belongs to --effect cutout; give both")
    try:
        return load_style(EffectConfig(kind=args.effect, background=args.effect_background))
    except ValidationError as error:
        raise ConfigError(f"--effect-background: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
