"""`python -m check_jobmon` and the console script `check_jobmon`: the plugin in a process of its own."""

import gc
import os
import sys
from typing import NoReturn


def command() -> NoReturn:
    """Run the plugin. To save time, garbage isn't collected, and the process ends without Python's own tidying up.

    There is nothing left to flush or close then: main() has written all output. The folder of programs is not searched for
    modules; Python puts a script's folder first in sys.path.
    """
    gc.disable()
    if sys.executable and sys.path[:1] == [os.path.dirname(sys.executable)]:
        del sys.path[0]
    from check_jobmon.plugin.cli import main

    os._exit(main())


if __name__ == "__main__":
    command()
