#include "reader.h"

#include <algorithm>

namespace weft::core::http1 {
namespace {

// What is copied of the input at a time while a head is put together: behind its end there may be much that is not its.
constexpr size_t kStep = 1024;

}  // namespace

Reader::Reader(Kind kind, const Limits& limits, Head& shared)
    : state_(State::kHead), kind_(kind), limits_(limits), shared_(shared), head_(&shared) {}

Event Reader::Read(std::string_view& input) {
  if (partial_ != nullptr && !collecting_) ReleasePartial();
  switch (state_) {
    case State::kHead:
    case State::kTrailers:
      return ReadHead(input);
    case State::kLength:
    case State::kUntilClose:
      return ReadPiece(input);
    case State::kChunked:
      return ReadChunk(input);
    case State::kEnd:
      return End();
    case State::kUnexpected:
      return input.empty() ? Event::kNeedMore : Fail(Error::kUnexpectedResponse);
    case State::kHeld:
      return Event::kHeld;
    case State::kAfterConnect:
      return input.empty() ? Event::kNeedMore : Fail(Error::kBytesAfterConnect);
    case State::kTunnel:
      return Event::kTunnel;
    case State::kOver:
      input = {};
      return Event::kOver;
    case State::kFailed:
      break;
  }
  return Event::kError;
}

Event Reader::ReadEnd() {
  switch (state_) {
    case State::kHead:
      if (kind_ == Kind::kResponse || begun_) return Fail(Error::kTruncated);
      break;
    case State::kLength:
    case State::kChunked:
    case State::kTrailers:
      return Fail(Error::kTruncated);
    case State::kEnd:
    case State::kUntilClose:
      if (partial_ != nullptr) ReleasePartial();
      return End();
    case State::kHeld:
      return Event::kHeld;
    case State::kTunnel:
      return Event::kTunnel;
    case State::kFailed:
      return Event::kError;
    case State::kUnexpected:
    case State::kAfterConnect:
    case State::kOver:
      break;
  }
  state_ = State::kOver;
  return Event::kOver;
}

Event Reader::ReadHead(std::string_view& input) {
  const bool is_trailers = state_ == State::kTrailers;
  if (input.empty()) return Event::kNeedMore;
  Parsed parsed;
  if (collecting_) {
    parsed = Resume(input);
  } else {
    begun_ = true;
    shared_.Reset(is_trailers ? Kind::kTrailers : kind_);
    parsed = ParseHead(shared_, input, limits_);
    if (parsed.progress == Progress::kMore) {
      partial_ = std::make_unique<Partial>(Partial{shared_, std::string(input)});
      head_ = &partial_->head;
      collecting_ = true;
      input = {};
    } else if (parsed.progress == Progress::kDone) {
      input.remove_prefix(shared_.next_line);
    }
  }
  if (parsed.progress == Progress::kMore) return Event::kNeedMore;
  collecting_ = false;
  if (parsed.progress == Progress::kFailed) return Fail(parsed.error);
  return is_trailers ? End() : AcceptHead(*head_);
}

Parsed Reader::Resume(std::string_view& input) {
  std::string& text = partial_->text;
  while (!input.empty()) {
    const size_t before = text.size();
    const std::string_view step = input.substr(0, kStep);
    text.append(step);
    const Parsed parsed = ParseHead(partial_->head, text, limits_);
    if (parsed.progress == Progress::kFailed) return parsed;
    if (parsed.progress == Progress::kDone) {
      input.remove_prefix(partial_->head.next_line - before);
      return parsed;
    }
    input.remove_prefix(step.size());
  }
  return {Progress::kMore};
}

Event Reader::AcceptHead(Head& head) {
  if (const Error error = Accept(head); error != Error::kNone) return Fail(error);
  switch (head.body) {
    case Body::kNone:
      state_ = State::kEnd;
      break;
    case Body::kLength:
      left_ = head.content_length;
      state_ = State::kLength;
      break;
    case Body::kChunked:
      chunked_.Reset();
      state_ = State::kChunked;
      break;
    case Body::kUntilClose:
      state_ = State::kUntilClose;
      break;
    case Body::kTunnel:
      state_ = State::kTunnel;
      break;
  }
  return Event::kHead;
}

Event Reader::ReadPiece(std::string_view& input) {
  if (input.empty()) return Event::kNeedMore;
  body_ = input;
  if (state_ == State::kLength) {
    body_ = input.substr(0, std::min<uint64_t>(left_, input.size()));
    left_ -= body_.size();
    if (left_ == 0) state_ = State::kEnd;
  }
  input.remove_prefix(body_.size());
  return Event::kBody;
}

Event Reader::ReadChunk(std::string_view& input) {
  switch (chunked_.Read(input, limits_, body_)) {
    case ChunkedDecoder::Event::kNeedMore:
      return Event::kNeedMore;
    case ChunkedDecoder::Event::kData:
      return Event::kBody;
    case ChunkedDecoder::Event::kFailed:
      return Fail(chunked_.error());
    case ChunkedDecoder::Event::kLastChunk:
      break;
  }
  state_ = State::kTrailers;
  return ReadHead(input);
}

Event Reader::End() {
  if (state_ != State::kTrailers) shared_.Reset(Kind::kTrailers);
  begun_ = false;
  state_ = NextMessage();
  return Event::kEnd;
}

Event Reader::Fail(Error error) {
  error_ = error;
  state_ = State::kFailed;
  ReleasePartial();
  return Event::kError;
}

void Reader::ReleasePartial() {
  partial_.reset();
  collecting_ = false;
  head_ = &shared_;
}

Error RequestReader::Accept(Head& head) {
  persistent_ = head.persistent;
  connect_ = head.connect;
  upgrade_ = head.upgrade;
  return Error::kNone;
}

Reader::State RequestReader::NextMessage() {
  if (connect_ || upgrade_) return State::kHeld;
  return persistent_ ? State::kHead : State::kOver;
}

void RequestReader::Stay() {
  if (connect_) {
    state_ = State::kAfterConnect;
  } else {
    state_ = persistent_ ? State::kHead : State::kOver;
  }
}

void ResponseReader::Expect(Exchange exchange) {
  exchange_ = exchange;
  interim_responses_ = 0;
  state_ = State::kHead;
}

Error ResponseReader::Accept(Head& head) {
  const Error error = ApplyExchange(head, exchange_);
  interim_ = head.status < 200;
  persistent_ = head.persistent;
  if (error != Error::kNone || !interim_) return error;
  return ++interim_responses_ > limits().max_interim_responses ? Error::kTooManyInterimResponses : Error::kNone;
}

Reader::State ResponseReader::NextMessage() {
  if (interim_) return State::kHead;
  return persistent_ ? State::kUnexpected : State::kOver;
}

}  // namespace weft::core::http1
