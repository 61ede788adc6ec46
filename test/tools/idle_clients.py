"""Many clients that ask once and keep their connections until a line comes, and then ask once more.

Usage: idle_clients.py ADDRESS PORT PATH CLIENTS; prints a line when all have their answers, and at the end JSON.
"""

import json
import resource
import socket
import sys

address, port, path, clients = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
sockets = []


def ask(client):
    """The status of the answer, which must come whole in one piece or two."""
    client.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = client.recv(4096)
        if not part:
            return 0
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(length[0].split(b":")[1]) - len(body)
    while left > 0:
        left -= len(client.recv(left))
    return int(head.split(b" ")[1])


for _ in range(clients):
    client = socket.socket()
    client.settimeout(60)
    client.connect((address, port))
    sockets.append(client)
    if ask(client) != 200:
        sys.exit("a request was not answered")
print("waiting", flush=True)
sys.stdin.readline()
print(json.dumps({"answered": sum(ask(client) == 200 for client in sockets)}))
