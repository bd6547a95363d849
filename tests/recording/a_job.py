"""A program that runs a job until it is stopped: `python -m tests.recording.a_job CONNINFO`."""

import sys
import time

import check_jobmon

if __name__ == "__main__":
    with check_jobmon.job("etl", sys.argv[1]):
        print("ready", flush=True)
        for _ in range(6000):
            time.sleep(0.05)
