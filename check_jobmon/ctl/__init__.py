"""jobmonctl. Here is only what the console script runs first; dispatch.py has the commands."""
# PYTHON_ARGCOMPLETE_OK

import _signal  # type: ignore[import-not-found]  # `signal` imports a dozen modules

TYPE_CHECKING = False  # as mypy knows it, without the import

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: "Sequence[str] | None" = None) -> int:
    """The console script `jobmonctl`.

    Until dispatch.main() decides otherwise, SIGINT ends the process as it ends any program. Python itself would answer with a
    traceback from the middle of an import.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from check_jobmon.ctl.dispatch import main as dispatch

    return dispatch(argv)
