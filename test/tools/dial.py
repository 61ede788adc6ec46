"""Dials in one of the ways that apps do and prints what both ends see, as JSON.

Usage: dial.py KIND ADDRESS PORT; KIND is plain, nonblocking, bind, fastopen, mptcp, udp, or one of the attempts to get around the agent:
device (SO_BINDTODEVICE before connect), device-late (after a non-blocking connect), mark-zero and mark-zero-late (SO_MARK cleared).
"""

import json
import select
import socket
import sys

SO_BINDTODEVICE, SO_MARK, MSG_FASTOPEN, IPPROTO_MPTCP = 25, 36, 0x20000000, 262
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
destination = (address, port)


def finish_connect(sock):
    _, writable, _ = select.select([], [sock], [], 4)
    if not writable:
        raise TimeoutError("connect did not finish")
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, "connect")
    sock.settimeout(4)


def dial():
    protocol = IPPROTO_MPTCP if kind == "mptcp" else 0
    sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM, protocol)
    sock.settimeout(4)
    if kind == "bind":
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect(destination)
            own = route.getsockname()[0]
        sock.bind((own, 45678))
    if kind == "device":
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0\0")
    if kind == "mark-zero":
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, 0)
    if kind == "fastopen":
        sock.settimeout(None)  # a socket with a timeout is non-blocking, and without a cookie that is EINPROGRESS
        sock.sendto(b"hello", MSG_FASTOPEN, destination)
        sock.settimeout(4)
    elif kind in ("nonblocking", "device-late", "mark-zero-late"):
        sock.setblocking(False)
        sock.connect_ex(destination)
        if kind == "device-late":
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"eth0\0")
        if kind == "mark-zero-late":
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, 0)
        finish_connect(sock)
    else:
        sock.connect(destination)
    if kind == "udp":
        sock.send(b"hello")
    return sock


try:
    sock = dial()
    print(json.dumps({"local": sock.getsockname()[:2], "peer": sock.getpeername()[:2], "server": json.loads(sock.recv(1000) or b"null")}))
except (OSError, TimeoutError) as error:
    print(json.dumps({"error": str(error)}))
    sys.exit(1)
