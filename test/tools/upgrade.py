"""Leaves HTTP for a protocol that echoes, and tells what came back. Usage: upgrade.py ADDRESS PORT TEXT; prints JSON."""

import json
import socket
import sys

address, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
request = f"GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
with socket.create_connection((address, port), timeout=10) as server:
    server.sendall(request.encode())
    head = b""
    while b"\r\n\r\n" not in head and (part := server.recv(1000)):
        head += part
    server.sendall(text)
    server.shutdown(socket.SHUT_WR)
    echo = b""
    while part := server.recv(1000):
        echo += part
print(json.dumps({"status": int(head.split()[1]), "echo": echo.decode()}))
