// The three things a captured pod's network namespace needs of rtnetlink(7): a rule, a route for marked packets, and
// the block of local addresses from which the agent dials the app.
#pragma once

#include "netns.h"

namespace weft::capture {

// All work in the calling thread's network namespace, are idempotent and throw std::system_error.
// `source` is the pod's own address: without it the kernel would take the destination's as the source of a looped
// packet.
void AddCaptureRoutes(const Address& source);
void RemoveCaptureRoutes(bool ipv4);
// Whether a captured packet would be turned round and the source block is local, whatever else the tables hold.
bool CaptureRoutesWork(bool ipv4);
void BringLoopbackUp();

}  // namespace weft::capture
