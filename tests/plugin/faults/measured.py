"""Runs one of the package's programs and measures its memory: `python -m tests.plugin.faults.measured FILE MODULE ARGUMENTS`."""

import os
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    file, *sys.argv = sys.argv[1:]
    # in a process of its own, because a process learns what its children have taken only when they have ended
    if program := os.fork():
        _, status, taken = os.wait4(program, 0)
        Path(file).write_text(str(taken.ru_maxrss))
        os._exit(os.waitstatus_to_exitcode(status))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
