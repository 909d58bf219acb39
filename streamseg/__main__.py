"""`python -m streamseg`: the command line."""

import sys

from streamseg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
