"""As whom the embedded Postgres runs. It refuses to be root, so root lends it another account."""

import pwd
import subprocess
from pathlib import Path

from portal.lib.processes import Account, start

CANDIDATES = ("nobody", "daemon", "postgres")


def server_account(data: Path) -> Account | None:
    """The account that root changes to; None if there is no fit one.

    Data that is there already decides: only its owner can open it.
    """
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(name, entry.pw_uid, entry.pw_gid)
        if entry.pw_uid != 0 and succeeds(["/bin/sh", "-c", ":"], account):
            return account
    return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def can_enter(folder: Path, account: Account) -> bool:
    """Asked by trying: modes alone do not tell (access lists, mounts, name spaces)."""
    return succeeds(["/bin/sh", "-c", 'cd -- "$0"', folder], account)


def succeeds(command: list[str | Path], account: Account) -> bool:
    """Whether the account can run the command, and it ends well."""
    try:
        child = start(
            command,
            env={"PATH": "/usr/bin:/bin"},
            cwd=Path("/"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            account=account,
        )
    except OSError:
        return False
    return child.wait() == 0
