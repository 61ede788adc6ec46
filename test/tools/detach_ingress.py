"""detach_ingress.py DEVICE: takes every program from what the device receives, with CAP_NET_ADMIN alone, as a container that has it may."""
import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys

# <linux/bpf.h>, <asm/unistd.h> of x86-64 and of arm64
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_DETACH = 9
BPF_TCX_INGRESS = 46
BPF_F_BEFORE = 1 << 3

device = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
detached = 0
while True:
    # The first one, whoever it is of: no program is named.
    attributes = ctypes.create_string_buffer(struct.pack("=IIIIIIQ", socket.if_nametoindex(device), 0, BPF_TCX_INGRESS, BPF_F_BEFORE, 0, 0, 0))
    if libc.syscall(SYS_BPF, BPF_PROG_DETACH, attributes, 32) != 0:
        break
    detached += 1
error = ctypes.get_errno()
if error not in (errno.ENOENT, errno.EINVAL):  # none is left; a kernel without TCX
    sys.exit(f"BPF_PROG_DETACH: {os.strerror(error)}")
if subprocess.run(["tc", "qdisc", "del", "dev", device, "clsact"], stderr=subprocess.DEVNULL).returncode == 0:
    detached += 1
if detached == 0:
    sys.exit(f"{device} has no program")
