"""Submits passive results to Icinga 2: through its API's process-check-result, by HTTPS with verified certificates.

Source: the manual of Icinga 2, "Icinga 2 API": "Authentication", "process-check-result".
"""

import argparse
import base64
import json
import netrc
import os
import socket
import ssl
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from check_jobmon.config.services import HINT
from check_jobmon.plugin.targets.passive_results import PassiveResult, SubmissionImpossible, SubmissionMisconfigured
from check_jobmon.text import clean

if TYPE_CHECKING:
    import urllib3

CONNECTIONS = 4
"""Requests that are under way at the same time."""
ANSWER = 100_000
"""Bytes of an answer that are read; Icinga's have a few hundred."""
ACTION = "/v1/actions/process-check-result"


def submit(
    place: str,
    results: Sequence[PassiveResult],
    arguments: argparse.Namespace,
    deadline: float,
    on_submitted: Callable[[int, str], None],
) -> None:
    """Submit all results: see passive_results.py."""
    api = _Api(place, arguments, deadline)

    def post(number: int) -> None:
        try:
            on_submitted(number, api.post(results[number]))
        except SubmissionImpossible as error:
            on_submitted(number, str(error))

    if results:
        # the first alone: a mistake that concerns all of them is reported once
        on_submitted(0, api.post(results[0]))
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(post, range(1, len(results))))


class _Api:
    """Icinga's API, over connections that stay open."""

    def __init__(self, url: str, arguments: argparse.Namespace, deadline: float) -> None:
        try:
            import urllib3
        except ImportError:
            reason = "the package urllib3 is not installed: pip install 'check_jobmon[icinga]', or python3-urllib3"
            raise SubmissionMisconfigured(reason) from None
        self.http_error = urllib3.exceptions.HTTPError
        parts = urlsplit(url)
        self.path = parts.path.rstrip("/").removesuffix("/v1") + ACTION
        self.max_bytes, self.deadline = arguments.max_output, deadline
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if not arguments.cert:
            credentials = _credentials(parts.hostname or "")
            headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        self.pool = urllib3.HTTPSConnectionPool(
            parts.hostname or "",
            parts.port or 443,
            maxsize=CONNECTIONS,
            block=True,
            headers=headers,
            cert_reqs="CERT_REQUIRED",
            ssl_context=_tls(arguments),
        )
        self.place = f"{parts.hostname}:{parts.port or 443}"

    def post(self, result: PassiveResult) -> str:
        """Post one result. Returns why Icinga refused it, empty if it took it. Raises SubmissionImpossible."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise SubmissionImpossible("no time was left: see what Icinga is busy with, or give more with -t")
        try:
            answer = self.pool.urlopen(
                "POST",
                self.path,
                body=json.dumps(_fields(result, self.max_bytes)).encode(),
                timeout=left,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,  # a small compressed answer can become a huge one
            )
            code, said = _answered(_beginning(answer))
        except self.http_error as error:
            raise SubmissionImpossible(_broken(error, self.place)) from None
        if answer.status == code == 200:
            return ""
        if answer.status == 401:
            reason = f"Icinga lets nobody in with these credentials (401 {said})"
            raise SubmissionImpossible(f"{reason}: see the ApiUser there")
        if answer.status == 404:
            return f"Icinga has no such service, or this ApiUser may not submit (404 {said}): {HINT}"
        return f"Icinga refused it ({answer.status} {said}): see its log"


def _fields(result: PassiveResult, max_bytes: int) -> dict[str, Any]:
    first_line, _, long_output = result.text(max_bytes).partition("\n")
    text, _, perfdata = first_line.partition(" | ")
    return {
        "type": "Service",
        "service": result.name,
        "exit_status": result.result.state,
        "plugin_output": f"{text}\n{long_output}" if long_output else text,
        "performance_data": perfdata,
        "check_source": socket.gethostname(),
        "execution_start": result.began,
        "execution_end": result.ended,
    }


def _broken(error: BaseException, place: str) -> str:
    """Why the request failed, and what to do."""
    while deeper := _cause(error):
        error = deeper
    said = clean(getattr(error, "verify_message", "") or str(error), 300) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {place} can't be trusted: {said}: see --ca-cert, and the name in the URL"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {place}: {said}: see --cert and --key, and that this is Icinga's port"
    return f"{place} can't be reached: {said}: see that Icinga runs there, with its api feature"


def _cause(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)  # as urllib3's exceptions have it
    return reason if isinstance(reason, Exception) else error.__cause__ or error.__context__


def _beginning(answer: "urllib3.BaseHTTPResponse") -> bytes:
    """At most ANSWER bytes. The connection is closed if there are more, else kept."""
    try:
        return answer.read(ANSWER)
    finally:
        answer.close()
        answer.release_conn()


def _answered(data: bytes) -> tuple[float, str]:
    """The code and the text of Icinga's answer; code 0 if the answer isn't Icinga's."""
    try:
        answer = json.loads(data)
        found = answer["results"][0] if "results" in answer else answer
        return float(found["code" if "code" in found else "error"]), clean(str(found["status"]), 200)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return 0, "an answer that is not Icinga's"


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext:
    """Verifies certificate and name, by the system's CAs or --ca-cert; sends the certificate of --cert if there is one."""
    try:
        context = ssl.create_default_context(cafile=arguments.ca_cert)
    except OSError as error:
        raise SubmissionMisconfigured(f"--ca-cert {clean(arguments.ca_cert, 200)}: {_unusable(error)}") from None
    if arguments.cert:
        try:
            # an encrypted key would otherwise be asked for at a terminal
            context.load_cert_chain(arguments.cert, arguments.key, password=lambda: "")
        except OSError as error:
            files = " --key ".join(clean(name, 200) for name in (arguments.cert, arguments.key) if name)
            raise SubmissionMisconfigured(f"--cert {files}: {_unusable(error)}") from None
    return context


def _unusable(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not the certificate or the key that it should be, in PEM format and without a passphrase"
    return str(error.strerror)


def _credentials(host: str) -> str:
    """`user:password` for the host, from ~/.netrc or the file that NETRC names. No message quotes the file."""
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    shown = clean(path, 200)
    try:
        if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            raise SubmissionMisconfigured(f"{shown} can be read by others: chmod 600 it")
        found = netrc.netrc(path).authenticators(host)
    except OSError as error:
        reason = f"no --cert, and no user and password for Icinga: {shown}: {error.strerror}"
    except netrc.NetrcParseError as error:
        reason = f"{shown} has a mistake in line {error.lineno}"
    except UnicodeError:
        reason = f"{shown} is not text in UTF-8"
    else:
        if found:
            return f"{found[0]}:{found[2]}"
        reason = f'no --cert, and {shown} has no user and password for "{clean(host, 100)}"'
        reason += ': write "machine ... login ... password ..." there'
    raise SubmissionMisconfigured(reason)
