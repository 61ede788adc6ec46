// Where an exchange's request goes, and its response comes from: a connection of HTTP/1, or a stream of HTTP/2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "head_view.h"
#include "prepared_request.h"

namespace weft::core::http {

class UpstreamSide {
 public:
  // The request, piece by piece. What is given stays where it is until it is flushed.
  virtual void WriteHead(const PreparedRequest& request) = 0;
  virtual void WriteBody(std::string_view bytes) = 0;
  virtual void WriteEnd(const HeadView& trailers) = 0;
  virtual void Flush() = 0;
  // It takes no more now; Exchange::UpstreamDrained() follows.
  virtual bool blocked() const = 0;

  virtual void ResumeResponse() = 0;
  // So many bytes of the response's body have gone on; or all.
  virtual void ResponseTaken(size_t bytes) = 0;

  // Nothing of the request has left, so that nobody can have acted on it; something of a response has come.
  virtual bool IsUnsent() const = 0;
  virtual bool IsAnswered() const = 0;

  // The exchange is done with it. `reusable`: both messages are complete.
  virtual void Release(bool reusable) = 0;
  // It is not. The code is for HTTP/2 (http2/error_code.h).
  virtual void Abandon(uint32_t code) = 0;

 protected:
  ~UpstreamSide() = default;
};

}  // namespace weft::core::http
