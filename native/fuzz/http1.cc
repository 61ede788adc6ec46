// One input as what a client or a server sends. However it is split, it must mean the same; and what is forwarded of it
// must mean to the next one what it meant to us, to the byte, also when it ends in an error.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "../core/http1/writer.h"
#include "../test/http1_transcript.h"

namespace {

using namespace weft::core::http1;
using weft::test::Split;
using weft::test::Transcript;

void Require(bool condition) {
  if (!condition) abort();
}

struct Options {
  explicit Options(uint32_t bits)
      : response((bits & 1) != 0),
        grants((bits & 2) != 0),
        to_http10((bits & 32) != 0),
        // No request of HTTP/1.0 upgrades.
        exchange{.head = (bits & 4) != 0, .connect = (bits & 8) != 0, .upgrade = (bits & 16) != 0 && !to_http10},
        origin_form((bits & 64) != 0) {
    if ((bits & 128) == 0) return;
    limits = {.max_head = 200, .max_fields = 4, .max_trailers = 60, .max_chunk_line = 20, .max_chunk_extensions = 30};
    limits.max_interim_responses = 2;
  }
  const bool response, grants, to_http10;
  const Exchange exchange;
  const bool origin_form;
  Limits limits;
};

Transcript Transcribe(const Options& options, std::string_view bytes, const Split& split) {
  return options.response ? weft::test::ReadResponse(bytes, split, options.exchange, options.limits)
                          : weft::test::ReadRequests(bytes, split, options.limits, options.grants);
}

// A proxy in small: what it sends, and what it took the messages for.
class Forwarder {
 public:
  Forwarder(const Options& options, const Limits& limits) : options_(options), limits_(limits) {}

  void Requests(std::string_view input) {
    RequestReader reader(limits_, head_);
    Run(reader, input, [&] { options_.grants ? reader.Switch() : reader.Stay(); });
  }
  void Response(std::string_view input) {
    ResponseReader reader(limits_, head_);
    reader.Expect(options_.exchange);
    Run(reader, input, [] {});
  }

  std::string sent, meaning;
  Error error = Error::kNone;

 private:
  template <typename Held>
  void Run(Reader& reader, std::string_view input, Held held) {
    bool ended = false;
    while (!ended) {
      const Event event = reader.Read(input);
      switch (event) {
        case Event::kHead:
          ForwardHead(reader.head());
          break;
        case Event::kBody:
          ForwardBody(reader.body());
          break;
        case Event::kEnd:
          ForwardEnd(reader.trailers());
          break;
        case Event::kHeld:
          held();
          break;
        case Event::kTunnel:
          meaning += "tunnel " + std::string(input);
          sent += input;
          return;
        default:
          ended = true;
      }
    }
    error = reader.error();
    // What ends with the connection ends here, too.
    if (error == Error::kNone && reader.ReadEnd() == Event::kEnd) ForwardEnd(reader.trailers());
  }

  void ForwardHead(const Head& head) {
    silent_ = head.kind == Kind::kResponse && head.status < 200 && options_.to_http10;
    if (silent_) return;
    Written written;
    if (head.kind == Kind::kRequest) {
      RequestEdits edits;
      edits.origin_form = options_.origin_form;
      if (head.authority().empty()) edits.authority = "fallback";
      meaning += std::string(head.method()) + " " + (options_.origin_form ? Origin(head) : std::string(head.target()));
      meaning += " for " + std::string(head.authority().empty() ? "fallback" : head.authority());
      meaning += std::string(head.upgrade ? " upgrade" : "") + (head.expects_continue ? " continue" : "");
      written = WriteRequest(head, edits, sent);
      Require(written.body == head.body);
    } else {
      written = WriteResponse(head, {.to_http10 = options_.to_http10}, sent);
      meaning += std::to_string(head.status) + (head.status == 101 ? " upgrade" : "");
    }
    Require(written.error == Error::kNone);
    if (head.takes_trailers) meaning += " trailers";
    meaning += "\n";
    body_ = written.body;
    for (const Field& field : head.fields) {
      if (field.id == FieldId::kOther && !IsHop(head, head.name(field))) meaning += head.line(field);
    }
  }

  static std::string Origin(const Head& head) {
    if (head.target_form == TargetForm::kAsterisk || head.target_form == TargetForm::kAuthority) {
      return std::string(head.target());
    }
    if (head.path().empty() && head.method() == "OPTIONS") return "*";
    return (head.path().starts_with('/') ? "" : "/") + std::string(head.path());
  }

  static bool IsHop(const Head& head, std::string_view name) {
    bool named = false;
    for (const Field& field : head.fields) {
      if (field.id != FieldId::kConnection) continue;
      ForEachElement(head.value(field), [&](std::string_view element) {
        named = named || EqualsIgnoringCase(element, name);
        return true;
      });
    }
    return named;
  }

  void ForwardBody(std::string_view bytes) {
    Require(!bytes.empty());
    meaning += bytes;
    if (body_ == Body::kChunked) sent += ChunkHead(bytes.size()).text();
    sent += bytes;
    if (body_ == Body::kChunked) sent += kChunkEnd;
  }

  void ForwardEnd(const Head& trailers) {
    if (silent_) return;
    meaning += "\nend\n";
    if (body_ != Body::kChunked) return;
    for (const Field& field : trailers.fields) meaning += trailers.line(field);
    Require(WriteLastChunk(&trailers, {}, sent) == Error::kNone);
  }

  const Options& options_;
  const Limits& limits_;
  Head head_;
  Body body_ = Body::kNone;
  bool silent_ = false;
};

Forwarder Forward(const Options& options, const Limits& limits, std::string_view input) {
  Forwarder forwarder(options, limits);
  options.response ? forwarder.Response(input) : forwarder.Requests(input);
  return forwarder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Options options(data[0]);
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Transcript whole = Transcribe(options, input, weft::test::Whole);
  const size_t step = 1 + data[1] % 64;
  Require(Transcribe(options, input, [step](size_t left) { return std::min(step, left); }).text == whole.text);

  // The next one has other limits: a head may grow by what we write.
  const Limits wide{.max_head = 1 << 20, .max_fields = 1000, .max_trailers = 1 << 20};
  const Forwarder first = Forward(options, options.limits, input);
  const Forwarder second = Forward(options, wide, first.sent);
  Require(second.error == Error::kNone);
  Require(second.sent == first.sent);
  // A client of HTTP/1.0 is told less: no trailers, no interim responses.
  if (!options.to_http10) Require(second.meaning == first.meaning);
  return 0;
}
