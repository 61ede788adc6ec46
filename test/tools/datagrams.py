"""datagrams.py answer PORT: sends every datagram back. datagrams.py ask ADDRESS PORT: one a millisecond until standard input ends, and then what
came of them, as JSON."""

import json
import select
import socket
import sys
import time

if sys.argv[1] == "answer":
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", int(sys.argv[2])))
    print("ready", flush=True)
    while True:
        datagram, peer = server.recvfrom(2048)
        server.sendto(datagram, peer)

client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setblocking(False)
client.connect((sys.argv[2], int(sys.argv[3])))
sent, answered, until = 0, set(), None
begun = time.monotonic()
while until is None or time.monotonic() < until:
    ready, _, _ = select.select([client, *([] if until else [sys.stdin])], [], [], 0.0005)
    if client in ready:
        answered.add(int(client.recv(64)))
    if until is None and sys.stdin in ready:
        until = time.monotonic() + 1  # for what is on its way
    if until is None and sent < (time.monotonic() - begun) * 1000:
        client.send(str(sent).encode())
        sent += 1
print(json.dumps({"sent": sent, "lost": sent - len(answered)}))
