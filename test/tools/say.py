"""Says something to a server that echoes and tells what came back. Usage: say.py ADDRESS PORT TEXT [SECONDS]; prints JSON.

TEXT may be "-": then the server speaks first, and what it says is the answer.
"""

import json
import socket
import sys
import time

address, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
patience = float(sys.argv[4]) if sys.argv[4:] else 10
begin = time.monotonic()
answer, error = b"", None
try:
    with socket.create_connection((address, port), timeout=patience) as server:
        if text == b"-":
            answer = server.recv(1000)
        else:
            server.sendall(text)
            while len(answer) < len(text) and (part := server.recv(1000)):
                answer += part
except OSError as problem:
    error = type(problem).__name__
print(json.dumps({"answer": answer.decode(), "error": error, "ms": round((time.monotonic() - begin) * 1000)}))
