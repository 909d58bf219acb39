"""`streamseg check-config`: print the effective configuration, or every mistake in it."""

from __future__ import annotations

import argparse

from streamseg.cli.modes import open_mode
from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check-config` to the command line."""
    parser = subparsers.add_parser(
        "check-config",
        help="print the effective configuration, or every mistake in it",
        description="Print the complete configuration as YAML, with the defaults filled in; or one line per mistake.",
    )
    add_config_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Print the effective configuration; the ConfigError of an invalid one names every mistake."""
    import yaml

    config = config_from_arguments(args)
    open_mode(config.mode).prompt_matcher(mask_scale=config.publish.mask_scale)  # a mode may have limits of its own
    named = config.model_copy(update={"sources": config.named_sources()})
    print(yaml.safe_dump(named.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    return 0
