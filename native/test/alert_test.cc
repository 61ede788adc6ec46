// A connection that is refused after its ClientHello: the client is told why, in TLS.
#include <cerrno>

#include "authority.h"
#include "check.h"
#include "mesh.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

using core::Action;
using core::CloseReason;
using core::ConnectionRecord;
using core::Detected;

constexpr uint32_t kUnrecognizedName = 112;  // RFC 8446, 6.2
constexpr std::string_view kAlertRecord("\x15\x03\x03\x00\x02\x02\x70", 7);
const std::string kName = "db.shop.serviceaccount.identity.weft-system.cluster.local";

// Looks at the first bytes; of TLS it then refuses, at once or after having held the connection.
struct Refusing {
  explicit Refusing(bool holds, uint32_t alert = kUnrecognizedName) : mesh(Options(holds, alert)) {}

  MeshOptions Options(bool holds, uint32_t alert) {
    MeshOptions options;
    options.decide = [=, this](ConnectionRecord& record) {
      record.decision = {};
      if (record.identity.detected == Detected::kNothing) {
        record.decision.action = Action::kDetect;
        record.decision.detect_timeout_ms = 5000;
        return;
      }
      detected = record.identity.detected;
      record.decision.action = holds ? Action::kHold : Action::kRefuse;
      if (holds) {
        record.decision.connect_timeout_ms = 5000;
      } else {
        record.decision.alert = alert;
      }
    };
    return options;
  }

  void CheckEnded(size_t index) {
    const Ended ended = mesh.EndedAt(index);
    CHECK(ended.outcome.reason == CloseReason::kRefused);
    CHECK_EQUAL(ended.outcome.error, 0u);
    CHECK(mesh.statistics().connections == 0);
    CHECK_EQUAL(mesh.ended_count(), index + 1);
  }

  bool Resume(uint32_t id, uint32_t alert) {
    bool resumed = false;
    mesh.WithEngine([&](core::Engine& engine) {
      core::Decision decision{};
      decision.action = Action::kRefuse;
      decision.alert = alert;
      resumed = engine.Resume(id, decision);
    });
    return resumed;
  }

  std::atomic<Detected> detected = Detected::kNothing;
  Mesh mesh;
};

std::string HelloFor(const std::string& name) {
  const core::tls::SslContext context(SSL_CTX_new(TLS_client_method()));
  const core::tls::Ssl ssl(SSL_new(context.get()));
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_set_connect_state(ssl.get());
  SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  SSL_do_handshake(ssl.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  return std::string(data, static_cast<size_t>(size));
}

TEST("alert: the client reads the alert and FIN, nothing else") {
  Refusing refusing(false);
  for (size_t index = 0; index < 20; index++) {
    const Descriptor client = Connected(refusing.mesh.endpoint());
    Send(client, HelloFor(kName));
    CHECK_EQUAL(ReceiveAll(client), kAlertRecord);
    refusing.CheckEnded(index);
  }
  CHECK(refusing.detected == Detected::kTls);
}

TEST("alert: also where the ClientHello comes in parts, or more than it") {
  Refusing refusing(false);
  const std::string hello = HelloFor(kName);
  const Descriptor slow = Connected(refusing.mesh.endpoint());
  for (const size_t part : {size_t{0}, size_t{3}, size_t{40}}) {
    Send(slow, hello.substr(part, part == 0 ? 3 : part == 3 ? 37 : std::string::npos));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK_EQUAL(ReceiveAll(slow), kAlertRecord);
  refusing.CheckEnded(0);
  const Descriptor eager = Connected(refusing.mesh.endpoint());
  Send(eager, hello + Pattern(18'000, 1));  // as early data may follow it, more than one read takes
  CHECK_EQUAL(ReceiveAll(eager), kAlertRecord);
  refusing.CheckEnded(1);
}

TEST("alert: OpenSSL takes it for what it is") {
  const Authority authority("ours");
  Refusing refusing(false);
  const Descriptor client = Connected(refusing.mesh.endpoint());
  SetNonBlocking(client, true);
  core::tls::Buffers buffers;
  const core::tls::Protocols protocols{"weft/1"};
  const auto tls = core::tls::Connection::Connect(MakeContext(authority.Issue("web.shop.mesh")), buffers, client.get(),
                                                  protocols, kName);
  EVENTUALLY(tls->Handshake() == core::tls::Status::kFailed);
  CHECK(tls->failure().reason == core::tls::Reason::kAlert);
  CHECK_EQUAL(tls->failure().detail, static_cast<int>(kUnrecognizedName));
}

TEST("alert: a connection that was held is told, too") {
  Refusing refusing(true);
  const Descriptor client = Connected(refusing.mesh.endpoint());
  Send(client, HelloFor(kName));
  EVENTUALLY(refusing.detected == Detected::kTls);
  CHECK_EQUAL(refusing.mesh.statistics().connections, 1u);
  CHECK(refusing.Resume(1, kUnrecognizedName));
  CHECK_EQUAL(ReceiveAll(client), kAlertRecord);
  refusing.CheckEnded(0);
  CHECK(!refusing.Resume(1, kUnrecognizedName));
}

TEST("alert: without one, or where nothing was said in TLS, the end is RST") {
  Refusing plain(false, 0);
  const Descriptor told_nothing = Connected(plain.mesh.endpoint());
  Send(told_nothing, HelloFor(kName));
  CHECK_EQUAL(ReadError(told_nothing), ECONNRESET);
  plain.CheckEnded(0);
  // A FIN instead of first bytes is detected as plaintext; there is nothing that an alert could answer.
  Refusing refusing(false);
  const Descriptor silent = Connected(refusing.mesh.endpoint());
  Finish(silent);
  CHECK_EQUAL(ReadError(silent), ECONNRESET);
  CHECK(refusing.detected == Detected::kPlaintext);
  refusing.CheckEnded(0);
}

TEST("alert: a client that has gone, or that does not read, ends like any other") {
  Refusing refusing(true);
  Descriptor gone = Connected(refusing.mesh.endpoint());
  Send(gone, HelloFor(kName));
  EVENTUALLY(refusing.detected == Detected::kTls);
  Reset(gone);
  CHECK(refusing.Resume(1, kUnrecognizedName));
  refusing.CheckEnded(0);
  Descriptor closed = Connected(refusing.mesh.endpoint());
  refusing.detected = Detected::kNothing;
  Send(closed, HelloFor(kName));
  EVENTUALLY(refusing.detected == Detected::kTls);
  Finish(closed);  // may still read
  CHECK(refusing.Resume(2, kUnrecognizedName));
  CHECK_EQUAL(ReceiveAll(closed), kAlertRecord);
  refusing.CheckEnded(1);
}

}  // namespace
}  // namespace weft::test
