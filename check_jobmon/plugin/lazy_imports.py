"""Deferred imports: postpones standard-library modules that psycopg imports and a check doesn't use.

Uses only Python's documented hooks: a finder in sys.meta_path and a module's own __getattr__ (PEP 562). A deferred module is
the real one, whose code has not run yet; it runs as soon as the module is asked for a name that isn't known here. So the
worst that another version of Python or psycopg can do is to make a check as slow as it would be without this.
tests/benchmarks/process.py measures what it saves.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

ASYNCIO = {
    **dict.fromkeys(("AbstractEventLoop", "get_event_loop", "get_running_loop"), "events"),
    **dict.fromkeys(("CancelledError", "TimeoutError"), "exceptions"),
    **dict.fromkeys(("Event", "Lock"), "locks"),
    **dict.fromkeys(("Task", "create_task", "gather", "shield", "sleep", "wait_for"), "tasks"),
    "Future": "futures",
    "Queue": "queues",
    "to_thread": "threads",
}
"""The names that psycopg takes from asyncio while it is imported, and the submodule of asyncio that has each."""


def _from(module: str, name: str) -> Callable[[], object]:
    return lambda: getattr(importlib.import_module(module), name)


def _version(distribution: str) -> str:
    """As importlib.metadata.version(), by the name of the folder that records what is installed (packaging.python.org)."""
    start = distribution.replace("-", "_").lower() + "-"
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info") and name.lower().startswith(start):
                return name[len(start) : -len(".dist-info")]
    metadata = sys.modules["importlib.metadata"]
    _run(metadata)
    return str(metadata.version(distribution))


DEFERRED: Mapping[str, Mapping[str, Callable[[], object]]] = {
    # the submodules that psycopg needs do without SSL, streams, subprocesses and the event loops
    "asyncio": {name: _from(f"asyncio.{part}", name) for name, part in ASYNCIO.items()},
    # psycopg asks for its own version only, for which an e-mail parser would be loaded
    "importlib.metadata": {"version": lambda: _version},
    **{
        name: {}
        for name in (
            *("copy", "ctypes", "ctypes.util", "fnmatch", "inspect", "linecache", "locale", "queue", "shutil"),
            *("ssl", "subprocess", "tempfile", "textwrap", "token", "tokenize"),
        )
    },
}
"""The modules that are deferred, each with the names that it can give before its code has run."""


class _DeferredLoader:
    """A loader that postpones running a module's code (importlib.abc.Loader)."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        def __getattr__(name: str) -> object:  # noqa: N807
            return _attribute(module, name)

        module.__dict__["__getattr__"] = __getattr__


def _attribute(module: ModuleType, name: str) -> object:
    """An attribute of a deferred module."""
    known = DEFERRED[module.__name__].get(name)
    if known:
        module.__dict__[name] = known()
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
