// Every row of the table "Violations" of docs/wire.md: what it names, done to a session, gives the code that it says.
#include <map>

#include "weft1_peers.h"
#include "wire_document.h"

namespace weft::test {
namespace {

using weft1::ErrorCode;
using weft1::FrameType;
using weft1::kInitialWindow;
using weft1::kMaxPayload;
using weft1::kMaxWindow;
using weft1::Role;

struct Violation {
  const char* name;  // in docs/wire.md
  Role role;         // of the session that it is done to
  bool greets;       // the violator, before
  std::vector<Buffer> inputs;
};

Buffer Zeros(size_t size) { return Buffer(size); }

std::vector<Violation> Violations() {
  const auto server = [](const char* name, std::vector<Buffer> inputs) {
    return Violation{name, Role::kServer, true, std::move(inputs)};
  };
  const auto client = [](const char* name, std::vector<Buffer> inputs) {
    return Violation{name, Role::kClient, true, std::move(inputs)};
  };
  const auto early = [](const char* name, std::vector<Buffer> inputs) {
    return Violation{name, Role::kServer, false, std::move(inputs)};
  };
  const auto on_open = [](const Buffer& frames) { return Joined({RawOpen(1), frames}); };
  const auto frame = [](FrameType type, uint32_t stream, size_t size) { return RawFrame(type, stream, Zeros(size)); };
  const Buffer half = RawFrame(FrameType::kData, 1, Zeros(kMaxPayload));
  const Buffer fin = RawFrame(FrameType::kFin, 1);
  return {
      early("a first frame that is not HELLO", {frame(FrameType::kPing, 0, 8), RawOpen(1)}),
      early("HELLO of another version", {RawFrame(FrameType::kHello, 0, Numbers({2 << 16, 256})),
                                         RawFrame(FrameType::kHello, 0, Numbers({0, 256}))}),
      early("HELLO on a stream", {RawFrame(FrameType::kHello, 1, Numbers({1 << 16, 256}))}),
      server("a second HELLO", {RawHello()}),
      server("a frame of unknown type", {RawFrame(uint8_t{9}, 0), RawFrame(uint8_t{255}, 1, Zeros(4))}),
      server("a frame other than DATA whose length is not that of its type",
             {frame(FrameType::kOpen, 1, 36), frame(FrameType::kOpen, 1, 38), on_open(frame(FrameType::kCredit, 1, 8)),
              on_open(frame(FrameType::kFin, 1, 1)), on_open(frame(FrameType::kReset, 1, 0)),
              frame(FrameType::kPing, 0, 7), frame(FrameType::kPong, 0, 9), frame(FrameType::kGoAway, 0, 0)}),
      server("DATA of 0 bytes", {on_open(frame(FrameType::kData, 1, 0))}),
      server("DATA of more than 131,072 bytes", {on_open(frame(FrameType::kData, 1, kMaxPayload + 1))}),
      server("OPEN, DATA, CREDIT, FIN or RST on stream 0",
             {frame(FrameType::kOpen, 0, 37), frame(FrameType::kData, 0, 1), frame(FrameType::kCredit, 0, 4),
              frame(FrameType::kFin, 0, 0), frame(FrameType::kReset, 0, 4)}),
      client("PING, PONG or GOAWAY on a stream",
             {frame(FrameType::kPing, 1, 8), frame(FrameType::kPong, 1, 8), frame(FrameType::kGoAway, 1, 4)}),
      client("OPEN from the server", {RawOpen(1), RawOpen(2)}),
      server("GOAWAY from the client", {frame(FrameType::kGoAway, 0, 4)}),
      server("OPEN of an id that is not above all before",
             {Joined({RawOpen(1), RawOpen(1)}), Joined({RawOpen(7), RawOpen(3)})}),
      server("OPEN with a protocol above 3",
             {RawOpen(1, uint8_t{4}), Joined({RawOpen(1, uint8_t{3}), RawOpen(2, uint8_t{255})})}),
      server("DATA, CREDIT, FIN or RST of a stream that was never opened",
             {on_open(frame(FrameType::kData, 2, 1)), on_open(RawFrame(FrameType::kCredit, 2, Numbers({1}))),
              on_open(frame(FrameType::kFin, 2, 0)), on_open(frame(FrameType::kReset, 2, 4))}),
      server("DATA after FIN", {on_open(Joined({fin, frame(FrameType::kData, 1, 1)}))}),
      server("FIN after FIN", {on_open(Joined({fin, fin}))}),
      server("DATA beyond the window", {on_open(Joined({half, half, frame(FrameType::kData, 1, 1)})),
                                        on_open(Joined({half, frame(FrameType::kData, 1, 1), half}))}),
      server("CREDIT of 0", {on_open(RawFrame(FrameType::kCredit, 1, Numbers({0})))}),
      server("CREDIT that makes a window larger than 8,388,608",
             {on_open(RawFrame(FrameType::kCredit, 1, Numbers({kMaxWindow - kInitialWindow + 1}))),
              on_open(RawFrame(FrameType::kCredit, 1, Numbers({UINT32_MAX}))),
              on_open(Joined({RawFrame(FrameType::kCredit, 1, Numbers({kMaxWindow - kInitialWindow})),
                              RawFrame(FrameType::kCredit, 1, Numbers({1}))}))}),
      server("more than 100,000 frames other than DATA at once",
             {Repeated(frame(FrameType::kPong, 0, 8), 100'001),
              on_open(Repeated(RawFrame(FrameType::kCredit, 1, Numbers({1})), 100'001))}),
      server("more than 1 MiB of answers unread", {Repeated(frame(FrameType::kPing, 0, 8), 70'000)}),
  };
}

// What it takes the session to say so, in pieces of this size.
std::string AnswerTo(const Violation& violation, const Buffer& input, size_t piece) {
  Peer peer(violation.role);
  peer.consumes = peer.records_data = false;
  if (violation.greets) CHECK(peer.Receive(RawHello()) == ErrorCode::kNone);
  if (violation.role == Role::kClient) CHECK(peer.session.Open(SomeRequest()) != nullptr);
  for (size_t at = 0; at < input.size(); at += piece) {
    const ErrorCode error = peer.Receive(Bytes(input).subspan(at, std::min(piece, input.size() - at)));
    if (error != ErrorCode::kNone) return Name(error);
  }
  return "NONE";
}

TEST("weft/1: every violation of docs/wire.md is answered as it says, however it is split") {
  std::map<std::string, std::string> rows = TableOfTheDocument("### Violations");
  for (const Violation& violation : Violations()) {
    CHECK_EQUAL(std::string(violation.name) + (rows.contains(violation.name) ? "" : " is not in the document"),
                violation.name);
    for (const Buffer& input : violation.inputs) {
      for (const size_t piece : {input.size(), size_t{1}, size_t{7}}) {
        CHECK_EQUAL(violation.name + (": " + AnswerTo(violation, input, piece)),
                    violation.name + (": " + rows.at(violation.name)));
      }
    }
    rows.erase(violation.name);
  }
  CHECK_EQUAL(rows.empty() ? std::string() : rows.begin()->first, std::string());
}

TEST("weft/1: the codes of docs/wire.md are those of the session") {
  const std::map<std::string, std::string> rows = TableOfTheDocument("### Codes");
  size_t known = 0;
  for (uint32_t code = 0; code <= rows.size(); code++) {
    const std::string name = Name(static_cast<ErrorCode>(code));
    if (code == 0 || name == std::to_string(code)) continue;
    CHECK_EQUAL(name, rows.at(std::to_string(code)));
    known++;
  }
  CHECK_EQUAL(known, rows.size());
}

}  // namespace
}  // namespace weft::test
