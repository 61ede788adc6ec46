// recv(2) and send(2) for every reading and writing of a request. Those of libc are points at which a thread may be
// cancelled, which costs two atomic operations of each call where a process has threads, as Node has.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace weft::core {

inline ssize_t ReceiveFrom(int socket, void* to, size_t size) {
  return syscall(SYS_recvfrom, socket, to, size, 0, nullptr, nullptr);
}

inline ssize_t SendTo(int socket, const void* from, size_t size, int flags) {
  return syscall(SYS_sendto, socket, from, size, flags, nullptr, 0);
}

}  // namespace weft::core
