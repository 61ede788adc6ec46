// Where an exchange's request comes from, and its response goes: a connection of HTTP/1, or a stream of HTTP/2.
#pragma once

#include <cstddef>
#include <string_view>

#include "../connection_record.h"
#include "../http1/error.h"
#include "../http1/writer.h"
#include "definitions.h"
#include "head_view.h"
#include "request_record.h"

namespace weft::core::http {

class ClientSide {
 public:
  virtual const Identity& client() const = 0;
  virtual uint32_t http_context() const = 0;

  // The response, piece by piece. What is given stays where it is until it is flushed.
  // `unread`: the client may still owe its body when the response is complete.
  virtual http1::Error WriteHead(const HeadView& response, const http1::FieldEdits& edits, bool unread) = 0;
  virtual void WriteBody(std::string_view bytes) = 0;
  virtual void WriteEnd(const HeadView& trailers) = 0;
  virtual void WriteSynthetic(const ResponseDefinition& response, bool unread) = 0;
  // In place of the trailers of a gRPC response that cannot be completed. false: no such thing can be said.
  virtual bool WriteGrpcFailure(uint32_t grpc_status, std::string_view message) = 0;
  virtual void Flush() = 0;
  // It takes no more now; Exchange::ClientDrained() follows.
  virtual bool blocked() const = 0;
  // The response's head was the last of HTTP: from now on bodies are bytes, and their ends are told one by one.
  virtual void Switch() = 0;

  // The exchange takes (more of) the request now: the first also asks for what has come.
  virtual void Continue() = 0;
  virtual void ResumeRequest() = 0;
  // So many bytes of the request's body have gone on; or all.
  virtual void RequestTaken(size_t bytes) = 0;

  // The exchange is over, and nothing of it is called any more. `unread`: something of the request is to come.
  virtual void Completed(bool unread) = 0;
  virtual void Aborted(Ending ending, uint32_t detail) = 0;

 protected:
  ~ClientSide() = default;
};

}  // namespace weft::core::http
