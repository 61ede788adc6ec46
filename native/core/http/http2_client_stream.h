// The client's side of an exchange that is a stream of HTTP/2. Ends with its exchange; what is still to be sent of the
// response then is its session's.
#pragma once

#include <memory>
#include <span>

#include "../backlog.h"
#include "../event_loop.h"
#include "../http2/server_session.h"
#include "client_side.h"

namespace weft::core::http {

class Exchange;
class Http2ServerConnection;
struct Shared;

class Http2ClientStream final : public Retired, private ClientSide {
 public:
  Http2ClientStream(Http2ServerConnection& connection, http2::Stream& stream);

  void Begin(const http2::Head& head);
  void BeginInvalid(http1::Error error);

  // Of its connection.
  void Received(std::span<const std::byte> bytes);
  void ReceivedTrailers(const http2::Head& trailers);
  void ReceivedEnd();
  void Sent(size_t bytes);
  // Nothing more is said on the stream.
  void Closed() { stream_ = nullptr; }
  void Gone(Ending ending, uint32_t detail);

 private:
  const Identity& client() const override;
  uint32_t http_context() const override;
  http1::Error WriteHead(const HeadView& response, const http1::FieldEdits& edits, bool unread) override;
  void WriteBody(std::string_view bytes) override;
  void WriteEnd(const HeadView& trailers) override;
  void WriteSynthetic(const ResponseDefinition& response, bool unread) override;
  bool WriteGrpcFailure(uint32_t grpc_status, std::string_view message) override;
  void Flush() override {}
  bool blocked() const override;
  void Switch() override { Continue(); }
  void Continue() override;
  void ResumeRequest() override {}
  void RequestTaken(size_t bytes) override;
  void Completed(bool unread) override;
  void Aborted(Ending ending, uint32_t detail) override;

  // What has come of the request can be given.
  bool Gives() const;
  void Give(std::string_view bytes);
  void Free();

  Http2ServerConnection& connection_;
  Shared& shared_;
  http2::Stream* stream_;  // null: it is gone
  Exchange* exchange_ = nullptr;
  Backlog kept_;  // of the request's body, as long as the upstream side is not ready
  std::unique_ptr<http2::Head> trailers_;
  size_t owed_ = 0;  // given, and not told to be taken
  bool ended_ = false;
  bool end_given_ = false;
};

}  // namespace weft::core::http
