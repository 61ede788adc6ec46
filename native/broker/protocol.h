// What the netns broker speaks on its SOCK_SEQPACKET socket: one datagram is one message, descriptors ride beside it
// (SCM_RIGHTS, unix(7)). Both ends are of one build, so structures are in host order; each begins with its type.
#pragma once

#include <cstdint>

#include "../../bpf/weft.h"

namespace weft::broker {

constexpr int kMaxDescriptors = 64;  // in one datagram; the kernel's limit SCM_MAX_FD is 253
constexpr int kMaxAvoidedPorts = 64;
constexpr uint16_t kFirstListenerPort = 61000;
constexpr uint16_t kLastListenerPort = 65535;

enum class Type : uint32_t {
  // From anyone, first message on a connection.
  kHello = 1,
  // From main.
  kSetListenerMap = 10,  // + the SOCKHASH's descriptor
  kAddPod = 11,          // + the network namespace's descriptor; answered by kPodAdded
  kRemovePod = 12,       // no answer; workers are told kListenerGone
  kProve = 13,           // dial from inside the pod's namespace, as an app would; answered by kProved
  kDrain = 14,  // no answer; passed on to every worker and to main; listeners are kept for a grace period, then closed
  // To main.
  kPodAdded = 20,
  kProved = 21,
  // To a worker.
  kListener = 30,      // + the listening socket's descriptor
  kListenerGone = 31,  // close it, keep its connections
  kSockets = 32,       // + count descriptors
  // From a worker.
  kSocketsWanted = 40,
};

enum class Role : uint32_t { kMain = 1, kWorker = 2 };

struct Hello {
  Type type;
  Role role;
  uint32_t slot;  // of a worker
};

struct SetListenerMap {
  Type type;
};

struct AddPod {
  Type type;
  uint32_t pod;
  uint32_t workers;
  uint32_t ipv6;  // 1: dual-stack listeners and IPv6 sockets
  struct address ipv4;
  struct address ipv6_address;
  uint32_t avoided_count;
  uint16_t avoided[kMaxAvoidedPorts];  // containerPorts, which an app may still bind
};

struct PodAdded {
  Type type;
  uint32_t pod;
  int32_t error;  // 0 or an errno; then nothing of the pod is left
  uint32_t port;  // of all its listeners
};

struct RemovePod {
  Type type;
  uint32_t pod;
};

// A child of the broker moves itself into the cgroup whose cgroup.procs descriptor comes with it (an app is not in the
// agent's cgroup either), enters the pod's namespace and dials.
struct Prove {
  Type type;
  uint32_t pod;
  uint32_t deadline_ms;
  uint32_t port;
  struct address destination;
};

struct Proved {
  Type type;
  uint32_t pod;
  int32_t error;         // 0: the handshake completed
  uint32_t source_port;  // by which the worker's report is recognised
};

struct Drain {
  Type type;
  uint32_t grace_ms;  // how long listeners still accept what was in their queues
};

struct Listener {
  Type type;
  uint32_t pod;
  uint32_t port;
  struct address ipv4;
  struct address ipv6_address;
};

struct ListenerGone {
  Type type;
  uint32_t pod;
};

struct SocketsWanted {
  Type type;
  uint32_t pod;
  uint32_t family;  // 4 or 6
  uint32_t count;   // at most kMaxDescriptors
};

struct Sockets {
  Type type;
  uint32_t pod;
  uint32_t family;
  uint32_t count;  // of descriptors that came along; 0: the pod is gone or the limit of descriptors is reached
  int32_t error;
};

}  // namespace weft::broker
