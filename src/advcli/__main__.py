"""`python -m advcli`."""

import sys

from advcli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
