"""`python -m check_jobmon` and the console script `check_jobmon`: the plugin in a process of its own."""

import gc
import os
import sys
from typing import NoReturn


def command() -> NoReturn:
    """Run the plugin. The process is too short for tidying up: no collecting of garbage, no taking apart at the end.

    There is nothing to flush or close then: main() has written all that it had to. And no import looks into the folder of
    programs, which Python puts first for whatever lies beside a script.
    """
    gc.disable()
    if sys.executable and sys.path[:1] == [os.path.dirname(sys.executable)]:
        del sys.path[0]
    from check_jobmon.plugin.cli import main

    os._exit(main())


if __name__ == "__main__":
    command()
