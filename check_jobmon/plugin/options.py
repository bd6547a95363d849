"""The plugin's options other than those for the connection, and which of them can't be combined.

The single check imports this module too, so it imports nothing that only --targets needs.
"""

import argparse
from argparse import ArgumentTypeError

from check_jobmon import __version__
from check_jobmon.config.connection_options import SERVICE, filled, option, path, seconds, service_name, whole_number
from check_jobmon.judging.result import STATES

_ONLY_FOR_TARGETS = ("--submit", "--ca-cert", "--cert", "--key")
_ONLY_FOR_ONE = ("--host", "--service", "--config")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options for the check, for many databases and for the output."""
    check = parser.add_argument_group("check")
    repeated = {"action": "append", "default": []}
    some = "only this job, or the jobs that match this shell pattern; repeatable (default: all)"
    option(check, "-j --job NAME", some, filled, **repeated)
    others = "not this job, or the jobs that match this shell pattern; repeatable (default: none)"
    option(check, "-x --exclude NAME", others, filled, **repeated)
    failures = "failures in a row at which a job that is not in job_check_config alerts (default: 3)"
    option(check, "--failures N", failures, whole_number(1, 10**99, "a number of failures", "1 or more"), default=3)
    crashed = "state of a job whose open run has lost its backend: ok, warning or critical (default: warning)"
    option(check, "--crashed STATE", crashed, choices=STATES[:3], default="warning")
    option(check, "--no-silences", "judge as if no job were silenced (jobmonctl silence)")
    unreachable = "state if the server can't be reached, refuses the connection or doesn't answer: ok, warning,"
    unreachable += " critical or unknown (default: critical)"
    option(check, "--connection-error STATE", unreachable, choices=STATES, default="critical")
    limit = "limit for the whole check, whatever hangs (default: 10)"
    option(check, "-t --timeout SECONDS", limit, _timeout, default=10.0)

    many = parser.add_argument_group(
        "many databases",
        "All are checked at the same time, within -t. The options under 'check', and\n"
        "-p, -d, -U, --conninfo and --schema, apply to each.",
    )
    targets = "check every entry under 'hosts:' in this configuration file; print a line for each; the"
    targets += " exit status is the worst"
    option(many, "--targets FILE", targets, path)
    formats = "text; json with all results, however large; or openmetrics with the figures of all jobs, for Prometheus;"
    formats += " also of one database (default: text)"
    option(many, "--output FORMAT", formats, choices=("text", "json", "openmetrics"))
    file = "with --output openmetrics: write to FILE, replaced as a whole (default: standard output)"
    option(many, "-o --output-file FILE", file, path)
    submit = "submit a passive result for each target to nagios:PATH (Nagios's command file or check result directory)"
    submit += " or icinga:URL (Icinga 2's API); the exit status then says whether all were accepted"
    option(many, "--submit WHERE", submit, _destination)
    per_job = "with --submit or --output json: also a result for each job that was ever logged or configured"
    option(many, "--per-job", per_job)
    service = f"name of the service that gets a target's result (default: {SERVICE}); --per-job appends the job's name;"
    service += " the host is the target's name in FILE"
    option(many, "--service-name NAME", service, service_name)
    option(many, "--ca-cert FILE", "CA to verify Icinga's certificate with (default: the system's CAs)", path)
    option(many, "--cert FILE", "client certificate for Icinga (default: user and password from ~/.netrc)", path)
    option(many, "--key FILE", "private key of --cert (default: it is in the file of --cert)", path)

    output = parser.add_argument_group("output")
    verbose = "print a table of all jobs, also those that are healthy and not configured; -vv: also the steps of each"
    verbose += " last run; -vvv: also the connection, the query and how long each took"
    verbose += " (default: a line for each problem)"
    output.add_argument("-v", "--verbose", action="count", default=0, help=verbose)
    perfdata = "performance data: all (of every job), problems (of jobs with a problem), summary (of all jobs together)"
    perfdata += " or none (default: all)"
    which = ("all", "problems", "summary", "none")
    option(output, "--perfdata WHICH", perfdata, choices=which, default="all")
    size = whole_number(200, 10**99, "a size", "a number of bytes, 200 or more")
    most = "most that is printed (default: 8192, which is as much as Nagios reads)"
    option(output, "--max-output BYTES", most, size, default=8192)
    version = f"check_jobmon {__version__}\n"
    output.add_argument("-V", "--version", action="version", version=version, help="print the version")


def refuse_contradictions(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error if options are given that can't be combined."""
    options = (*_ONLY_FOR_TARGETS, *_ONLY_FOR_ONE, "--output", "--output-file", "--per-job", "--service-name")
    given = [name for name in sorted(options) if getattr(arguments, name[2:].replace("-", "_"))]
    icinga = bool(arguments.submit) and arguments.submit.startswith("icinga:")
    passive = arguments.submit or arguments.output == "json"
    for allowed, restricted, reason in (
        (arguments.targets, _ONLY_FOR_TARGETS, "goes with --targets only"),
        (not arguments.targets, _ONLY_FOR_ONE, "is for one database, and --targets for many: give one of them"),
        (not arguments.submit, ("--output",), "and --submit are two places for the results: give one of them"),
        (passive, ("--per-job", "--service-name"), "goes with --submit or --output json only"),
        (arguments.output == "openmetrics", ("--output-file",), "goes with --output openmetrics only"),
        (icinga, ("--ca-cert", "--cert", "--key"), "goes with --submit icinga:URL only"),
        (arguments.cert, ("--key",), "goes with --cert only"),
    ):
        for name in given:
            if name in restricted and not allowed:
                parser.error(f"{name} {reason}")
    if arguments.output == "openmetrics":
        # also of a job that is judged only while it has a problem: its series must not come and go
        arguments.per_job = True


_timeout = seconds(lambda number: 0 < number <= 86400, "more than 0 and at most 86400")


def _destination(text: str) -> str:
    kind, _, place = text.partition(":")
    if kind not in ("nagios", "icinga") or not place.strip() or "\0" in place:
        # never the text itself: it may hold a password
        raise ArgumentTypeError("it is neither nagios:PATH nor icinga:URL")
    if kind == "icinga":
        _verify_url(place)
    return text


def _verify_url(url: str) -> None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        bad = parts.scheme != "https" or not parts.hostname or parts.port == 0 or parts.query or parts.fragment
        secret = "@" in parts.netloc
    except ValueError:
        bad, secret = True, "@" in url
    if secret:
        raise ArgumentTypeError(
            "the URL has a user or password, which everybody on this machine can see: put them into ~/.netrc"
        )
    if bad:
        raise ArgumentTypeError("the URL is not like https://icinga.example.com:5665 (only https is supported)")
