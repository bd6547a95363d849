"""`python -m check_jobmon.ctl` is jobmonctl."""

import sys

from check_jobmon.ctl import main

if __name__ == "__main__":
    sys.exit(main())
