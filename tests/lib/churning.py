# SPDX-License-Identifier: BSD-2-Clause
"""A server that trusts its clients, and lib/churn.py, which needs that."""

import json
import os
import sys

from cluster import Server
from live import once, space

CHURN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "churn.py")


@once
def churn_server():
    """Trusts whoever comes over loopback: a password costs more than what a session does."""
    server = Server(space(), "churn", {"max_wal_senders": "80", "max_connections": "200",
                                       "superuser_reserved_connections": "3"}).create()
    path = os.path.join(server.data, "pg_hba.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write("host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n")
    server.start()
    server.pgbench_init(2)
    return server


def churn(server, workers, seconds, prefix, *options):
    """Starts clients that connect, run three commands and leave, over and over."""
    return server.space.start([sys.executable, "-B", CHURN, server.port, workers, seconds, prefix, *options],
                              name=prefix)


def read_churn(process):
    """What the clients did: a dict for each connection."""
    return [json.loads(line) for line in process.out.splitlines()]
