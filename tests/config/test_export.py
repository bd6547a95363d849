"""Files are written all or nothing, and nowhere else than the caller meant."""

import os
from pathlib import Path

import pytest

from check_jobmon.config.export import replace_file


def test_a_link_of_ones_own_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "jobs.yml"
    (tmp_path / "link").symlink_to(target)
    replace_file(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link of another user")
def test_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(victim)
    os.lchown(link, 65534, 65534)
    with pytest.raises(PermissionError, match="a symbolic link of another user"):
        replace_file(str(link), b"new")
    assert victim.read_bytes() == b"old"


def test_a_pipe_is_written_to_by_the_name_of_its_descriptor() -> None:
    reader, writer = os.pipe()
    replace_file(f"/dev/fd/{writer}", b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    os.close(writer)


def test_a_named_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device or address"):
        replace_file(str(pipe), b"new")
