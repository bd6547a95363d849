"""Runs jobmonctl with none of the package's modules loaded: `python -m tests.ctl.cold ARGUMENTS`, in a fork by tests/warm.py.

So a command that lacks a module, or loads two in an order that can't be, fails as it does in a process, for a third of its CPU.
"""

import runpy
import sys

if __name__ == "__main__":
    for name in [*sys.modules]:
        if name.partition(".")[0] == "check_jobmon":
            del sys.modules[name]
    runpy.run_module("check_jobmon.ctl", run_name="__main__", alter_sys=True)
