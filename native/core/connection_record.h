// How decisions see a connection: laid out as ConnectionRecordLayout in engine.d.ts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../../bpf/weft.h"

namespace weft::core {

enum class Action : uint32_t { kRefuse = 0, kRelayToApp = 1, kRelayOut = 2 };

enum class CloseReason : uint32_t {
  kFinished = 0,
  kResetByClient,
  kResetByUpstream,
  kConnectFailed,
  kConnectTimeout,
  kIdleTimeout,
  kRefused,
  kShutdown,
  kError,
};

// What is known when a connection is accepted, and stays.
struct Identity {
  uint32_t id;
  uint32_t pod;
  uint32_t family;
  uint32_t local_port;
  uint32_t remote_port;
  uint32_t reserved[3];
  struct address local_address;
  struct address remote_address;
};

// Written by OnConnection.
struct Decision {
  Action action;
  uint32_t connect_timeout_ms;
  uint32_t idle_timeout_ms;  // 0: none
  uint32_t destination_port;
  struct address destination_address;
};

// Read by OnClose.
struct Outcome {
  CloseReason reason;
  uint32_t error;
  double bytes_to_upstream;
  double bytes_to_client;
  double duration_ms;
};

struct ConnectionRecord {
  Identity identity;
  Decision decision;
  Outcome outcome;
};

static_assert(offsetof(Identity, local_port) == 12 && offsetof(Identity, remote_port) == 16);
static_assert(offsetof(Identity, local_address) == 32 && offsetof(Identity, remote_address) == 48);
static_assert(offsetof(ConnectionRecord, decision) == 64 && offsetof(Decision, connect_timeout_ms) == 4);
static_assert(offsetof(Decision, destination_port) == 12 && offsetof(Decision, destination_address) == 16);
static_assert(offsetof(ConnectionRecord, outcome) == 96 && offsetof(Outcome, bytes_to_upstream) == 8);
static_assert(sizeof(ConnectionRecord) == 128);

}  // namespace weft::core
