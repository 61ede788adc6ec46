"""Sends what it reads and tells what came back and how it ended. Usage: raw_client.py ADDRESS PORT HOW < BYTES; prints JSON.

HOW: half-close (after the last byte, then wait for the end), leave (after half a second, by a reset), N (wait for N bytes and reset).
"""

import json
import socket
import struct
import sys
import time

address, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
wanted = int(how) if how.isdigit() else None
answer, end = b"", "timeout"
with socket.create_connection((address, port), timeout=15) as server:
    try:
        server.sendall(sys.stdin.buffer.read())
        if how == "half-close":
            server.shutdown(socket.SHUT_WR)
        if how == "leave":
            time.sleep(0.5)
            wanted = 0
        while wanted is None or len(answer) < wanted:
            part = server.recv(65536)
            if not part:
                end = "end"
                break
            answer += part
        else:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end = "reset"
    except OSError as error:
        end = type(error).__name__
print(json.dumps({"answer": answer.decode("latin-1"), "end": end}))
