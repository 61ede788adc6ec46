// Two ends of a connection without a network, and what each of them is told.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "../core/http2/client_session.h"
#include "../core/http2/server_session.h"

namespace weft::test::http2 {

using namespace core::http2;

inline std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string Show(const Head& head) {
  std::string shown;
  const auto add = [&](std::string_view text) {
    if (!text.empty()) shown.append(text).push_back(' ');
  };
  if (head.status != 0) add(std::to_string(head.status));
  for (const Place place :
       {head.method_place, head.protocol_place, head.scheme_place, head.authority_place, head.path_place}) {
    add(head.at(place));
  }
  for (const Field& field : head.fields) {
    add(std::string(head.name(field)) + (field.sensitive ? ":=" : "=") + std::string(head.value(field)));
  }
  add(head.ends ? "|" : "");
  if (!shown.empty()) shown.pop_back();
  return shown;
}

inline Head Request(std::string_view method, std::string_view path, bool ends = true,
                    std::string_view authority = "weft.test") {
  Head head;
  head.method_place = head.Append(method);
  head.scheme_place = head.Append("http");
  head.authority_place = head.Append(authority);
  head.path_place = head.Append(path);
  head.ends = ends;
  return head;
}

inline Head Response(uint16_t status, bool ends = true) {
  Head head;
  head.status = status;
  head.ends = ends;
  return head;
}

// Consumes what comes at once unless told otherwise, and keeps a record: "1 head GET http weft.test / |".
class Recorder : public SessionEvents {
 public:
  std::string log;
  std::map<int32_t, std::string> bodies;
  bool consumes = true;
  size_t sent = 0;
  std::map<int32_t, Stream*> streams;
  std::function<void(Stream&, const Head&)> on_head;
  std::function<void(Stream&)> on_end, on_refused;
  std::function<void(Stream&, std::span<const std::byte>)> on_body;
  Session* session = nullptr;

  void OnHead(Stream& stream, const Head& head) override {
    streams[stream.id()] = &stream;
    Note(stream, "head " + Show(head));
    if (on_head) on_head(stream, head);
  }
  void OnRefused(Stream& stream, core::http1::Error error) override {
    streams[stream.id()] = &stream;
    Note(stream, "refused " + std::string(core::http1::Name(error)));
    if (on_refused) on_refused(stream);
  }
  void OnBody(Stream& stream, std::span<const std::byte> bytes) override {
    bodies[stream.id()] += Text(bytes);
    if (consumes) session->Consumed(stream, bytes.size());
    if (on_body) on_body(stream, bytes);
  }
  void OnTrailers(Stream& stream, const Head& head) override { Note(stream, "trailers " + Show(head)); }
  void OnEnd(Stream& stream) override {
    Note(stream, "end");
    if (on_end) on_end(stream);
  }
  void OnSent(Stream&, size_t bytes) override { sent += bytes; }
  void OnClosed(Stream& stream) override {
    streams.erase(stream.id());
    Note(stream, "closed");
  }
  void OnReset(Stream& stream, ErrorCode code, bool by_peer) override {
    streams.erase(stream.id());
    Note(stream, "reset " + std::string(Name(code)) + (by_peer ? " by peer" : ""));
  }
  void OnGoAway(ErrorCode code) override { log += "goaway " + std::string(Name(code)) + "\n"; }
  void OnOutput() override { outputs++; }
  int outputs = 0;

  std::string TakeLog() { return std::exchange(log, ""); }

 private:
  void Note(const Stream& stream, const std::string& what) { log += std::to_string(stream.id()) + " " + what + "\n"; }
};

struct Peers {
  explicit Peers(const Limits& server_limits = {}, const Limits& client_limits = {})
      : server(server_limits, at_server), client(client_limits, at_client) {
    at_server.session = &server;
    at_client.session = &client;
  }

  // All that one has to say to the other, in pieces of at most `step` bytes.
  bool Carry(Session& from, Session& to, size_t buffer = 16384) {
    std::string bytes(std::max(buffer, Session::kMinOutput), '\0');
    bool any = false;
    while (const size_t size = from.Output(std::as_writable_bytes(std::span(bytes)))) {
      any = true;
      for (size_t at = 0; at < size; at += step) {
        to.Receive(Bytes(std::string_view(bytes).substr(at, std::min(step, size - at))), now_us);
      }
    }
    return any;
  }
  void Run() {
    bool any = true;
    while (any) {
      any = Carry(client, server);
      any = Carry(server, client) || any;
    }
  }

  Recorder at_server, at_client;
  ServerSession server;
  ClientSession client;
  size_t step = SIZE_MAX;
  int64_t now_us = 1;
};

}  // namespace weft::test::http2
