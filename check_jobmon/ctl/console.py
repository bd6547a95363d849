"""The console script `jobmonctl`, from its first instruction: SIGINT ends it, as it ends any program, until main() sees to that.

Python itself would answer with a traceback, from the middle of an import.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself imports a dozen others

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

from check_jobmon.ctl import main as main
