"""Holds a connection to an echo server and tells when and how it ends. Usage: wait_for_end.py busy|idle ADDRESS PORT SECONDS.

Prints "connected" when bytes have passed both ways, waits for a line on standard input, then for the end: {"after": seconds, "error": name}.
"""

import errno
import json
import socket
import sys
import time

mode, address, port, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
connection = socket.create_connection((address, port), 10)
connection.sendall(b"x")
connection.recv(1)
print("connected", flush=True)
sys.stdin.readline()
connection.settimeout(0.5)
begin = time.monotonic()
error = None
while error is None and time.monotonic() - begin < patience:
    try:
        if mode == "busy":
            connection.sendall(b"x")
        if connection.recv(1) == b"":
            error = "end"
    except TimeoutError:
        pass
    except OSError as problem:
        error = errno.errorcode.get(problem.errno, str(problem))
print(json.dumps({"after": time.monotonic() - begin, "error": error}))
