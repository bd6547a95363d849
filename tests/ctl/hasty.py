"""jobmonctl, but for the time that it gives a command to end of SIGTERM: `python -m tests.ctl.hasty ARGUMENTS`."""

import sys

from check_jobmon.ctl import main
from check_jobmon.recording import child_process

if __name__ == "__main__":
    child_process.KILL_AFTER = 1
    sys.exit(main())
