"""The options for many databases, and which of them make sense together. Imports nothing that only they need."""

import argparse
import re

from check_jobmon.config.connection_options import path

FORMATS = ("text", "json")
SERVICE = "JOBMON"
SERVICE_LENGTH = 200
"""Characters. With a job's name and the host's it has to fit into a command for Nagios, of which PIPE_BUF is the bound."""
_ONLY_FOR_TARGETS = ("--output", "--submit", "--per-job", "--service-name", "--ca-cert", "--cert", "--key")
_ONLY_FOR_ONE = ("--host", "--service", "--config")


def _submission(text: str) -> str:
    kind, _, place = text.partition(":")
    if kind not in ("nagios", "icinga") or not place.strip() or "\0" in place:
        # never the text itself: it may hold a password
        raise argparse.ArgumentTypeError("it is neither nagios:PATH nor icinga:URL")
    if kind == "icinga":
        _look_at_url(place)
    return text


def _look_at_url(url: str) -> None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        bad = parts.scheme != "https" or not parts.hostname or parts.port == 0 or parts.query or parts.fragment
        secret = "@" in parts.netloc
    except ValueError:
        bad, secret = True, "@" in url
    if secret:
        raise argparse.ArgumentTypeError(
            "the URL has a user or password, which everybody on this machine can see: put them into ~/.netrc"
        )
    if bad:
        raise argparse.ArgumentTypeError("the URL is not like https://icinga.example.com:5665 (and http is not spoken)")


def _service(text: str) -> str:
    if not re.fullmatch(r"[\w.:/+#@-]+( [\w.:/+#@-]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} can't be the name of a service everywhere: give letters and digits")
    if len(text) > SERVICE_LENGTH:
        raise argparse.ArgumentTypeError(
            f"a service's name has at most {SERVICE_LENGTH} characters, and this {len(text)}"
        )
    return text


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """--targets, and all that needs it."""
    group = parser.add_argument_group(
        "many databases",
        "All at once, within -t; options for the connection hold for each, options for\nthe check as well.",
    )
    group.add_argument(
        "--targets",
        type=path,
        metavar="FILE",
        help="check each of the hosts: of this configuration file; a line for each, the worst state of all",
    )
    group.add_argument(
        "--output",
        choices=FORMATS,
        metavar="FORMAT",
        help="text, or json: all that is known, never cut (default: text)",
    )
    group.add_argument(
        "--submit",
        type=_submission,
        metavar="WHERE",
        help="passive results, one for each target: nagios:PATH, of Nagios's command file or check result directory, "
        "or icinga:URL, of Icinga 2's API; then the state is whether all were taken",
    )
    group.add_argument(
        "--per-job",
        action="store_true",
        help="with --submit or --output json: also a result for each job that was ever logged or configured",
    )
    group.add_argument(
        "--service-name",
        type=_service,
        metavar="NAME",
        help="service of a target's own result; that of a job has the job's name after it "
        f"(default: {SERVICE}); the host is the target's name in FILE",
    )
    group.add_argument(
        "--ca-cert",
        type=path,
        metavar="FILE",
        help="CA by which Icinga's certificate is verified (default: the system's)",
    )
    group.add_argument(
        "--cert",
        type=path,
        metavar="FILE",
        help="client certificate for Icinga (default: user and password of ~/.netrc)",
    )
    group.add_argument("--key", type=path, metavar="FILE", help="its private key (default: in the same file)")


def refuse_nonsense(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error if options are given that make no sense together."""
    given = {
        option for option in (*_ONLY_FOR_TARGETS, *_ONLY_FOR_ONE) if getattr(arguments, option[2:].replace("-", "_"))
    }
    icinga = bool(arguments.submit) and arguments.submit.startswith("icinga:")
    passive = bool(arguments.submit) or arguments.output == "json"
    if not arguments.targets:
        for option in sorted(given.intersection(_ONLY_FOR_TARGETS)):
            parser.error(f"{option} goes with --targets only")
        return
    for option in sorted(given.intersection(_ONLY_FOR_ONE)):
        parser.error(f"{option} is for one database, and --targets for many: give one of them")
    if arguments.output and arguments.submit:
        parser.error("--output and --submit are two places for the results: give one of them")
    for option in sorted(given & {"--per-job", "--service-name"}):
        if not passive:
            parser.error(f"{option} goes with --submit or --output json only")
    for option in sorted(given & {"--ca-cert", "--cert", "--key"}):
        if not icinga:
            parser.error(f"{option} goes with --submit icinga:URL only")
    if arguments.key and not arguments.cert:
        parser.error("--key goes with --cert only")
