"""Moving one content of a file and no other, also when this process sleeps between its look and its renaming.

A renaming takes whatever has the name at that moment, and replaces whatever has the new one. Here nothing is replaced,
and what was taken is looked at afterwards: another file than the expected one goes back to where it was.
"""

import ctypes
import errno
import filecmp
import os
from pathlib import Path

from model_store.directory.tree import lasting, tag_of

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def move_content(old: Path, new: Path, expected_etag: str | None) -> bool:
    """Rename ``old`` to ``new``; False when another file has come to be at ``new``, or ``old`` has another tag of a
    directory store than the expected one, if any.

    A ``new`` that holds the same bytes is what an earlier move left, and is replaced. Raises ``OSError``.
    """
    try:
        rename_to_free_name(old, new)
    except FileExistsError:
        if not filecmp.cmp(old, new, shallow=False):
            return False
        old.rename(new)
        return True
    if expected_etag is None or lasting(tag_of(os.lstat(new))) == lasting(expected_etag):
        return True
    rename_to_free_name(new, old)
    return False


def rename_to_free_name(old: Path, new: Path) -> None:
    """Rename; raises ``FileExistsError`` where something has the new name."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        if not rename(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_NOREPLACE):
            return
        code = ctypes.get_errno()
        if code not in _NOT_OFFERED:
            raise OSError(code, os.strerror(code), str(old), None, str(new))
    # Not this system's, or not this file system's: a moment stays between the look and the renaming.
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    old.rename(new)
