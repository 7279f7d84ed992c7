"""`--offline`: no connection leaves this machine, whatever library asks for it."""

import ipaddress
import os
import sys
from typing import Any

from t2ibench.core.errors import UserError

VARIABLE = "T2IBENCH_OFFLINE"  # the processes of a run have it from the one that starts them
OF_LIBRARIES = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_watched: list[bool] = []  # whether this process has the hook, which stays


def close() -> None:
    """Refuse every connection of this process, and of those that it starts with `apply`."""
    os.environ.update({VARIABLE: "1", **OF_LIBRARIES})
    apply()


def apply() -> None:
    """Refuse every connection if the process that started this one was told to."""
    if os.environ.get(VARIABLE) and not _watched:
        _watched.append(True)
        sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Raises UserError for a connection, and for the look-up of a name, that leads to another machine."""
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        return
    if not os.environ.get(VARIABLE):
        return
    address = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
    host = address[0] if isinstance(address, tuple) and address else address
    if event in ("socket.connect", "socket.sendto") and not isinstance(address, tuple):
        return  # a socket of this machine
    if not _is_here(host):
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        raise UserError(
            f"--offline: something asks for {name}: get the file first (`t2ibench fetch`), or name one here"
        )


def _is_here(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "localhost")
    try:
        return name in ("localhost", "") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
