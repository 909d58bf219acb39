"""`streamseg check-config`: what a configuration comes to, or every mistake in it."""

from __future__ import annotations

import argparse

from streamseg.cli.run import add_config_arguments

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check-config` to the command line."""
    parser = subparsers.add_parser(
        "check-config",
        help="show what a configuration comes to, or every mistake in it",
        description="Prints the whole configuration as YAML, defaults filled in; or one line for each mistake.",
    )
    add_config_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Print the effective configuration; ConfigError names every mistake."""
    import yaml

    from streamseg.config import load_config

    config = load_config(args.config, sets=args.sets, sources=args.source)
    named = config.model_copy(update={"sources": config.named_sources()})
    print(yaml.safe_dump(named.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    return 0
