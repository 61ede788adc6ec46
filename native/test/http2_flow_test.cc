// Many streams of HTTP/2, and slow ones.
#include "http2_sockets.h"

namespace weft::test::http2 {
namespace {

TEST("http2: a thousand streams at once") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  CHECK(client.session.Open(Request("GET", "/first")) != nullptr);
  client.Step();
  ServerPeer app(http.App());
  // Its settings come before its answer: until then the engine believes that it takes fewer.
  app.events.on_end = [&](Stream& stream) { app.session.Respond(stream, Response(204)); };
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  std::vector<Stream*> held;
  app.events.on_end = [&](Stream& stream) { held.push_back(&stream); };
  size_t opened = 0;
  RunUntil(
      [&] {
        while (opened < 1000 && client.session.can_open()) {
          client.session.Open(Request("GET", "/" + std::to_string(opened++)));
        }
        return held.size() == 1000;
      },
      client, app);
  for (Stream* stream : held) app.session.Respond(*stream, Response(204));
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  for (size_t i = 0; i <= 1000; i++) CheckEnded(http, i, Ending::kComplete, 204);
}

TEST("http2: a slow reader holds up its own stream only, and what is held of it is bounded") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  client.events.consumes = false;
  client.session.Open(Request("GET", "/slow"));
  client.Step();
  ServerPeer app(http.App());
  const std::string body = Pattern(3'000'000, 1);
  std::map<int32_t, size_t> written;
  const auto write = [&] {
    for (auto& [id, stream] : app.events.streams) {
      size_t& at = written[id];
      at += app.session.Write(*stream, Bytes(std::string_view(body).substr(at)));
      if (at == body.size()) app.session.Finish(*stream);
    }
  };
  app.events.on_head = [&](Stream& stream, const Head&) { app.session.Respond(stream, Response(200, false)); };
  const auto settled = [&](auto until) {
    RunUntil(
        [&] {
          write();
          return until();
        },
        client, app);
  };
  settled([&] { return client.events.bodies[1].size() >= 64 * 1024 - 1; });
  for (int i = 0; i < 20; i++) {
    write();
    client.Step();
    app.Step();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(client.events.bodies[1].size() < 70'000);
  CHECK(app.events.sent < 1'200'000);
  // Another one, whose reader reads, is not held up by the first.
  client.events.on_body = [&](Stream& stream, std::span<const std::byte> bytes) {
    if (stream.id() != 1) client.session.Consumed(stream, bytes.size());
  };
  client.session.Open(Request("GET", "/fast"));
  settled([&] { return client.events.log.find("3 end") != std::string::npos; });
  CHECK(client.events.bodies[3] == body);
  CHECK(client.events.bodies[1].size() < 70'000);
  client.events.on_body = nullptr;
  client.events.consumes = true;
  client.session.Consumed(*client.events.streams.at(1), client.events.bodies[1].size());
  settled([&] { return client.events.log.find("1 end") != std::string::npos; });
  CHECK(client.events.bodies[1] == body);
}

TEST("http2: a slow app holds up the client's body") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  Stream* const stream = client.session.Open(Post("/"));
  client.Step();
  ServerPeer app(http.App());
  app.events.consumes = false;
  const std::string body = Pattern(3'000'000, 2);
  size_t at = 0;
  for (int i = 0; i < 60; i++) {
    at += client.session.Write(*stream, Bytes(std::string_view(body).substr(at)));
    client.Step();
    app.Step();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(client.events.sent < 300'000);
  app.events.consumes = true;
  app.session.Consumed(*app.events.streams.at(1), app.events.bodies[1].size());
  AnswerAll(app);
  app.events.on_end = [&](Stream& asked) { app.session.Respond(asked, Response(200)); };
  RunUntil(
      [&] {
        if (at < body.size()) {
          at += client.session.Write(*stream, Bytes(std::string_view(body).substr(at)));
          if (at == body.size()) client.session.Finish(*stream);
        }
        return client.events.log.find("1 end") != std::string::npos;
      },
      client, app);
  CHECK(app.events.bodies[1] == body);
}

TEST("http2: what no server can take at once is spread over more connections, or waits") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  for (int i = 0; i < 20; i++) client.session.Open(Post("/"));
  client.Step();
  Limits few;
  few.max_streams = 2;
  std::vector<std::unique_ptr<ServerPeer>> apps;
  SetNonBlocking(http.mesh.app, true);
  RunUntil(
      [&] {
        Descriptor socket(accept4(http.mesh.app.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket) {
          apps.push_back(std::make_unique<ServerPeer>(std::move(socket), few));
          ServerPeer& app = *apps.back();
          app.events.on_head = [&app](Stream& stream, const Head&) { app.session.Respond(stream, Response(200)); };
        }
        for (const auto& app : apps) app->Step();
        return client.events.log.find("39 ") != std::string::npos && client.session.open_streams() == 0;
      },
      client);
  SetNonBlocking(http.mesh.app, false);
  CHECK(apps.size() <= 9);
  for (size_t i = 0; i < 20; i++) http.decider.EndedAt(i);
}

}  // namespace
}  // namespace weft::test::http2
