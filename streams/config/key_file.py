"""Reads a file that holds a secret key."""

import os
import shlex
import stat

from streams.config.errors import SettingsError
from streams.config.settings import setting_label

LEAST_BYTES, MOST_BYTES = 32, 4096
LEAST_DIFFERENT = 8  # bytes; 32 random bytes have fewer with a chance below 1e-30
_ROOT = 0


def read_key_file(setting: str, path: str) -> bytes:
    """The bytes of the key file that a setting names.

    A key file is a regular file that its owner alone may read. The group may read the file too where root owns the
    file, because Kubernetes mounts secrets so; libpq has the same rule for its keys
    (https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-CLIENTCERT). Raises SettingsError.
    """
    label = f"setting {setting_label(setting)} = {path!r}"
    how = f"make a key with: (umask 077; head -c {LEAST_BYTES} /dev/urandom > {shlex.quote(path)})"
    try:
        # Without O_NONBLOCK, the open of a pipe would wait until somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SettingsError(f"{label}: there is no such file; {how}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{label} cannot be read: {reason}") from None
    try:
        _check_file(os.fstat(descriptor), label)
        key = os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        size = f"more than {MOST_BYTES}" if len(key) > MOST_BYTES else str(len(key))
        raise SettingsError(f"{label} has {size} bytes: a key has {LEAST_BYTES} to {MOST_BYTES}; {how}")
    if len(set(key)) < LEAST_DIFFERENT:
        raise SettingsError(f"{label} has {len(set(key))} different bytes, so the key is not random; {how}")
    return key


def _check_file(status: os.stat_result, label: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"{label} is no regular file: name a file that holds the key")
    of_group = stat.S_IWGRP | stat.S_IXGRP if status.st_uid == _ROOT else stat.S_IRWXG
    if status.st_mode & (stat.S_IRWXO | of_group):
        mode = stat.filemode(status.st_mode)
        raise SettingsError(f"{label} has the mode {mode}, and other users may use the file: run chmod 600 on the file")
