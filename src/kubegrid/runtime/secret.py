"""The grid's one secret: the clients' password, and what members prove to each other.

It comes from the manifest, a file or the environment, in the order of how deliberately it was given, and is kept in the
state folder, 0600, so that restarts need not ask again. Without one a grid listens on loopback only.
"""

import ipaddress
import os
from pathlib import Path

from kubegrid.base.errors import KubegridError, RefusedError, UsageError
from kubegrid.base.manifest import Manifest
from kubegrid.base.manifest_rules import SECRET_CHARS_MAX
from kubegrid.runtime.folder import Folder

ENVIRONMENT = "KUBEGRID_SECRET"
HOW_TO_SET = f"Set one with --secret-file FILE, the variable {ENVIRONMENT}, or auth.secretFile in the manifest's spec."


def given(manifest: Manifest, option_file: Path | None, manifest_folder: Path) -> str | None:
    """The secret that the user gave for this start, or None. Raises UsageError."""
    if option_file is not None:
        deliberate: str | None = read_file(option_file)
    elif manifest.secret is not None:
        deliberate = manifest.secret
    elif manifest.secret_file is not None:
        deliberate = read_file(manifest_folder / manifest.secret_file)
    else:
        deliberate = None
    if manifest.spec.auth_enabled is False:
        if deliberate is not None:
            raise UsageError("a secret is given, but spec.auth.enabled is false", "Take one of the two away.")
        return None
    return deliberate if deliberate is not None else from_environment()


def from_environment() -> str | None:
    text = os.environ.get(ENVIRONMENT)
    return _checked(text, f"${ENVIRONMENT}") if text else None


def read_file(path: Path) -> str:
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            text = file.read(4 * SECRET_CHARS_MAX)
    except OSError as error:
        raise UsageError(f"the secret cannot be read from {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the secret cannot be read from {path}: {error}") from error
    return _checked(text, str(path))


def _checked(text: str, source: str) -> str:
    """Without the white space around it, which no editor shows and every process here ignores."""
    text = text.strip()
    if not 0 < len(text) <= SECRET_CHARS_MAX or not text.isprintable():
        raise UsageError(f"the secret in {source} must be one printable line of 1 to {SECRET_CHARS_MAX} characters")
    return text


def stored(folder: Folder) -> str | None:
    try:
        return folder.secret.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KubegridError(f"{folder.secret} cannot be read: {error.strerror}") from error


def keep(folder: Folder, secret: str | None, running: bool) -> None:
    """Store what applies from now on. Raises RefusedError when running processes were started with another one."""
    if secret == stored(folder):
        return
    if running:
        raise RefusedError(
            "the running processes of this grid were started with another secret",
            "Take the grid down first, or leave the secret as it is.",
        )
    if secret is None:
        folder.secret.unlink(missing_ok=True)
    else:
        folder.write(folder.secret, secret.encode())


def check_bind(bind: str, secret: str | None) -> None:
    """Raises UsageError for an address that cannot be bound, or that needs a secret and has none."""
    if bind == "localhost":
        return
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        raise UsageError(f"--bind {bind} is not an IP address", "Use 127.0.0.1, or 0.0.0.0 for all networks.") from None
    if address.version != 4:
        raise UsageError(f"--bind {bind}: IPv6 is not supported yet")
    if not address.is_loopback and secret is None:
        raise UsageError(
            f"--bind {bind} would let anybody on the network read and write: that needs a secret", HOW_TO_SET
        )
