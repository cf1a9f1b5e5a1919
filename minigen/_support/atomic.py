"""How does a file come to be there whole or not at all? Written beside its place, then renamed into it."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

ROOM = 1 << 20  # bytes: as much as the figures of a lesson take


def make_writable_folder(folder: Path) -> None:
    """Make a folder if need be; raises OSError unless files of the usual size can be written into it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM))
        file.flush()


def why_not_writable(folder: Path) -> str | None:
    """Make a folder if need be; None, or the words that tell a person why nothing can be written into it."""
    try:
        make_writable_folder(folder)
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        return f"cannot write into {str(folder)!r}: {reason}; give another folder"
    return None


def write_whole(path: Path, content: bytes, dry_run: bool = False) -> None:
    """Put content at a path, whole or not at all, also when the machine stops in the middle.

    A dry run writes beside the place and takes that away again, so that it raises what a write would raise.

    Raises FileNotFoundError if the folder is missing, IsADirectoryError if the path is a folder, and OSError where
    nothing can be written; the file that was there is then still there.
    """
    place = Path(os.path.realpath(path))  # through a symbolic link to the file it stands for
    if not place.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to save {path.name} in; make it first")
    if place.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of a file to save")
    temporary = place.with_name(f".minigen-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if dry_run:
            temporary.unlink()
            return
        if place.exists():  # a file that is replaced keeps its permissions; a new one has what the user's umask leaves
            os.chmod(temporary, stat.S_IMODE(place.stat().st_mode))
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name itself must reach the disk too
        _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
