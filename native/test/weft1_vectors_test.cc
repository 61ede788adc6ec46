// The test vectors of docs/wire.md are what sessions send, and sessions read them as they are described.
#include <arpa/inet.h>

#include <set>

#include "weft1_peers.h"
#include "wire_document.h"

namespace weft::test {
namespace {

using weft1::ErrorCode;
using weft1::Role;
using weft1::Stream;

uint32_t Number(const Vector& vector, const char* field) {
  CHECK(vector.fields.contains(field) && field);
  return static_cast<uint32_t>(std::stoul(vector.fields.at(field)));
}

// 10.1.2.3:40000 or [fd00::9]:8080
core::Endpoint EndpointOf(const std::string& text) {
  const size_t colon = text.rfind(':');
  std::string address = text.substr(0, colon);
  address = address.starts_with("[") ? address.substr(1, address.size() - 2) : "::ffff:" + address;
  core::Endpoint endpoint{};
  CHECK(inet_pton(AF_INET6, address.c_str(), endpoint.address.bytes) == 1);
  endpoint.port = static_cast<uint16_t>(std::stoul(text.substr(colon + 1)));
  return endpoint;
}

Buffer FromHex(const std::string& hex) {
  Buffer bytes;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(hex.substr(at, 2), nullptr, 16)));
  }
  return bytes;
}

weft1::OpenRequest RequestOf(const Vector& vector) {
  return {EndpointOf(vector.fields.at("client")), EndpointOf(vector.fields.at("destination")),
          static_cast<weft1::Protocol>(Number(vector, "protocol"))};
}

// A client with so many streams open, and nothing left to send.
struct Opener {
  explicit Opener(uint32_t streams) : peer(Role::kClient) {
    CHECK(peer.Receive(RawHello()) == ErrorCode::kNone);
    while (streams-- > 0) stream = peer.session.Open(SomeRequest());
    peer.Take();
  }
  Peer peer;
  Stream* stream = nullptr;
};

// What a session sends when it says what the vector is about.
std::string Sent(const Vector& vector) {
  if (vector.name == "HELLO") {
    Peer peer(Role::kServer, {.max_streams = Number(vector, "streams")});
    CHECK_EQUAL(Number(vector, "version"), uint32_t{weft1::kVersion});
    return ToHex(peer.Take());
  }
  if (vector.name == "PONG") {
    Peer peer(Role::kServer);
    CHECK(peer.Receive(RawHello()) == ErrorCode::kNone);
    peer.Take();
    CHECK(peer.Receive(RawFrame(weft1::FrameType::kPing, 0, FromHex(vector.fields.at("opaque")))) == ErrorCode::kNone);
    return ToHex(peer.Take());
  }
  if (vector.name == "PING") return ToHex(RawFrame(weft1::FrameType::kPing, 0, FromHex(vector.fields.at("opaque"))));
  if (vector.name == "CREDIT" || vector.name == "GOAWAY") {
    const uint32_t last = Number(vector, vector.name == "CREDIT" ? "stream" : "last");
    Peer peer(Role::kServer);
    peer.consumes = peer.records_data = false;
    CHECK(peer.Receive(Joined({RawHello(), RawOpen(last)})) == ErrorCode::kNone);
    peer.Take();
    if (vector.name == "GOAWAY") {
      peer.session.GoAway(0);
    } else {
      const uint32_t bytes = Number(vector, "bytes");
      CHECK(peer.Receive(RawFrame(weft1::FrameType::kData, last, Buffer(bytes))) == ErrorCode::kNone);
      peer.session.Consumed(*peer.opened.back(), bytes, peer.now_us);
    }
    return ToHex(peer.Take());
  }
  const uint32_t id = Number(vector, "stream");
  Opener opener(vector.name == "OPEN" ? id - 1 : id);
  if (vector.name == "OPEN") {
    CHECK(opener.peer.session.Open(RequestOf(vector)) != nullptr);
  } else if (vector.name == "DATA") {
    opener.peer.Write(*opener.stream, Text(vector.fields.at("text")));
  } else if (vector.name == "FIN") {
    opener.peer.session.Finish(*opener.stream);
  } else if (vector.name == "RST") {
    opener.peer.session.Reset(*opener.stream, static_cast<ErrorCode>(Number(vector, "code")));
  } else {
    CHECK(false && "a frame of the document has no test");
  }
  return ToHex(opener.peer.Take());
}

TEST("weft/1: sessions send what the test vectors of docs/wire.md say") {
  std::set<std::string> names;
  for (const Vector& vector : VectorsOfTheDocument()) {
    CHECK_EQUAL(vector.name + " " + Sent(vector), vector.name + " " + vector.hex);
    names.insert(vector.name);
  }
  CHECK_EQUAL(names.size(), 9u);
}

TEST("weft/1: a session reads the test vectors of docs/wire.md as they are described") {
  for (const Vector& vector : VectorsOfTheDocument()) {
    const Buffer bytes = FromHex(vector.hex);
    const weft1::Header header = weft1::ReadHeader(bytes.data());
    CHECK_EQUAL(header.length, bytes.size() - weft1::kHeaderBytes);
    CHECK_EQUAL(header.stream, vector.fields.contains("stream") ? Number(vector, "stream") : 0u);
    const bool to_client = vector.name == "GOAWAY";
    Peer peer(to_client ? Role::kClient : Role::kServer);
    if (vector.name != "HELLO") CHECK(peer.Receive(RawHello()) == ErrorCode::kNone);
    if (header.stream != 0 && vector.name != "OPEN") CHECK(peer.Receive(RawOpen(header.stream)) == ErrorCode::kNone);
    peer.TakeEvents();
    CHECK_EQUAL(vector.name + " " + Name(peer.Receive(bytes)), vector.name + " NONE");
    if (vector.name != "OPEN") continue;
    CHECK(Same(peer.last_request.client, RequestOf(vector).client));
    CHECK(Same(peer.last_request.destination, RequestOf(vector).destination));
    CHECK(peer.last_request.protocol == RequestOf(vector).protocol);
  }
}

TEST("weft/1: headers and OPEN survive being written and read, at their limits") {
  for (const uint32_t length : {0u, 1u, 0x010203u, 0xffffffu}) {
    for (const uint32_t stream : {0u, 1u, 0x01020304u, UINT32_MAX}) {
      for (unsigned type = 0; type < 256; type++) {
        std::byte bytes[weft1::kHeaderBytes];
        weft1::WriteHeader(bytes, {length, static_cast<weft1::FrameType>(type), stream});
        const weft1::Header header = weft1::ReadHeader(bytes);
        CHECK(header.length == length && static_cast<unsigned>(header.type) == type && header.stream == stream);
      }
    }
  }
  weft1::OpenRequest request = SomeRequest();
  request.client.port = 0;
  request.destination.port = 65535;
  std::byte bytes[weft1::kOpenBytes];
  for (unsigned protocol = 0; protocol < 256; protocol++) {
    request.protocol = static_cast<weft1::Protocol>(protocol);
    weft1::WriteOpen(bytes, request);
    const auto read = weft1::ReadOpen(bytes);
    CHECK_EQUAL(read.has_value(), protocol <= 3);
    if (!read) continue;
    CHECK(Same(read->client, request.client) && Same(read->destination, request.destination));
    CHECK(read->protocol == request.protocol);
  }
}

}  // namespace
}  // namespace weft::test
