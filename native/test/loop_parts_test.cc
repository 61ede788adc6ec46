// Parts with sockets in a loop of the test's own, without an engine.
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "../core/http/socket_stream.h"
#include "../core/listener.h"
#include "check.h"
#include "sockets.h"

namespace weft::test {
namespace {

bool IsReadable(const core::EventLoop& loop) {
  pollfd descriptor{loop.descriptor(), POLLIN, 0};
  return poll(&descriptor, 1, 0) == 1;
}

// Until it is so.
template <typename Condition>
bool Turns(core::EventLoop& loop, Condition condition) {
  return Eventually([&] {
    loop.Turn();
    return condition();
  });
}

class CountingAcceptor final : public core::Acceptor {
 public:
  void Accepted(uint32_t, Descriptor, const Endpoint&) override { accepted++; }
  int accepted = 0;
};

TEST("a listener that listens no more does not keep the loop busy") {
  core::EventLoop loop;
  CountingAcceptor acceptor;
  Descriptor socket = Listen(LoopbackIpv4());
  SetNonBlocking(socket, true);
  const Descriptor client = Connected(LocalEndpoint(socket));
  const int listening = socket.get();
  core::Listener listener(loop, acceptor, 1, std::move(socket));
  CHECK(Turns(loop, [&] { return acceptor.accepted == 1; }));
  CHECK_EQUAL(shutdown(listening, SHUT_RD), 0);
  int busy = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < end) {
    if (IsReadable(loop)) busy++;
    loop.Turn();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(busy < 20);
}

class RecordingEvents final : public core::http::ByteStreamEvents {
 public:
  size_t Received(std::string_view bytes) override { return bytes.size(); }
  void ReceivedEnd() override { ended = true; }
  void Drained() override { drained = true; }
  void Failed(int with) override { error = with; }
  bool ended = false;
  bool drained = false;
  int error = 0;
};

struct StreamBed {
  StreamBed() {
    const Descriptor listener = Listen(LoopbackIpv4());
    Descriptor near = Connected(LocalEndpoint(listener));
    far = Accept(listener);
    SetNonBlocking(near, true);
    const auto holders = core::http::SocketStream::Holders::kUs;
    stream = std::make_unique<core::http::SocketStream>(loop, std::span(buffer), std::move(near), holders);
    stream->set_events(events);
    stream->Resume();
    loop.Turn();
  }
  // More than the kernel takes.
  void Fill() {
    const std::string part(1 << 20, 'x');
    while (!stream->blocked()) stream->Write(part);
  }

  core::EventLoop loop;
  char buffer[4096];
  Descriptor far;
  RecordingEvents events;
  std::unique_ptr<core::http::SocketStream> stream;
};

TEST("what a socket stream has kept has gone out once its peer has read, and not where its peer has reset it") {
  StreamBed read;
  read.Fill();
  char bytes[65536];
  CHECK(Turns(read.loop, [&] {
    while (recv(read.far.get(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
    return read.events.drained;
  }));
  StreamBed reset;
  reset.Fill();
  Reset(reset.far);
  CHECK(Turns(reset.loop, [&] { return reset.events.error != 0; }));
  CHECK(!reset.events.drained);
}

}  // namespace
}  // namespace weft::test
