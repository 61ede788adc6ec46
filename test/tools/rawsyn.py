"""Completes a TCP handshake and sends a byte by hand through raw IP sockets (CAP_NET_RAW). Usage: rawsyn.py SOURCE ADDRESS PORT

Prints {"answered": true} when a SYN-ACK came back, which means that the SYN went around the agent or that the agent answered it.
"""

import json
import select
import socket
import struct
import sys
import time

source, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
source_port = 40000 + int(time.time()) % 20000


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn():
    header = struct.pack("!HHIIBBHHH", source_port, port, 1000, 0, 5 << 4, 0x02, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(address) + struct.pack("!BBH", 0, 6, len(header))
    return header[:16] + struct.pack("!H", checksum(pseudo + header)) + header[18:]


sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
try:
    sock.setsockopt(socket.SOL_SOCKET, 25, b"eth0\0")
    sock.sendto(syn(), (address, 0))
    sent = True
except OSError as error:
    sent = False
answered = False
deadline = time.time() + 2
while time.time() < deadline and not answered:
    if not select.select([sock], [], [], 0.2)[0]:
        continue
    packet = sock.recv(2000)
    offset = (packet[0] & 15) * 4
    ports = struct.unpack("!HH", packet[offset : offset + 4])
    answered = ports == (port, source_port) and packet[offset + 13] & 0x12 == 0x12
print(json.dumps({"sent": sent, "answered": answered}))
