// A client's connection that HTTP/1 is read from, one exchange at a time: requests that follow wait unread.
#pragma once

#include <memory>

#include "../connection.h"
#include "../http1/reader.h"
#include "byte_stream.h"
#include "client_side.h"
#include "shared.h"

namespace weft::core::http {

class Exchange;

class ServerConnection final : public Connection, private ClientSide, private ByteStreamEvents, private Timer {
 public:
  ServerConnection(Shared& shared, const Identity& identity, int64_t accepted_us, const Decision& decision,
                   std::unique_ptr<ByteStream> stream);

  void Begin();
  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

 private:
  const Identity& client() const override { return identity(); }
  uint32_t http_context() const override { return http_context_; }
  http1::Error WriteHead(const HeadView& response, const http1::FieldEdits& edits, bool unread) override;
  void WriteBody(std::string_view bytes) override;
  void WriteEnd(const HeadView& trailers) override;
  void WriteSynthetic(const ResponseDefinition& response, bool unread) override;
  bool WriteGrpcFailure(uint32_t, std::string_view) override { return false; }
  void Flush() override;
  bool blocked() const override { return stream_->blocked(); }
  void Switch() override;
  void Continue() override;
  void ResumeRequest() override { stream_->Resume(); }
  void RequestTaken(size_t /*bytes*/) override {}
  void Completed(bool unread) override;
  void Aborted(Ending ending, uint32_t detail) override;

  Exchange& BeginExchange();
  void ReadRequest(std::string_view& input);
  void NextRequest();
  // No more requests are read; what was written is sent.
  void Finish();
  void Close(CloseReason reason, int error);
  size_t Received(std::string_view bytes) override;
  void ReceivedEnd() override;
  void Drained() override;
  void Failed(int error) override;
  void Expired() override;
  int64_t DueUs() const;
  void ScheduleIdle();

  Shared& shared_;
  std::unique_ptr<ByteStream> stream_;
  http1::RequestReader reader_;
  Exchange* exchange_ = nullptr;
  uint64_t sent_seen_ = 0;
  int64_t used_us_;
  int64_t head_began_us_ = 0;  // of a head that is not complete yet
  int64_t closed_us_ = 0;
  const uint32_t http_context_;
  const uint32_t idle_timeout_ms_;
  uint32_t error_ = 0;
  CloseReason reason_ = CloseReason::kError;
  // Of the exchange.
  bool http10_ = false;
  bool persistent_ = false;
  bool sends_no_more_ = false;  // the client has said so, and its last request has been read
  bool chunked_ = false;
  bool interim_ = false;  // an interim response was passed on
  bool switched_ = false;
  bool closes_ = false;  // the connection ends with the response

  bool receiving_ = false;  // Received() goes on by itself
  bool ended_ = false;      // the client has finished
  bool lingering_ = false;
  bool closed_ = false;
};

}  // namespace weft::core::http
