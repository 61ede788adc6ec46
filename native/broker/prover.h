// Dials from inside a pod as an app would: in the pod's network namespace and outside the agent's cgroup, which takes a
// process of its own, as sockets belong to the cgroup of the process that makes them.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "descriptor.h"
#include "protocol.h"

namespace weft::broker {

struct Prover {
  pid_t process = -1;
  Descriptor result;  // a pipe; readable when a ProofResult is in or the process is gone
};

struct ProofResult {
  int32_t error;
  uint32_t source_port;
};

// `result.get() < 0` in the returned object: errno tells why no process could be made.
Prover StartProver(const Prove& request, int netns, int cgroup_processes);
ProofResult FinishProver(const Prover& prover);

}  // namespace weft::broker
