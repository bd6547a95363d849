"""Deferred imports: postpones standard-library modules that psycopg imports and a check doesn't use.

Uses only Python's documented hooks: a finder in sys.meta_path and a module's own __getattr__ (PEP 562). A deferred module is
the real one, whose code has not run yet; it runs as soon as the module is asked for a name that isn't known here. So the
worst that another version of Python or psycopg can do is to make a check as slow as it would be without this.
tests/benchmarks/process.py measures what it saves.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

DEFERRED: Mapping[str, Mapping[str, str]] = {
    # the submodules that psycopg needs do without SSL, streams, subprocesses and the event loops
    "asyncio": {
        **dict.fromkeys(("AbstractEventLoop", "get_event_loop", "get_running_loop"), "asyncio.events"),
        **dict.fromkeys(("CancelledError", "TimeoutError"), "asyncio.exceptions"),
        **dict.fromkeys(("Event", "Lock"), "asyncio.locks"),
        **dict.fromkeys(("Task", "create_task", "gather", "shield", "sleep", "wait_for"), "asyncio.tasks"),
        "Future": "asyncio.futures",
        "Queue": "asyncio.queues",
        "to_thread": "asyncio.threads",
    },
    # psycopg asks for its own version only, for which an e-mail parser would be loaded
    "importlib.metadata": {"version": __name__},
    **{
        name: {}
        for name in (
            *("copy", "ctypes", "ctypes.util", "fnmatch", "inspect", "linecache", "locale", "queue", "shutil"),
            *("ssl", "subprocess", "tempfile", "textwrap", "token", "tokenize"),
        )
    },
}
"""The modules that are deferred, each with the names that it can give before its code has run, and where they are found."""


def version(distribution: str) -> str:
    """As importlib.metadata.version(), by the name of the folder that records what is installed (packaging.python.org)."""
    start = distribution.replace("-", "_").lower() + "-"
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or "."):
                if name.endswith(".dist-info") and name.lower().startswith(start):
                    return name[len(start) : -len(".dist-info")]
    metadata = sys.modules["importlib.metadata"]
    _run(metadata)
    return str(metadata.version(distribution))


class _DeferredLoader:
    """A loader that postpones running a module's code (importlib.abc.Loader)."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = partial(_attribute, module)


def _attribute(module: ModuleType, name: str) -> object:
    """An attribute of a deferred module."""
    if where := DEFERRED[module.__name__].get(name):
        module.__dict__[name] = getattr(importlib.import_module(where), name)
        return module.__dict__[name]
    if name == "__path__":
        raise AttributeError(name)  # the import system asks whether it is a package
    folders = module.__dict__.get("__path__")
    if folders and PathFinder.find_spec(f"{module.__name__}.{name}", folders):
        return importlib.import_module(f"{module.__name__}.{name}")
    _run(module)
    return getattr(module, name)


def _run(module: ModuleType) -> None:
    """Run the postponed code."""
    if module.__dict__.pop("__getattr__", None):
        spec = module.__spec__
        assert spec is not None
        assert isinstance(spec.loader, _DeferredLoader)
        spec.loader = module.__loader__ = spec.loader.loader
        spec.loader.exec_module(module)


class _Finder:
    """Finds the modules to be deferred (importlib.abc.MetaPathFinder)."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in DEFERRED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _DeferredLoader(spec.loader))
        return spec


@contextmanager
def lazy_imports() -> Iterator[None]:
    """Imports made meanwhile are deferred for the modules in DEFERRED."""
    sys.meta_path.insert(0, _Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(_Finder)
