#include "engine_values.h"

#include <cstring>

#include "values.h"

namespace weft::binding {

const char* NameOfResult(core::ProbeResult result) {
  switch (result) {
    case core::ProbeResult::kPassed:
      return "passed";
    case core::ProbeResult::kFailed:
      return "failed";
    default:
      return "undecided";
  }
}

const char* Explain(core::tls::ContextError error) {
  switch (error) {
    case core::tls::ContextError::kBadCertificates:
      return "the certificates cannot be read";
    case core::tls::ContextError::kBadName:
      return "the certificate has no DNS name, or several";
    case core::tls::ContextError::kBadKey:
      return "the private key cannot be read";
    case core::tls::ContextError::kKeyMismatch:
      return "the private key is not the certificate's";
    case core::tls::ContextError::kBadAnchors:
      return "the trust anchors cannot be read";
    default:
      return "OpenSSL does not take the certificate or its key";
  }
}

v8::Local<v8::Object> ToObject(const core::EngineStatistics& statistics) {
  const v8::Local<v8::Object> result = Nan::New<v8::Object>();
  Set(result, "connections", Nan::New(statistics.connections));
  Set(result, "accepted", Nan::New(static_cast<double>(statistics.accepted)));
  Set(result, "pipesInUse", Nan::New(statistics.pipes_in_use));
  Set(result, "listeners", Nan::New(statistics.listeners));
  Set(result, "socketsHeld", Nan::New(statistics.sockets_held));
  Set(result, "tunnels", Nan::New(statistics.tunnels));
  return result;
}

core::tls::Identity ReadIdentity(v8::Local<v8::Value> credentials) {
  const v8::Local<v8::Object> given = ObjectValue(credentials, "credentials");
  core::tls::Identity identity;
  for (const std::string& part : BytesList(Property(given, "certificates"))) identity.certificates += part;
  for (const std::string& part : BytesList(Property(given, "trustAnchors"))) identity.anchors += part;
  identity.key = Bytes(Property(given, "privateKey"));
  return identity;
}

std::vector<core::tls::TicketKey> ReadTicketKeys(v8::Local<v8::Value> keys) {
  std::vector<core::tls::TicketKey> result;
  for (const std::string& bytes : BytesList(keys)) {
    core::tls::TicketKey key;
    if (bytes.size() != sizeof key) throw std::invalid_argument("a ticket key has 80 bytes");
    memcpy(&key, bytes.data(), sizeof key);
    result.push_back(key);
  }
  return result;
}

core::ProbeRequest ReadProbeRequest(v8::Local<v8::Value> request) {
  const v8::Local<v8::Object> given = ObjectValue(request, "request");
  core::ProbeRequest result{};
  result.pod = UnsignedProperty(given, "pod");
  result.peer.port = static_cast<uint16_t>(UnsignedProperty(given, "port"));
  result.credentials = UnsignedProperty(given, "credentials");
  result.expected_name = UnsignedProperty(given, "expectedName");
  result.timeout_ms = UnsignedProperty(given, "timeoutMs");
  const std::string address = Bytes(Property(given, "address"));
  if (address.size() != sizeof result.peer.address) throw std::invalid_argument("an address has 16 bytes");
  memcpy(&result.peer.address, address.data(), sizeof result.peer.address);
  return result;
}

}  // namespace weft::binding
