// Whoever decides on requests: TypeScript behind native/binding, or a test. Called inside EventLoop::Turn() (OnResponse
// also inside Engine::Close()); may call the engine's methods.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "request_record.h"

namespace weft::core::http {

class HttpDecisions {
 public:
  // Of requests that have come in one turn: once of each, before anything of it is sent on. The decisions are "reset"
  // until they are written.
  virtual void OnRequests(std::span<RequestRecord> records) = 0;
  // Something failed and no response has begun: the outcome tells what. The decision is "reset" until it is written;
  // kForward tries again, where nothing of the body has been sent.
  virtual void OnFailure(RequestRecord& record) = 0;
  // Once per request, at its very end.
  virtual void OnResponse(RequestRecord& record) = 0;

 protected:
  ~HttpDecisions() = default;
};

struct HeaderField {
  std::string name;
  std::string value;
};

// Of requests or of responses.
struct HeaderEdits {
  std::vector<std::string> remove;
  std::vector<HeaderField> set;  // in place of all fields of the name
  std::vector<HeaderField> add;
};

struct SyntheticResponse {
  uint32_t status = 500;
  std::vector<HeaderField> headers;  // "connection: close" among them closes the connection behind it
  std::string body;
  // What a gRPC request is answered with instead of status and body.
  uint32_t grpc_status = kNoGrpcStatus;
  std::string grpc_message;
};

}  // namespace weft::core::http
