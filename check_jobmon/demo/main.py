"""jobmonctl demo: the whole thing on an embedded PostgreSQL, from bootstrap to alert."""

import argparse
import shlex
import subprocess
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Starts a PostgreSQL of its own in a temporary folder, installs the job log, logs\n"
        "jobs that succeed, fail, are missing, run, wait for a lock and crash, and runs\n"
        "check_jobmon on them. Touches nothing else."
    )
    parser.epilog = (
        "exit status:\n  0 check_jobmon reported the jobs as it should, 1 it did not, or no server\n"
        "  could be started (stderr says why), 2 wrong arguments\n\nexamples:\n  jobmonctl demo --keep"
    )
    text = "leave the server running, and print how to use and stop it"
    parser.add_argument("--keep", action="store_true", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 if the plugin said what such jobs deserve, which is CRITICAL."""
    import psycopg

    from check_jobmon.connection.errors import BootstrapError, CheckImpossible, DatabaseUnreachable
    from check_jobmon.connection.session import Session
    from check_jobmon.demo.example_jobs import jobs_in_every_state
    from check_jobmon.demo.server import EmbeddedServerError, Server, wheel_binaries
    from check_jobmon.schema.install import bootstrap

    try:
        server = Server()
    except EmbeddedServerError as error:
        print(f"jobmonctl demo: {error}", file=sys.stderr)
        return 1
    parameters: dict[str, Any] = {
        "host": str(server.folder),
        "port": str(server.port),
        "dbname": "postgres",
        "user": "postgres",
    }
    keep = False
    try:
        server.create()
        server.start()
        with Session(parameters).connect() as session:
            print(f"# PostgreSQL {session.info.parameter_status('server_version')} in {server.folder}")
            _show_command("jobmonctl bootstrap", parameters)
            print(bootstrap(session, "jobmon"))
        print("\n# jobs log their runs and steps: one succeeds, one fails, one is late, one hangs, ...", flush=True)
        with jobs_in_every_state(parameters):
            statuses = [_check(parameters), _check(parameters, "--verbose")]
        keep = bool(arguments.keep)
    except (EmbeddedServerError, BootstrapError, CheckImpossible, DatabaseUnreachable, psycopg.Error) as error:
        print(f"jobmonctl demo: {error}", file=sys.stderr)
        return 1
    finally:
        if not keep:
            server.remove()
    if keep:
        options = _options(parameters)
        print("\n# The server goes on. Look into it, check it, stop it:")
        # not the server's copy of psql, if it has one: its user can change that, and root may be the one who runs this
        print(f"{shlex.quote(str(wheel_binaries()))}/psql {options.replace('-H', '-h', 1)}")
        print(f"{shlex.quote(sys.executable)} -m check_jobmon {options}")
        print(server.stop_command())
    return 0 if statuses == [2, 2] else 1


def _options(parameters: dict[str, Any]) -> str:
    return " ".join(
        f"{option} {shlex.quote(parameters[name])}"
        for option, name in (("-H", "host"), ("-p", "port"), ("-d", "dbname"), ("-U", "user"))
    )


def _check(parameters: dict[str, Any], *more: str) -> int:
    """Show the plugin's command, run it as a monitoring server would, show its exit status."""
    _show_command("check_jobmon", parameters, *more)
    command = [sys.executable, "-m", "check_jobmon", *shlex.split(_options(parameters)), *more]
    status = subprocess.run(command, check=False).returncode
    print(f"# exit status {status}", flush=True)
    return status


def _show_command(program: str, parameters: dict[str, Any], *more: str) -> None:
    print(f"\n$ {program} {_options(parameters)}", *more, flush=True)
