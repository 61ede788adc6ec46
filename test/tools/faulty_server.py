"""Answers as its paths say, mostly wrongly, and tells at /seen how each request before it ended.

Usage: faulty_server.py PORT; prints a line once it listens. Paths:
/short: half of what Content-Length says, then the end. /cut: a chunked body without its end. /reset: a body without a length, then
a reset. /once and whatever: of a connection the first is answered, instead of the others it ends. /close-later: a response, and the end of the connection 200 ms after it.
/slow: a response to its end over a minute, unless the client goes. /take: reads a body to its end. Others: a whole response.
"""

import json
import socket
import struct
import sys
import threading
import time

seen = []


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_head(stream):
    """Path and fields, or None when there is no more."""
    line = stream.readline()
    if not line:
        return None
    fields = {}
    while (field := stream.readline().strip()) != b"":
        name, _, value = field.partition(b":")
        fields[name.lower().decode()] = value.strip().decode()
    return line.split()[1].decode(), fields


def take(stream, length):
    """How many bytes came, and how it ended."""
    taken = 0
    try:
        while taken < length:
            part = stream.read1(min(65536, length - taken))
            if not part:
                return taken, "end"
            taken += len(part)
    except OSError as error:
        return taken, type(error).__name__
    return taken, "whole"


def stream_slowly(connection):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    try:
        connection.sendall(head)
        for _ in range(600):
            connection.sendall(b"4\r\ntick\r\n")
            time.sleep(0.1)
    except OSError as error:
        return type(error).__name__
    return "whole"


def answer(connection, path, fields, stream, asked):
    """False: the connection has ended."""
    if path == "/seen":
        body = json.dumps(seen).encode()
    elif path == "/short":
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
        return False
    elif path == "/cut":
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        return False
    elif path == "/reset":
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")
        time.sleep(0.2)
        reset(connection)
        return False
    elif path.startswith("/once"):
        seen.append([path, "whole"])
        take(stream, int(fields.get("content-length", 0)))
        if path in asked:
            return False
        asked.add(path)
        body = b"once"
    elif path == "/slow":
        seen.append([path, stream_slowly(connection)])
        return False
    elif path == "/take":
        taken, end = take(stream, int(fields["content-length"]))
        seen.append([path, end])
        body = str(taken).encode()
        if end != "whole":
            return False
    else:
        take(stream, int(fields.get("content-length", 0)))
        body = path.encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    if path == "/close-later":
        time.sleep(0.2)
        return False
    return True


def serve(connection):
    stream = connection.makefile("rb")
    asked = set()
    try:
        while (head := read_head(stream)) is not None:
            if not answer(connection, *head, stream, asked):
                break
    except OSError:
        pass
    stream.close()
    connection.close()


with socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1024) as listener:
    print("listening", flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
