// HTTP/1.1 without sockets: bytes in, one event at a time out. One reader is one direction of one connection.
//
//   while (true) switch (reader.Read(input)) {
//     kHead    head() is complete. Interim responses (1xx) have a head and an end of their own.
//     kBody    body() is the next piece of the content, without its transfer coding; never empty.
//     kEnd     the message is complete; trailers() are those of a chunked body. For a request with `upgrade` or
//              `connect` kHeld follows until the caller knows the answer: Switch() or Stay().
//     kTunnel  what is left in the input, and all that comes, is no HTTP. Nothing is taken any more.
//     kOver    no further message: what still comes is taken and dropped.
//     kHeld, kNeedMore: wait. kNeedMore has taken the whole input.
//     kError   error() says why; nothing is taken any more. The connection must be closed after an answer with
//              Status(error()), or, for a response, 502. What was forwarded of the message must not be completed.
//   }
//
// Bytes are taken from the front of the input, exactly those of the event, so pipelined messages stay in the caller's
// buffer, and not calling Read() is backpressure. At the peer's FIN: ReadEnd(), once Read() has nothing more to say.
//
// Lifetimes. head() and body() are places in the caller's buffer, or in the reader's own if the head came in several
// pieces, and all readers that were given the same Head fill it: both are good until that buffer changes or any of
// these readers is called again. Who decides later must copy. An idle reader holds no memory beyond itself.
//
// A message is either understood in one way only or refused: see error.h, and head_parser.h, target.h, framing.h and
// chunked.h for what is accepted. Lines end with CRLF only. Events and errors are the same however the bytes are split.
// What is forwarded is written by writer.h.
#pragma once

#include <memory>
#include <string>

#include "chunked.h"
#include "framing.h"
#include "head_parser.h"

namespace weft::core::http1 {

enum class Event : uint8_t { kNeedMore, kHead, kBody, kEnd, kHeld, kTunnel, kOver, kError };

class Reader {
 public:
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Event Read(std::string_view& input);
  // The peer has closed its side.
  Event ReadEnd();

  const Head& head() const { return *head_; }
  const Head& trailers() const { return *head_; }
  std::string_view body() const { return body_; }
  Error error() const { return error_; }
  // Something of the next message has come.
  bool begun() const { return begun_; }

 protected:
  enum class State : uint8_t {
    kHead,
    kLength,
    kChunked,
    kTrailers,
    kUntilClose,
    kEnd,
    kUnexpected,  // no response is
    kHeld,
    kAfterConnect,  // which was refused
    kTunnel,
    kOver,
    kFailed,
  };

  // Both outlive the reader; the head may be shared by all readers of a thread.
  Reader(Kind kind, const Limits& limits, Head& shared);
  ~Reader() = default;

  State state_;

 private:
  // Of a head or a trailer section that came in pieces.
  struct Partial {
    Head head;
    std::string text;
  };

  virtual Error Accept(Head& head) = 0;
  virtual State NextMessage() = 0;

  Event ReadHead(std::string_view& input);
  Parsed Resume(std::string_view& input);
  Event AcceptHead(Head& head);
  Event ReadPiece(std::string_view& input);
  Event ReadChunk(std::string_view& input);
  Event End();
  Event Fail(Error error);
  void ReleasePartial();

  const Kind kind_;
  Error error_ = Error::kNone;
  bool begun_ = false;
  bool collecting_ = false;  // what is partial is not complete
  const Limits& limits_;
  Head& shared_;
  Head* head_;
  std::unique_ptr<Partial> partial_;
  uint64_t left_ = 0;  // of kLength
  ChunkedDecoder chunked_;
  std::string_view body_;

 protected:
  const Limits& limits() const { return limits_; }
};

class RequestReader final : public Reader {
 public:
  RequestReader(const Limits& limits, Head& shared) : Reader(Kind::kRequest, limits, shared) {}

  // Of kHeld: the upgrade or CONNECT was granted.
  void Switch() { state_ = State::kTunnel; }
  // It was not. What a client sends after a refused CONNECT cannot be told from what it wanted to tunnel: an error.
  void Stay();

 private:
  Error Accept(Head& head) override;
  State NextMessage() override;

  bool persistent_ = false;
  bool connect_ = false;
  bool upgrade_ = false;
};

class ResponseReader final : public Reader {
 public:
  ResponseReader(const Limits& limits, Head& shared) : Reader(Kind::kResponse, limits, shared) {
    state_ = State::kUnexpected;
  }

  // A request is being sent; one at a time. Bytes that come while none is under way are an error.
  void Expect(Exchange exchange);
  // No exchange is under way, and another may begin.
  bool ready() const { return state_ == State::kUnexpected && !begun(); }

 private:
  Error Accept(Head& head) override;
  State NextMessage() override;

  Exchange exchange_;
  bool persistent_ = false;
  bool interim_ = false;
  uint32_t interim_responses_ = 0;
};

}  // namespace weft::core::http1
