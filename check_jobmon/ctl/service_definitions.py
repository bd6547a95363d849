"""jobmonctl config services: writes the services that check_jobmon --submit --per-job has results for."""

import argparse
import os

from check_jobmon.config.config_file import Host
from check_jobmon.config.connection_options import SERVICE, option, path, service_name
from check_jobmon.config.export import write_data
from check_jobmon.config.hosts import place, targets_of
from check_jobmon.config.services import SERVERS, definition, no_host, service_of
from check_jobmon.connection import ExpectedError
from check_jobmon.ctl.arguments import print_error, refuse_beside_targets
from check_jobmon.ctl.connecting import CommandFailed, JobLog, connected
from check_jobmon.text import counted

HEAD = "# written by: jobmonctl config services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options other than those for the connection."""
    servers = parser.add_mutually_exclusive_group(required=True)
    for server, name in SERVERS.items():
        text = f"write definitions for {name}"
        servers.add_argument(f"--{server}", action="store_const", const=server, dest="server", help=text)
    targets = "all entries under 'hosts:' in these files, instead of one database"
    option(parser, "--targets FILE", targets, path, nargs="+", default=[])
    service = f"name of a target's own service, as check_jobmon has it (default: {SERVICE})"
    option(parser, "--service-name NAME", service, service_name, default=SERVICE)
    written = "file to write; an existing one is replaced if this command has written it (default: standard output)"
    option(parser, "-o --output FILE", written, path, default="-")


def write_services(arguments: argparse.Namespace) -> int:
    """Write them all; those of a target that can't be asked or named are left out, and the exit status is 1."""
    refuse_beside_targets(arguments, "host", "service", "config")
    if os.path.isfile(arguments.output):
        with open(arguments.output, "rb") as there:
            if there.read(len(HEAD)) != HEAD.encode():
                raise CommandFailed(
                    f"{arguments.output} is there, and this command has not written it: name another file"
                )
    hosts = [host for file in arguments.targets for host in targets_of(file)] or [Host(place(arguments), {})]
    services: set[tuple[str, str]] = set()
    status = 0
    for host in hosts:
        try:
            if reason := no_host(arguments.server, host.name):
                raise CommandFailed(reason)
            services |= {(host.name, service) for service in _services(host, arguments)}
        except ExpectedError as error:
            print_error(arguments, f"{host.name} is left out: {error}" if arguments.targets else str(error))
            status = 1
    if services:
        texts = [definition(arguments.server, *service) for service in sorted(services)]
        head = f"{HEAD} --{arguments.server} ({counted(len(texts), 'service')})\n"
        write_data(arguments.output, "\n".join([head, *texts]).encode())
    return status


def _services(host: Host, arguments: argparse.Namespace) -> list[str]:
    """The names of the target's own service and of those of its jobs: of all that the plugin judges with --per-job."""
    named = argparse.Namespace(**{**vars(arguments), "host": host.name}) if arguments.targets else arguments
    with connected(named, (host,) if arguments.targets else ()) as (session, schema):
        jobs = session.ask(JobLog(session, schema, arguments.command).judging()).jobs
    return [arguments.service_name, *(service_of(arguments.service_name, job.name) for job in jobs)]
