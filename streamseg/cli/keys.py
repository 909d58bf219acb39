"""`streamseg keys`: create key pairs, with which publishers and subscribers recognise and encrypt each other."""

from __future__ import annotations

import argparse
from typing import Final

__all__ = ["add_parser", "run_new"]

DEFAULT_FOLDER: Final = "keys"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys` to the command line."""
    parser = subparsers.add_parser(
        "keys",
        help="create keys for encrypted endpoints",
        description="Create keys (CURVE) for endpoints that other machines can reach.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="create a key pair",
        description="Create a key pair: FOLDER/NAME.key, which is given to the other side, and FOLDER/NAME.key_secret,"
        " which stays on its machine. One pair for the publisher and one per client; existing files are kept.",
    )
    new.add_argument("name", metavar="NAME", help="base name of the two files, e.g. the name of the machine")
    new.add_argument("--folder", default=DEFAULT_FOLDER, help=f"created if missing (default: {DEFAULT_FOLDER})")
    new.set_defaults(command=run_new)


def run_new(args: argparse.Namespace) -> int:
    """Create a pair, and print the public key and the paths.

    Raises:
        PublishError: the name is invalid, a file exists, or the folder cannot be written.
    """
    from streamseg.publish.keys import create_key_files, load_public_key

    public_path, secret_path = create_key_files(args.folder, args.name)
    print(f"public key   {load_public_key(public_path).decode('ascii')}")
    print(f"public file  {public_path}    give it to the other side")
    print(f"secret file  {secret_path}    keep it on this machine")
    return 0
