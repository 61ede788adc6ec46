"""Many clients that ask and do not read until they are told to by a line, then read to the end.

Usage: slow_readers.py ADDRESS PORT PATH CLIENTS FINISHING; of the clients so many read on, the others leave. Prints a line when all have begun to get answers, and at the end JSON.
"""

import json
import resource
import selectors
import socket
import sys

address, port, path, clients, finishing = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()
sockets = []
for _ in range(clients):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    client.settimeout(60)
    client.connect((address, port))
    client.sendall(request)
    sockets.append(client)
for client in sockets:
    client.recv(1, socket.MSG_PEEK)
print("waiting", flush=True)
sys.stdin.readline()

for client in sockets[finishing:]:
    client.close()
sockets = sockets[:finishing]
selector = selectors.DefaultSelector()
heads, got, errors = {}, {}, {}
for client in sockets:
    client.setblocking(False)
    heads[client], got[client] = b"", 0
    selector.register(client, selectors.EVENT_READ)
whole, open_clients = 0, len(sockets)
buffer = bytearray(1 << 20)
while open_clients > 0:
    ready = selector.select(60)
    if not ready:
        errors["timeout"] = open_clients
        break
    for key, _ in ready:
        client = key.fileobj
        try:
            count = client.recv_into(buffer)
        except OSError as error:
            count = 0
            errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
        if count == 0:
            selector.unregister(client)
            open_clients -= 1
            head, mark, _ = heads[client].partition(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if mark and length and got[client] - len(head) - 4 == int(length[0].split(b":")[1]):
                whole += 1
            client.close()
            continue
        if got[client] < 4096:
            heads[client] += bytes(buffer[: min(count, 4096)])
        got[client] += count
print(json.dumps({"whole": whole, "errors": errors}))
