"""`python -m check_jobmon` and the console script `check_jobmon`: the plugin in a process of its own."""

import gc
import os
from typing import NoReturn


def command() -> NoReturn:
    """Run the plugin. The process is too short for tidying up: no collecting of garbage, no taking apart at the end.

    There is nothing to flush or close then: main() has written all that it had to.
    """
    gc.disable()
    from check_jobmon.cli import main

    os._exit(main())


if __name__ == "__main__":
    command()
