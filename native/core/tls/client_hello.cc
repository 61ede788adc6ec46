#include "client_hello.h"

#include <algorithm>
#include <utility>

namespace weft::core::tls {
namespace {

using State = ClientHello::State;
using Bytes = std::span<const std::byte>;

constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kClientHelloMessage = 1;
constexpr size_t kRecordHeader = 5;
constexpr size_t kMessageHeader = 4;
constexpr size_t kMaxRecord = 16 * 1024;
constexpr size_t kMaxHostName = 255;
constexpr uint16_t kTls13 = 0x0304;

enum Extension : uint16_t { kServerName = 0, kProtocols = 16, kSupportedVersions = 43 };

// Takes fields off the front. After the first that is not there, everything is empty and ok() is false.
class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool empty() const { return bytes_.empty(); }

  uint32_t Number(size_t width) {
    uint32_t number = 0;
    for (const std::byte byte : Take(width)) number = number << 8 | std::to_integer<uint32_t>(byte);
    return number;
  }
  Bytes Take(size_t size) {
    if (size > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const Bytes taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  // A field that its length precedes.
  Bytes Vector(size_t width) { return Take(Number(width)); }

 private:
  Bytes bytes_;
  bool ok_ = true;
};

std::string Text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

bool ParseServerName(Bytes extension, ClientHello& hello) {
  Reader outer(extension);
  Reader names(outer.Vector(2));
  if (!outer.ok() || !outer.empty()) return false;
  while (!names.empty()) {
    const uint32_t type = names.Number(1);
    const Bytes name = names.Vector(2);
    if (!names.ok()) return false;
    if (type != 0) continue;
    if (!hello.server_name.empty() || name.empty() || name.size() > kMaxHostName) return false;
    hello.server_name = Text(name);
    for (char& character : hello.server_name) {
      if (character <= ' ' || character > '~') return false;
      if (character >= 'A' && character <= 'Z') character = static_cast<char>(character - 'A' + 'a');
    }
  }
  return true;
}

bool ParseProtocols(Bytes extension, ClientHello& hello) {
  Reader outer(extension);
  Reader protocols(outer.Vector(2));
  if (!outer.ok() || !outer.empty() || protocols.empty()) return false;
  while (!protocols.empty()) {
    const Bytes protocol = protocols.Vector(1);
    if (protocol.empty()) return false;
    hello.protocols.push_back(Text(protocol));
  }
  return true;
}

bool ParseSupportedVersions(Bytes extension, ClientHello& hello) {
  Reader outer(extension);
  Reader versions(outer.Vector(1));
  if (!outer.ok() || !outer.empty() || versions.empty()) return false;
  while (!versions.empty()) {
    if (versions.Number(2) == kTls13) hello.tls13 = true;
    if (!versions.ok()) return false;
  }
  return true;
}

bool ParseExtensions(Bytes bytes, ClientHello& hello) {
  Reader extensions(bytes);
  bool seen[kSupportedVersions + 1] = {};
  while (!extensions.empty()) {
    const uint32_t type = extensions.Number(2);
    const Bytes extension = extensions.Vector(2);
    if (!extensions.ok()) return false;
    if (type >= std::size(seen)) continue;
    if (std::exchange(seen[type], true)) return false;
    if (type == kServerName && !ParseServerName(extension, hello)) return false;
    if (type == kProtocols && !ParseProtocols(extension, hello)) return false;
    if (type == kSupportedVersions && !ParseSupportedVersions(extension, hello)) return false;
  }
  return true;
}

bool ParseBody(Bytes body, ClientHello& hello) {
  Reader reader(body);
  reader.Take(2 + 32);  // legacy version, random
  const Bytes session = reader.Vector(1);
  const Bytes ciphers = reader.Vector(2);
  const Bytes compressions = reader.Vector(1);
  if (!reader.ok() || session.size() > 32 || ciphers.empty() || ciphers.size() % 2 != 0 || compressions.empty()) {
    return false;
  }
  if (reader.empty()) return true;  // before TLS 1.3 there need not be any extensions
  const Bytes extensions = reader.Vector(2);
  return reader.ok() && reader.empty() && ParseExtensions(extensions, hello);
}

ClientHello Only(State state) {
  ClientHello hello;
  hello.state = state;
  return hello;
}

ClientHello NeedMore(size_t needed) {
  if (needed > kMaxClientHelloBytes) return Only(State::kInvalid);
  ClientHello hello = Only(State::kNeedMore);
  hello.needed = needed;
  return hello;
}

// Decided by the earliest byte that can tell, so that a client of another protocol is not kept waiting.
bool MayBeTls(Bytes bytes) {
  const auto at = [&](size_t index) { return std::to_integer<uint8_t>(bytes[index]); };
  if (bytes.size() > 0 && at(0) != kHandshakeRecord) return false;
  if (bytes.size() > 1 && at(1) != 3) return false;
  if (bytes.size() > 2 && at(2) > 4) return false;
  if (bytes.size() > 3 && at(3) > kMaxRecord >> 8) return false;
  if (bytes.size() > 5 && at(5) != kClientHelloMessage) return false;
  return true;
}

}  // namespace

ClientHello ParseClientHello(Bytes bytes) {
  if (!MayBeTls(bytes)) return Only(State::kNotTls);
  if (bytes.size() <= kRecordHeader) return NeedMore(bytes.size() + 1);
  std::vector<std::byte> message;
  size_t size = kMessageHeader;  // of the message, as far as it is known
  size_t position = 0;
  while (message.size() < size) {
    if (bytes.size() < position + kRecordHeader) return NeedMore(position + kRecordHeader);
    Reader header(bytes.subspan(position, kRecordHeader));
    const uint32_t type = header.Number(1);
    const uint32_t version = header.Number(2);
    const size_t length = header.Number(2);
    if (type != kHandshakeRecord || version >> 8 != 3 || length == 0 || length > kMaxRecord) {
      return Only(State::kInvalid);
    }
    position += kRecordHeader;
    const size_t there = std::min({length, bytes.size() - position, kMaxClientHelloBytes - message.size()});
    message.insert(message.end(), bytes.begin() + position, bytes.begin() + position + there);
    if (message.size() >= kMessageHeader) {
      Reader reader(message);
      if (reader.Number(1) != kClientHelloMessage) return Only(State::kInvalid);
      size = kMessageHeader + reader.Number(3);
      if (size > kMaxClientHelloBytes) return Only(State::kInvalid);
    }
    // Nothing can follow before the server has answered.
    if (message.size() - there + length > size && message.size() >= kMessageHeader) return Only(State::kInvalid);
    if (message.size() >= size) break;
    if (there < length) return NeedMore(position + std::min(length, there + size - message.size()));
    position += length;
  }
  ClientHello hello;
  hello.state = State::kParsed;
  if (!ParseBody(Bytes(message).subspan(kMessageHeader), hello)) return Only(State::kInvalid);
  return hello;
}

}  // namespace weft::core::tls
