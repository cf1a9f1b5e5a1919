"""How does a file come to be there whole or not at all? Written beside its place, then renamed into it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Put content at a path, whole or not at all, also when the machine stops in the middle.

    Raises FileNotFoundError if the folder is missing, IsADirectoryError if the path is a folder.
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
        if place.exists():  # a file that is replaced keeps its permissions; a new one has what the user's umask leaves
            os.chmod(temporary, stat.S_IMODE(place.stat().st_mode))
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name itself must reach the disk too
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
