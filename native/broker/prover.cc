#include "prover.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace weft::broker {
namespace {

constexpr int kLingerMs = 300;  // the accepting side reports the connection while it is open

ProofResult Dial(const Prove& request) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<uint16_t>(request.port));
  memcpy(&address.sin6_addr, request.destination.bytes, sizeof address.sin6_addr);
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  ipv4.sin_port = address.sin6_port;
  memcpy(&ipv4.sin_addr, &request.destination.bytes[12], sizeof ipv4.sin_addr);
  const bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&address.sin6_addr);

  const int dialed = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (dialed < 0) return {errno, 0};
  const sockaddr* to = is_ipv4 ? reinterpret_cast<sockaddr*>(&ipv4) : reinterpret_cast<sockaddr*>(&address);
  if (connect(dialed, to, is_ipv4 ? sizeof ipv4 : sizeof address) != 0 && errno != EINPROGRESS) return {errno, 0};
  sockaddr_in6 own{};
  socklen_t size = sizeof own;
  getsockname(dialed, reinterpret_cast<sockaddr*>(&own), &size);
  const uint32_t source_port = ntohs(own.sin6_port);  // at the same place in sockaddr_in
  pollfd writable{dialed, POLLOUT, 0};
  if (poll(&writable, 1, static_cast<int>(request.deadline_ms)) == 0) return {ETIMEDOUT, source_port};
  int error = 0;
  size = sizeof error;
  getsockopt(dialed, SOL_SOCKET, SO_ERROR, &error, &size);
  // An agent that refuses the proof's connection after accepting it has proven itself just as well.
  return {error == ECONNRESET ? 0 : error, source_port};
}

// A copy of a socket that the broker or a worker closes meanwhile would keep its connection, or its peer, waiting.
void CloseAllBut(std::array<int, 3> kept) {
  std::ranges::sort(kept);
  unsigned next = STDERR_FILENO + 1;
  for (const int descriptor : kept) {
    const auto place = static_cast<unsigned>(descriptor);
    if (place > next) close_range(next, place - 1, 0);
    next = std::max(next, place + 1);
  }
  close_range(next, ~0U, 0);
}

[[noreturn]] void RunChild(const Prove& request, int netns, int cgroup_processes, int result) {
  CloseAllBut({netns, cgroup_processes, result});
  const uint32_t deadline_seconds = std::min<uint32_t>(request.deadline_ms, 60000) / 1000 + 2;
  alarm(deadline_seconds);
  ProofResult outcome{};
  if (write(cgroup_processes, "0", 1) != 1) {
    outcome.error = errno;
  } else if (setns(netns, CLONE_NEWNET) != 0) {
    outcome.error = errno;
  } else {
    outcome = Dial(request);
  }
  [[maybe_unused]] const ssize_t written = write(result, &outcome, sizeof outcome);
  close(result);
  poll(nullptr, 0, kLingerMs);
  _exit(0);
}

}  // namespace

Prover StartProver(const Prove& request, int netns, int cgroup_processes) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {};
  Prover prover{-1, Descriptor(ends[0])};
  Descriptor write_end(ends[1]);
  prover.process = fork();
  if (prover.process == 0) RunChild(request, netns, cgroup_processes, write_end.get());
  if (prover.process < 0) prover.result = Descriptor();
  return prover;
}

ProofResult FinishProver(const Prover& prover) {
  ProofResult result{};
  if (read(prover.result.get(), &result, sizeof result) == sizeof result) return result;
  return {ECHILD, 0};
}

}  // namespace weft::broker
