"""Speaks with an echo server without pause until standard input ends. Usage: chatter.py ADDRESS PORT; prints its own port, at last JSON."""

import json
import select
import socket
import sys
import time

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
print(connection.getsockname()[1], flush=True)
word = b"secret"
sent, received, deadline = 0, 0, None
try:
    while received < sent or deadline is None:
        now = time.monotonic()
        if deadline is None and select.select([sys.stdin], [], [], 0)[0]:
            deadline = now + 15
        if deadline is not None and now > deadline:
            break
        if deadline is None:
            sent += connection.send(word)
        if select.select([connection], [], [], 0.02)[0]:
            received += len(connection.recv(65536)) or exit(json.dumps({"error": "closed"}))
    print(json.dumps({"sent": sent, "received": received}))
except OSError as error:
    print(json.dumps({"error": str(error)}))
