"""The bundled schema. Nothing here but the names of bootstrap, imported when they are asked for: the plugin does without."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from check_jobmon.schema.errors import BootstrapError as BootstrapError
    from check_jobmon.schema.install import OLDEST_SERVER as OLDEST_SERVER
    from check_jobmon.schema.install import Report as Report
    from check_jobmon.schema.install import bootstrap as bootstrap


def __getattr__(name: str) -> object:
    if name in ("BootstrapError", "OLDEST_SERVER", "Report", "bootstrap"):
        from check_jobmon.schema import install

        return getattr(install, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
