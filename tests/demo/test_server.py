"""The servers that the demo and the tests start: what other users of the machine gain from them, which is nothing."""

import contextlib
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, value
from tests.servers import create
from tests.strangers import gains


def test_over_tcp_the_superuser_needs_a_password_that_one_file_of_mode_600_has(server: Server) -> None:
    database = Database(server, "postgres")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        database.connect(host="127.0.0.1", passfile="/nonexistent")
    with database.connect(host="127.0.0.1", passfile=str(server.passfile)) as session:
        assert value(session, "SELECT host(inet_client_addr())") == "127.0.0.1"
    password = server.passfile.read_text().strip().rpartition(":")[2]
    assert len(password) == 64
    files = [
        path for path in server.folder.iterdir() if path.is_file() and password in path.read_text(errors="replace")
    ]
    assert files == [server.passfile]
    assert (server.passfile.stat().st_mode & 0o777, server.passfile.owner()) == (0o600, server.folder.owner())
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            assert password not in command.read_text(errors="replace")
    assert password not in repr(server)


def test_a_server_that_lets_others_in_is_found(server: Server) -> None:
    """This is what looks at each server that any test starts."""
    careless = Server(server.binaries, {"fsync": "off"}, tcp=True)
    try:
        create(careless)
        (careless.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
        careless.folder.chmod(0o755)
        with pytest.raises(AssertionError):
            careless.start()
        assert gains(careless.folder) == [
            f"superuser at 127.0.0.1:{careless.port}",
            f"superuser at {careless.folder}:{careless.port}",
            f"files in {careless.folder}",
        ]
    finally:
        careless.remove()
