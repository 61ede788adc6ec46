"""Tells every client as whom accept() and getpeername() show it. Usage: whoami.py ADDRESS PORT [udp]; prints "listening"."""

import contextlib
import json
import socket
import sys
import threading

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET


def answer(connection, accepted):
    with connection, contextlib.suppress(OSError):  # a client that goes away is no news
        connection.sendall(json.dumps({"accept": accepted[:2], "getpeername": connection.getpeername()[:2]}).encode())
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        while connection.recv(1000):  # closing with bytes unread would reset the connection (RFC 9293, 3.6.1)
            pass


if sys.argv[3:] == ["udp"]:
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((address, port))
    print("listening", flush=True)
    while True:
        _, sender = server.recvfrom(100)
        server.sendto(json.dumps({"accept": sender[:2]}).encode(), sender)

server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((address, port))
server.listen(128)
print("listening", flush=True)
while True:
    threading.Thread(target=answer, args=server.accept(), daemon=True).start()
