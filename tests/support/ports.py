"""Ports for servers that a test starts.

They lie below the range from which the kernel takes the ports of outgoing connections and of
sockets that ask for any port: one of those would sooner or later be there first.
"""

import itertools
import os
import socket

LOWEST, COUNT = 20000, 10000
"""Ends where the NodePorts of a cluster begin."""
_next = itertools.count(os.getpid() * 997 % COUNT)  # far from where its neighbours begin


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on; this process gives it out only once.

    Raises:
        OSError: none is free.
    """
    for number in itertools.islice(_next, COUNT):
        port = LOWEST + number % COUNT
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {LOWEST} to {LOWEST + COUNT - 1} is free on {address}")
