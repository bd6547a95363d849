"""Runs a program that may open few files: `python -m tests.plugin.faults.few_files FILES MODULE ARGUMENTS`."""

import resource
import runpy
import sys

if __name__ == "__main__":
    files, *sys.argv = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
