"""`streamseg check-config`: print the effective configuration, or every mistake in it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from streamseg.cli.config_checks import find_notices, find_problems
from streamseg.cli.logs import print_note
from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments, network_sets, split_inputs
from streamseg.errors import ConfigError
from streamseg.redaction import redact_text

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["add_parser", "run"]

UNLIMITED_WIDTH = 1 << 20
"""Addresses are not wrapped, so that each is recognised as a whole."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check-config` to the command line."""
    parser = subparsers.add_parser(
        "check-config",
        help="print the effective configuration, or every mistake in it",
        description="Print the complete configuration as YAML, with the defaults filled in; or one line per mistake:"
        " invalid keys and values, missing files and weights, endpoints that other machines could reach. Cameras and"
        " streams are not tried. A file with `cameras` is checked as that of a fleet.",
    )
    add_config_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Print the effective configuration without secrets; the ConfigError of an invalid one names every mistake."""
    from streamseg.config import is_fleet_config, load_fleet_config, load_valid_part

    path, sources = split_inputs(args)
    if path is not None and is_fleet_config(path):
        if sources:
            raise ConfigError(
                f"{path} is the configuration of a fleet, whose cameras are in the file; got {sources[0]}"
            )
        fleet = load_fleet_config(path, sets=[*args.sets, *network_sets(args)])
        _print(fleet.model_copy(update={"cameras": fleet.named_cameras()}))
        return 0
    config, problems = load_valid_part(path, sets=[*args.sets, *network_sets(args)], sources=sources)
    if config is not None:
        problems = problems + find_problems(config)
    if problems:
        prefix = f"{path}: " if path is not None else ""
        raise ConfigError("\n".join(line if str(path) in line else prefix + line for line in problems))
    config = config_from_arguments(args)
    for notice in find_notices(config):
        print_note(f"note: {notice}", args)
    _print(config.model_copy(update={"sources": config.named_sources()}))
    return 0


def _print(config: BaseModel) -> None:
    """Print a configuration as YAML without secrets."""
    import yaml

    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=UNLIMITED_WIDTH)
    print(redact_text(text), end="")
