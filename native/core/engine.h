// The data plane's engine: takes listeners and sockets from the broker, asks for every decision, moves bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker_client.h"
#include "clients_map.h"
#include "decisions.h"
#include "event_loop.h"
#include "http/http.h"
#include "id_sequence.h"
#include "listener.h"
#include "names.h"
#include "pending.h"
#include "pipe_pool.h"
#include "probe.h"
#include "relay.h"
#include "socket_stock.h"
#include "stream_pending.h"
#include "stream_relay.h"
#include "tls_connection.h"
#include "tunnel_pool.h"

namespace weft::core {

struct EngineOptions {
  std::string broker_path;
  uint32_t slot = 0;
  int clients_map = -1;
  uint32_t pipes = 0;
  uint32_t pipe_bytes = 0;
  ConnectionRecord* record = nullptr;
  // After so long a peer that acknowledges nothing is gone, with all its streams.
  uint32_t peer_timeout_ms = 30'000;
  // A tunnel without streams is closed after so long, or after up to twice as long.
  uint32_t tunnel_idle_ms = 20'000;
  // What goes out of a pod is not begun on a connection that was made longer ago: by then new policies of the network
  // count for who is connected already. Of a request that a tunnel carries that connection is the tunnel.
  uint32_t max_age_ms = 30'000;
  // That peers have begun and not finished: each holds some 60 KB.
  uint32_t most_handshakes = 1024;
  // Null: connections are never decided to be HTTP.
  http::RequestRecord* request_record = nullptr;
  // As many requests are asked about at once.
  std::span<http::RequestRecord> request_records;
  http::HttpDecisions* http_decisions = nullptr;
};

struct ProbeRequest {
  uint32_t pod;  // it is made from there
  Endpoint peer;
  uint32_t credentials;    // ours
  uint32_t expected_name;  // of the peer
  uint32_t timeout_ms;
};

struct EngineStatistics {
  uint32_t connections;
  uint64_t accepted;
  uint32_t pipes_in_use;
  uint32_t listeners;
  uint32_t sockets_held;
  uint32_t tunnels;
};

class Engine final : private BrokerEvents,
                     private SocketSupplier,
                     private SocketSource,
                     private Acceptor,
                     private ConnectionOwner,
                     private Classifier,
                     private StreamClassifier,
                     private http::StreamSource,
                     private TlsEstablishedEvents,
                     private TunnelOwner,
                     private ProbeOwner {
 public:
  Engine(const EngineOptions& options, Decisions& decisions);
  ~Engine() { Close(); }

  // Readable when there is work for Turn(), which never waits.
  int descriptor() const { return loop_.descriptor(); }
  void Turn() {
    if (!closed_) loop_.Turn();
  }
  // Or the engine waits for another loop as well: event_loop.h.
  void WatchOther(int fd) { loop_.WatchOther(fd); }
  bool Wait(int timeout_ms) { return loop_.Wait(timeout_ms); }
  bool TakeOther() { return loop_.TakeOther(); }

  EngineStatistics statistics() const;
  // The number by which records call a name.
  uint32_t Intern(std::string_view name) { return names_.Intern(name); }
  std::string_view NameOf(uint32_t number) const { return names_.name(number); }
  // With all their streams; connections without one go on.
  void CloseTunnels();
  // Of a pod that leaves the mesh: no connection is opened over them any more, those that are open go on.
  void RetireTunnels(uint32_t pod);
  // What is shown as the identity of this number, for connections from now on.
  tls::ContextError SetCredentials(uint32_t identity, const tls::Identity& credentials);
  // Nobody is shown them any more; what is open goes on.
  void ForgetCredentials(uint32_t identity);
  void SetTicketKeys(std::vector<tls::TicketKey> keys) { ticket_keys_->Replace(std::move(keys)); }
  // Of the ClientHello that was classified last, whoever it asks for.
  const std::string& server_name() const { return server_name_; }
  // Decides on a connection that was held. false: it has ended meanwhile.
  bool Resume(uint32_t connection, Decision decision);
  // Ends these with RST, those of them that are open. Not to be called by OnConnection: it tells of other connections.
  void Revoke(std::span<const uint32_t> connections);
  // Of connections that are decided to be HTTP: their requests.
  http::Http& http() { return http_; }
  // Makes one connection as a tunnel's is made. The result comes by OnProbe() with this number, never before this
  // returns.
  void StartProbe(uint32_t number, const ProbeRequest& request);
  void StopAccepting();
  void Close();

 private:
  struct Pod {
    Pod(Engine& engine, uint32_t id);
    bool awaited() { return ipv4.awaited() || ipv6.awaited(); }
    SocketStock& stock(uint32_t family) { return family == 4 ? ipv4 : ipv6; }

    std::unique_ptr<Listener> listener;
    SocketStock ipv4;
    SocketStock ipv6;
    bool retired = false;  // it leaves the mesh
    bool gone = false;     // the broker has it no more
  };

  void BrokerListener(const broker::Listener& message, Descriptor socket) override;
  void BrokerListenerGone(uint32_t pod) override;
  void BrokerSockets(const broker::Sockets& message, std::span<Descriptor> sockets) override;
  void BrokerDrain(uint32_t grace_ms) override;
  void BrokerWritable() override;
  void BrokerLost() override;
  bool Ask(const SocketStock& stock, uint32_t count) override;
  void Accepted(uint32_t pod, Descriptor socket, const Endpoint& peer) override;
  void Provide(Dial& dial) override;
  void Classified(Pending& pending) override;
  void Classified(StreamPending& pending) override;
  bool OpenStream(const TunnelKey& key, uint32_t connect_timeout_ms, StreamWaiter& waiter) override;
  void Closed(Connection& connection) override;
  void TlsEstablished(TlsConnection& connection) override;
  PeerStreamEvents* StreamOpened(Tunnel& tunnel, PeerStream& stream, const weft1::OpenRequest& request) override;
  void TunnelClosed(Tunnel& tunnel) override;
  void ProbeDone(Probe& probe, ProbeResult result) override { decisions_.OnProbe(probe.number(), result); }
  void ProbeEnded(Probe& probe) override;

  template <typename Stage>
  Stage* Open(Stage* stage) {
    open_.PushBack(*stage);
    return stage;
  }
  uint32_t NextId();
  void Refuse(const Identity& identity, int64_t accepted_us, Descriptor client, CloseReason reason, int error);
  Tunnel& MakeTunnel(const TunnelKey& key, weft1::Role role);
  // Tunnels that are made now are used once.
  bool IsLeaving(uint32_t pod);
  void OpenTunnel(const Identity& identity, int64_t accepted_us, const Decision& decision, Descriptor client);
  void RetireTunnelsOf(uint32_t credentials);
  void Decide(const Identity& identity, int64_t accepted_us, Descriptor client);
  void Act(Identity identity, int64_t accepted_us, const Decision& decision, Descriptor client);
  void Release(Pending& pending);
  Decision Ask(const Identity& identity);
  PeerStreamEvents* ActOnStream(Identity identity, int64_t accepted_us, const Decision& decision, PeerStream& stream);

  Pod* Find(uint32_t id);
  void CloseListener(Pod& pod);
  void ForgetIfUnused(uint32_t id);

  EventLoop loop_;
  Decisions& decisions_;
  ConnectionRecord& record_;
  const uint32_t slot_;
  PipePool pipes_;
  Transport transport_;
  const ClientsMap clients_;
  Names names_;
  std::string server_name_;
  const RelayContext relay_context_;
  const PendingContext pending_context_;
  const StreamRelayContext stream_context_;
  const StreamPendingContext stream_pending_context_;
  http::Http http_;
  tls::Buffers tls_buffers_;
  std::unique_ptr<std::byte[]> received_;
  std::unique_ptr<std::byte[]> sent_;
  const TunnelContext tunnel_context_;
  Handshakes handshakes_;
  const TlsConnectionContext tls_context_;
  const ProbeContext probe_context_;
  const std::shared_ptr<tls::TicketKeys> ticket_keys_;
  const std::shared_ptr<tls::ClientSessions> sessions_;
  std::unordered_map<uint32_t, std::shared_ptr<const tls::Context>> credentials_;
  TunnelPool tunnel_pool_;
  List<Tunnel, Tunnel> tunnels_;
  List<Probe, Probe> probes_;
  std::unordered_map<uint32_t, std::unique_ptr<Pod>> pods_;
  List<Connection, Connection> open_;
  std::unordered_map<uint32_t, Pending*> held_;
  BrokerClient broker_;
  uint32_t connections_ = 0;
  uint32_t open_tunnels_ = 0;
  uint64_t accepted_ = 0;
  IdSequence ids_;
  bool accepting_ = true;
  bool closed_ = false;
};

}  // namespace weft::core
