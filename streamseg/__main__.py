"""Entry point of the process: the command `streamseg`, and `python -m streamseg`."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process, and return its exit code.

    Ctrl-C ends it with 130, also while modules are still loaded, which takes seconds on a busy machine.
    """
    try:
        from streamseg.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
