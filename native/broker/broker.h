// The broker: what protocol.h says, on one thread, with nothing that waits.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "channel.h"
#include "descriptor.h"
#include "protocol.h"
#include "prover.h"

namespace weft::broker {

class Broker {
 public:
  Broker(Descriptor listener, uid_t worker_uid);
  // Returns when the broker has nothing more to do.
  void Run();

 private:
  struct Peer {
    explicit Peer(Descriptor socket) : channel(std::move(socket)) {}
    Channel channel;
    std::optional<Role> role;
    uint32_t slot = 0;
    bool broken = false;
  };
  struct Pod {
    Descriptor netns;
    uint64_t netns_inode = 0;
    AddPod description{};
    uint16_t port = 0;
    std::vector<Descriptor> listeners;
  };
  struct RunningProof {
    Prover prover;
    uint32_t pod;
    int peer;
  };

  void Accept();
  void Read(Peer& peer);
  void LogCutOff();
  bool Handle(Peer& peer, Message& message);
  bool HandleFromMain(Peer& peer, Type type, Message& message);
  bool HandleHello(Peer& peer, const Hello& hello);
  void HandleAddPod(Peer& peer, const AddPod& request, Descriptor netns);
  int OpenPod(const AddPod& request, Descriptor netns);
  bool PutIntoMap(const Pod& pod);
  void RemovePod(uint32_t id);
  void HandleSocketsWanted(Peer& peer, const SocketsWanted& request);
  void HandleProve(Peer& peer, const Prove& request, const Descriptor& cgroup_processes);
  void FinishProof(int descriptor);
  void StartDrain(const Drain& request);
  void SendListener(Peer& peer, const Pod& pod);
  template <typename T>
  void Send(Peer& peer, const T& message, std::span<const int> descriptors = {});
  template <typename Visit>
  void ForEachWorker(Visit visit);
  void Watch(int descriptor, uint32_t events, int operation);
  void RemoveBrokenPeers();
  bool IsFinished(bool timed_out) const;

  Descriptor epoll_, listener_, drain_timer_, listener_map_;
  uid_t worker_uid_;
  bool grace_is_over_ = false;
  time_t cut_off_logged_ = 0;
  std::map<int, std::unique_ptr<Peer>> peers_;
  std::map<uint32_t, Pod> pods_;
  std::map<int, RunningProof> proofs_;
};

}  // namespace weft::broker
