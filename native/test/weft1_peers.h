// What the tests of weft/1 share: frames made by hand, and sessions whose events are recorded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "../core/weft1/session.h"
#include "check.h"

namespace weft::test {

namespace weft1 = core::weft1;

using Bytes = std::span<const std::byte>;
using Buffer = std::vector<std::byte>;

inline std::string ToHex(Bytes bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += kDigits[std::to_integer<unsigned>(byte) >> 4];
    hex += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return hex;
}

inline Buffer RawFrame(uint8_t type, uint32_t stream, const Buffer& payload = {}) {
  Buffer frame(weft1::kHeaderBytes + payload.size());
  weft1::WriteHeader(frame.data(),
                     {static_cast<uint32_t>(payload.size()), static_cast<weft1::FrameType>(type), stream});
  std::copy(payload.begin(), payload.end(), frame.begin() + weft1::kHeaderBytes);
  return frame;
}

inline Buffer RawFrame(weft1::FrameType type, uint32_t stream, const Buffer& payload = {}) {
  return RawFrame(static_cast<uint8_t>(type), stream, payload);
}

// A payload of 32-bit numbers.
inline Buffer Numbers(std::initializer_list<uint32_t> numbers) {
  Buffer payload(4 * numbers.size());
  std::byte* to = payload.data();
  for (const uint32_t number : numbers) {
    weft1::WriteU32(to, number);
    to += 4;
  }
  return payload;
}

inline Buffer Text(const std::string& text) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(text.data());
  return Buffer(bytes, bytes + text.size());
}

inline Buffer Joined(std::initializer_list<Buffer> parts) {
  Buffer all;
  for (const Buffer& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

inline Buffer Repeated(const Buffer& part, size_t times) {
  Buffer all;
  for (size_t i = 0; i < times; i++) all.insert(all.end(), part.begin(), part.end());
  return all;
}

inline weft1::OpenRequest SomeRequest() {
  weft1::OpenRequest request{};
  const uint8_t client[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
  const uint8_t destination[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
  memcpy(request.client.address.bytes, client, sizeof client);
  memcpy(request.destination.address.bytes, destination, sizeof destination);
  request.client.port = 40000;
  request.destination.port = 8080;
  return request;
}

inline bool Same(const core::Endpoint& one, const core::Endpoint& other) {
  return memcmp(one.address.bytes, other.address.bytes, sizeof one.address.bytes) == 0 && one.port == other.port;
}

inline Buffer RawOpen(uint32_t id, uint8_t protocol = 0) {
  Buffer payload(weft1::kOpenBytes);
  weft1::WriteOpen(payload.data(), SomeRequest());
  payload.back() = std::byte{protocol};
  return RawFrame(weft1::FrameType::kOpen, id, payload);
}

inline Buffer RawHello(uint32_t max_streams = 256) {
  return RawFrame(weft1::FrameType::kHello, 0, Numbers({uint32_t{weft1::kVersion} << 16, max_streams}));
}

inline std::string Name(weft1::ErrorCode code) {
  switch (code) {
    case weft1::ErrorCode::kNone:
      return "NONE";
    case weft1::ErrorCode::kRefused:
      return "REFUSED";
    case weft1::ErrorCode::kReset:
      return "RESET";
    case weft1::ErrorCode::kProtocol:
      return "PROTOCOL";
    case weft1::ErrorCode::kFlowControl:
      return "FLOW_CONTROL";
    case weft1::ErrorCode::kFrameSize:
      return "FRAME_SIZE";
    case weft1::ErrorCode::kVersion:
      return "VERSION";
    case weft1::ErrorCode::kTooManyStreams:
      return "TOO_MANY_STREAMS";
    case weft1::ErrorCode::kFlood:
      return "FLOOD";
  }
  return std::to_string(static_cast<uint32_t>(code));
}

// A session with a record of its events: "open 1", "data 1 abc", "fin 1", "reset 1 REFUSED", "room 1", "goaway".
class Peer final : public weft1::SessionEvents {
 public:
  explicit Peer(weft1::Role role, const weft1::Limits& limits = {}) : session(role, limits, *this) {}

  void OnOpen(weft1::Stream& stream, const weft1::OpenRequest& request) override {
    opened.push_back(&stream);
    last_request = request;
    Record("open " + std::to_string(stream.id()));
  }
  void OnData(weft1::Stream& stream, std::span<const std::byte> bytes) override {
    if (records_data) {
      Record("data " + std::to_string(stream.id()) + " " +
             std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    received += bytes.size();
    if (consumes) session.Consumed(stream, bytes.size(), now_us);
  }
  void OnRoom(weft1::Stream& stream) override {
    Record("room " + std::to_string(stream.id()));
    if (writes_when_room > 0) Write(stream, Buffer(writes_when_room));
  }
  void OnFin(weft1::Stream& stream) override { Record("fin " + std::to_string(stream.id())); }
  void OnReset(weft1::Stream& stream, weft1::ErrorCode code) override {
    Record("reset " + std::to_string(stream.id()) + " " + Name(code));
  }
  void OnGoAway() override { Record("goaway"); }
  void OnOutput() override { outputs++; }

  weft1::ErrorCode Receive(Bytes bytes) { return session.Receive(bytes, now_us); }
  // How many of the bytes the session took.
  size_t Write(weft1::Stream& stream, Bytes bytes) {
    size_t written_now = 0;
    while (written_now < bytes.size()) {
      const std::span<std::byte> room = session.Reserve(stream);
      if (room.empty()) break;
      const size_t size = std::min(room.size(), bytes.size() - written_now);
      std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(written_now), size, room.begin());
      session.Commit(stream, size);
      written_now += size;
    }
    written[stream.id()] += written_now;
    return written_now;
  }
  // All output, as if it had been written.
  Buffer Take() {
    Buffer all;
    while (!session.output().empty()) {
      const Bytes part = session.output();
      const size_t size = part.size();
      all.insert(all.end(), part.begin(), part.end());
      session.Written(size);
    }
    return all;
  }
  std::string TakeEvents() {
    std::string all;
    all.swap(events);
    return all;
  }

  int outputs = 0;  // before the session, whose constructor has output
  weft1::Session session;
  std::vector<weft1::Stream*> opened;
  weft1::OpenRequest last_request{};
  std::string events;
  std::map<uint32_t, uint64_t> written;  // by stream
  uint64_t received = 0;
  size_t writes_when_room = 0;
  int64_t now_us = 1'000'000;
  bool consumes = true;
  bool records_data = true;

 private:
  void Record(const std::string& event) { events += (events.empty() ? "" : ", ") + event; }
};

// Until neither has anything to say.
inline void Exchange(Peer& one, Peer& other) {
  for (;;) {
    const Buffer there = one.Take(), back = other.Take();
    if (there.empty() && back.empty()) return;
    CHECK_EQUAL(Name(other.Receive(there)), "NONE");
    CHECK_EQUAL(Name(one.Receive(back)), "NONE");
  }
}

}  // namespace weft::test
