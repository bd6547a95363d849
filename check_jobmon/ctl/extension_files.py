"""jobmonctl extension: writes the two files with which bootstrap --as-extension can create an extension named pg_jobmon."""

import argparse
import os
from pathlib import Path

from psycopg import errors

from check_jobmon.config.connection_options import option, path
from check_jobmon.ctl.arguments import add_session_arguments
from check_jobmon.ctl.connecting import CommandFailed, connected
from check_jobmon.schema.extension import COMMENT, FILES, OURS

SHARED = "SELECT setting || '/extension' FROM pg_config() WHERE name = 'SHAREDIR'"
AVAILABLE = "SELECT comment FROM pg_available_extensions WHERE name = 'pg_jobmon'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group(required=True)
    option(action, "--install", "write the files (on the server's machine, as a user who may write there)")
    text = "folder of the server's extensions, 'pg_config --sharedir' and /extension (default: asked of the server)"
    option(parser, "--directory DIR", text, path)
    add_session_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write the files where they are missing, and say where."""
    if arguments.directory:
        said = _write(arguments.directory)
    else:
        with connected(arguments) as (session, _):
            try:
                said = _write(session.rows(SHARED)[0][0])
            except errors.InsufficientPrivilege:
                raise CommandFailed(
                    f'role "{session.user}" may not see where the server has its extensions: GRANT '
                    "pg_read_all_settings TO that role, or give --directory"
                ) from None
            if session.rows(AVAILABLE) != [(COMMENT,)]:
                raise CommandFailed(f"{said}, but the server doesn't see them: run this on the server's machine")
    print(said)


def _write(directory: str) -> str:
    """Write the files, and return what was done. Raises CommandFailed if they can't be, or if pg_jobmon's own are there."""
    folder = Path(directory)
    if not folder.is_dir():
        raise CommandFailed(
            f"this machine has no folder {directory}: run this on the server's machine, or give --directory"
        )
    if folder.absolute().name != "extension":
        raise CommandFailed(
            f"a server looks for extensions in a folder named extension: give --directory {folder}/extension"
        )
    missing = dict(FILES)
    try:
        for file in folder.glob("pg_jobmon[.-]*"):
            content = file.read_text("utf-8", "replace") if file.is_file() else ""  # no FIFO, whose end never comes
            if OURS not in content:
                raise CommandFailed(f"{file} is pg_jobmon's own, and stays: uninstall pg_jobmon first")
            if content == missing.get(file.name):
                del missing[file.name]
        for name, text in missing.items():
            new = folder / f".pg_jobmon.{os.getpid()}"
            try:
                with open(new, "x") as stream:
                    os.fchmod(stream.fileno(), 0o644)
                    stream.write(text)
                new.rename(folder / name)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CommandFailed(
            f"{error.strerror}: {error.filename or directory}: run this as a user who may write there"
        ) from None
    did = "wrote " if missing else "nothing to do, there are "
    return f"{did}{' and '.join(missing or FILES)} in {directory}; next: jobmonctl bootstrap --as-extension"
