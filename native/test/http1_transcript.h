// What a reader says of some bytes, as text: the same however they are split.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "../core/http1/reader.h"

namespace weft::test {

struct Transcript {
  std::string text;
  core::http1::Error error = core::http1::Error::kNone;
  size_t heads = 0;
};

// How many bytes come next, of so many that are left.
using Split = std::function<size_t(size_t left)>;

inline void Describe(std::string& out, const core::http1::Head& head) {
  using namespace core::http1;
  if (head.kind == Kind::kRequest) {
    out += "request ";
    out += head.method();
    out += " ";
    out += head.target();
    out += " for " + std::string(head.authority());
  } else {
    out += "response " + std::to_string(head.status) + std::string(head.reason());
  }
  const char* bodies[] = {"none", "length", "chunked", "until close", "tunnel"};
  out += std::string(head.http10 ? ", 1.0" : "") + ", body " + bodies[static_cast<int>(head.body)];
  if (head.body == Body::kLength) out += " " + std::to_string(head.content_length);
  if (head.persistent) out += ", persistent";
  if (head.upgrade) out += ", upgrade";
  if (head.expects_continue) out += ", expects continue";
  if (head.takes_trailers) out += ", takes trailers";
  out += "\n";
}

inline void DescribeFields(std::string& out, const char* what, const core::http1::Head& head) {
  for (const core::http1::Field& field : head.fields) {
    out += std::string(what) + " " + std::string(head.name(field)) + "=" + std::string(head.value(field)) + "\n";
  }
}

class Transcriber {
 public:
  // `after_head` may do with the head what a user does; `on_held` decides.
  using AfterHead = std::function<void(const core::http1::Head&)>;
  using OnHeld = std::function<void()>;

  Transcriber(core::http1::Reader& reader, AfterHead after_head, OnHeld on_held)
      : reader_(reader), after_head_(std::move(after_head)), on_held_(std::move(on_held)) {}

  Transcript Run(std::string_view bytes, const Split& split, bool ends) {
    while (!bytes.empty() && !stopped_) {
      const size_t size = split(bytes.size());
      // Of its own, so that a sanitizer sees whoever reads on, or what is kept.
      const auto piece = std::make_unique<char[]>(size);
      memcpy(piece.get(), bytes.data(), size);
      bytes.remove_prefix(size);
      Take({piece.get(), size});
    }
    if (ends && !stopped_) End();
    FlushBody();
    return std::move(transcript_);
  }

 private:
  void Take(std::string_view input) {
    using core::http1::Event;
    while (true) {
      const Event event = reader_.Read(input);
      if (event == Event::kNeedMore || event == Event::kOver) {
        if (event == Event::kOver) Once("over\n");
        if (!input.empty()) Once("bytes left\n");
        return;
      }
      if (event == Event::kTunnel) {
        Once("tunnel\n");
        transcript_.text += input;
        return;
      }
      if (!Note(event)) return;
    }
  }

  bool Note(core::http1::Event event) {
    using core::http1::Event;
    if (event == Event::kBody) {
      body_ += reader_.body();
      if (reader_.body().empty()) Once("empty body\n");
      return true;
    }
    FlushBody();
    if (event == Event::kHead) {
      transcript_.heads++;
      Describe(transcript_.text, reader_.head());
      DescribeFields(transcript_.text, "field", reader_.head());
      after_head_(reader_.head());
    } else if (event == Event::kEnd) {
      DescribeFields(transcript_.text, "trailer", reader_.trailers());
      transcript_.text += "end\n";
    } else if (event == Event::kHeld) {
      transcript_.text += "held\n";
      on_held_();
    } else {
      transcript_.error = reader_.error();
      transcript_.text += "error " + std::string(core::http1::Name(reader_.error())) + "\n";
      stopped_ = true;
    }
    return !stopped_;
  }

  void End() {
    using core::http1::Event;
    for (Event event = reader_.ReadEnd(); !stopped_; event = reader_.ReadEnd()) {
      if (event == Event::kOver || event == Event::kTunnel) {
        Once("closed\n");
        return;
      }
      Note(event);
    }
  }

  void FlushBody() {
    if (!body_.empty()) transcript_.text += "body " + body_ + "\n";
    body_.clear();
  }

  void Once(const std::string& line) {
    if (once_.find(line) != std::string::npos) return;
    once_ += line;
    FlushBody();
    transcript_.text += line;
  }

  core::http1::Reader& reader_;
  AfterHead after_head_;
  OnHeld on_held_;
  Transcript transcript_;
  std::string body_, once_;
  bool stopped_ = false;
};

inline Transcript ReadRequests(
    std::string_view bytes, const Split& split, const core::http1::Limits& limits = {}, bool grants = true,
    bool ends = true, const Transcriber::AfterHead& after_head = [](const auto&) {}) {
  core::http1::Head head;
  core::http1::RequestReader reader(limits, head);
  return Transcriber(reader, after_head, [&] { grants ? reader.Switch() : reader.Stay(); }).Run(bytes, split, ends);
}

inline Transcript ReadResponse(
    std::string_view bytes, const Split& split, core::http1::Exchange exchange = {},
    const core::http1::Limits& limits = {}, bool ends = true,
    const Transcriber::AfterHead& after_head = [](const auto&) {}) {
  core::http1::Head head;
  core::http1::ResponseReader reader(limits, head);
  reader.Expect(exchange);
  return Transcriber(reader, after_head, [] {}).Run(bytes, split, ends);
}

inline size_t Whole(size_t left) { return left; }

// Whole, in two pieces at every place, and byte by byte; throws if these differ.
template <typename Read>
Transcript ReadInAllSplits(std::string_view bytes, Read read) {
  const Transcript whole = read(Split(Whole));
  const auto compare = [&](const Transcript& parts) {
    if (parts.text != whole.text) throw std::runtime_error("split:\n" + parts.text + "whole:\n" + whole.text);
  };
  compare(read([](size_t) { return size_t{1}; }));
  // Of long ones only where lines meet.
  const bool is_long = bytes.size() > 2000;
  for (size_t at = 1; at < bytes.size(); at++) {
    if (is_long && bytes[at] != '\n' && bytes[at - 1] != '\n' && at % 997 != 0) continue;
    compare(read([at, size = bytes.size()](size_t left) { return left == size ? at : left; }));
  }
  return whole;
}

}  // namespace weft::test
