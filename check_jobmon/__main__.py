"""`python -m check_jobmon` is the plugin."""

import sys

from check_jobmon.cli import main

if __name__ == "__main__":
    sys.exit(main())
