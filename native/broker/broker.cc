#include "broker.h"

#include <linux/bpf.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "pod_sockets.h"

namespace weft::broker {
namespace {

constexpr int kMaximumPeers = 128;
constexpr int kOrphanedAfterMs = 10000;
constexpr size_t kMaximumProofs = 64;
constexpr int kNobody = -1;

// Garbage of a peer cuts the peer off: a message is taken only with exactly the size and the descriptors that its type
// has.
template <typename T>
std::optional<T> ReadAs(const Message& message, size_t descriptors) {
  if (message.bytes.size() != sizeof(T) || message.descriptors.size() != descriptors) return std::nullopt;
  T result;
  memcpy(&result, message.bytes.data(), sizeof result);
  return result;
}

int BpfMap(bpf_cmd command, int map, const void* key, const void* value) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = reinterpret_cast<uint64_t>(key);
  attributes.value = reinterpret_cast<uint64_t>(value);
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

}  // namespace

Broker::Broker(Descriptor listener, uid_t worker_uid)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      listener_(std::move(listener)),
      drain_timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      worker_uid_(worker_uid) {
  Watch(listener_.get(), EPOLLIN, EPOLL_CTL_ADD);
  Watch(drain_timer_.get(), EPOLLIN, EPOLL_CTL_ADD);
}

void Broker::Watch(int descriptor, uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  epoll_ctl(epoll_.get(), operation, descriptor, &event);
}

void Broker::Run() {
  for (bool timed_out = false; !IsFinished(timed_out);) {
    epoll_event events[64];
    const int count = epoll_wait(epoll_.get(), events, 64, kOrphanedAfterMs);
    timed_out = count == 0;
    for (int i = 0; i < count; i++) {
      const int descriptor = events[i].data.fd;
      if (descriptor == listener_.get()) {
        Accept();
      } else if (descriptor == drain_timer_.get()) {
        Watch(descriptor, 0, EPOLL_CTL_DEL);
        for (auto& [id, pod] : pods_) pod.listeners.clear();
        grace_is_over_ = true;
      } else if (proofs_.contains(descriptor)) {
        FinishProof(descriptor);
      } else if (const auto peer = peers_.find(descriptor); peer != peers_.end()) {
        if ((events[i].events & EPOLLOUT) != 0) {
          if (!peer->second->channel.Flush()) peer->second->broken = true;
          if (!peer->second->channel.HasQueued()) Watch(descriptor, EPOLLIN, EPOLL_CTL_MOD);
        }
        if ((events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) Read(*peer->second);
      }
    }
    RemoveBrokenPeers();
  }
}

// Drained: when the last worker has gone. Orphaned: when there is nobody at all for a while.
bool Broker::IsFinished(bool timed_out) const {
  const bool has_workers =
      std::ranges::any_of(peers_, [](const auto& entry) { return entry.second->role == Role::kWorker; });
  return !has_workers && (grace_is_over_ || (timed_out && peers_.empty()));
}

void Broker::Accept() {
  Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || peers_.size() >= kMaximumPeers) return;
  auto peer = std::make_unique<Peer>(std::move(socket));
  const uid_t uid = peer->channel.PeerUid();
  if (uid != 0 && uid != worker_uid_) return;
  Watch(peer->channel.descriptor(), EPOLLIN, EPOLL_CTL_ADD);
  peers_.emplace(peer->channel.descriptor(), std::move(peer));
}

void Broker::Read(Peer& peer) {
  for (Message message; !peer.broken;) {
    switch (peer.channel.Receive(&message)) {
      case Channel::Result::kNothing:
        return;
      case Channel::Result::kClosed:
        peer.broken = true;
        return;
      case Channel::Result::kMessage:
        if (!Handle(peer, message)) {
          LogCutOff();
          peer.broken = true;
        }
    }
  }
}

// Once a second at most: who sends garbage may come again at once.
void Broker::LogCutOff() {
  const time_t now = time(nullptr);
  if (now == cut_off_logged_) return;
  cut_off_logged_ = now;
  fprintf(
      stderr,
      "{\"component\":\"broker\",\"level\":\"error\",\"msg\":\"a peer sent what is no message and was cut off\"}\n");
}

bool Broker::Handle(Peer& peer, Message& message) {
  Type type;
  if (message.bytes.size() < sizeof type) return false;
  memcpy(&type, message.bytes.data(), sizeof type);
  if (type == Type::kHello) {
    const auto hello = ReadAs<Hello>(message, 0);
    return hello && HandleHello(peer, *hello);
  }
  if (peer.role == Role::kMain) return HandleFromMain(peer, type, message);
  if (peer.role != Role::kWorker || type != Type::kSocketsWanted) return false;
  const auto wanted = ReadAs<SocketsWanted>(message, 0);
  if (!wanted || wanted->count == 0 || wanted->count > kMaxDescriptors || (wanted->family != 4 && wanted->family != 6))
    return false;
  HandleSocketsWanted(peer, *wanted);
  return true;
}

bool Broker::HandleFromMain(Peer& peer, Type type, Message& message) {
  switch (type) {
    case Type::kSetListenerMap: {
      if (!ReadAs<SetListenerMap>(message, 1)) return false;
      listener_map_ = std::move(message.descriptors[0]);
      return true;
    }
    case Type::kAddPod: {
      const auto request = ReadAs<AddPod>(message, 1);
      if (!request || request->workers == 0 || request->workers > WEFT_MAX_WORKERS ||
          request->avoided_count > kMaxAvoidedPorts)
        return false;
      HandleAddPod(peer, *request, std::move(message.descriptors[0]));
      return true;
    }
    case Type::kRemovePod: {
      const auto request = ReadAs<struct RemovePod>(message, 0);
      if (request) RemovePod(request->pod);
      return request.has_value();
    }
    case Type::kProve: {
      const auto request = ReadAs<Prove>(message, 1);
      if (request) HandleProve(peer, *request, message.descriptors[0]);
      return request.has_value();
    }
    case Type::kDrain: {
      const auto request = ReadAs<Drain>(message, 0);
      if (request) StartDrain(*request);
      return request.has_value();
    }
    default:
      return false;
  }
}

bool Broker::HandleHello(Peer& peer, const Hello& hello) {
  if (peer.role) return false;
  if (hello.role == Role::kMain && peer.channel.PeerUid() != 0) return false;
  if (hello.role != Role::kMain && (hello.role != Role::kWorker || hello.slot >= WEFT_MAX_WORKERS)) return false;
  if (hello.role == Role::kWorker) {
    ForEachWorker([&](Peer& other) { other.broken = other.broken || other.slot == hello.slot; });
  }
  peer.role = hello.role;
  peer.slot = hello.slot;
  if (hello.role == Role::kWorker) {
    for (const auto& [id, pod] : pods_) SendListener(peer, pod);
  }
  return true;
}

void Broker::HandleAddPod(Peer& peer, const AddPod& request, Descriptor netns) {
  const int error = OpenPod(request, std::move(netns));
  const auto pod = pods_.find(request.pod);
  Send(peer, PodAdded{Type::kPodAdded, request.pod, error, error == 0 ? pod->second.port : 0u});
}

int Broker::OpenPod(const AddPod& request, Descriptor netns) {
  struct stat identity;
  if (fstat(netns.get(), &identity) != 0) return errno;
  const auto known = pods_.find(request.pod);
  if (known != pods_.end() && known->second.netns_inode == identity.st_ino &&
      known->second.listeners.size() == request.workers) {
    if (PutIntoMap(known->second)) return 0;
    const int error = errno;
    RemovePod(request.pod);
    return error;
  }
  if (known != pods_.end()) RemovePod(request.pod);
  if (pods_.size() >= WEFT_MAX_PODS) return ENOSPC;
  Pod pod;
  pod.netns = std::move(netns);
  pod.netns_inode = identity.st_ino;
  pod.description = request;
  const std::vector<uint16_t> avoided(request.avoided, request.avoided + request.avoided_count);
  if (const int error =
          MakeListeners(pod.netns.get(), request.ipv6 != 0, request.workers, avoided, &pod.listeners, &pod.port))
    return error;
  // Closing the listeners takes them out of the map again.
  if (!PutIntoMap(pod)) return errno;
  ForEachWorker([&](Peer& worker) { SendListener(worker, pod); });
  pods_.emplace(request.pod, std::move(pod));
  return 0;
}

bool Broker::PutIntoMap(const Pod& pod) {
  for (uint32_t worker = 0; worker < pod.listeners.size(); worker++) {
    const listener_key key{pod.description.pod, worker};
    const uint64_t value = static_cast<uint64_t>(pod.listeners[worker].get());
    if (BpfMap(BPF_MAP_UPDATE_ELEM, listener_map_.get(), &key, &value) != 0) return false;
  }
  return true;
}

void Broker::RemovePod(uint32_t id) {
  const auto found = pods_.find(id);
  if (found == pods_.end()) return;
  for (uint32_t worker = 0; worker < found->second.listeners.size(); worker++) {
    const listener_key key{id, worker};
    BpfMap(BPF_MAP_DELETE_ELEM, listener_map_.get(), &key, nullptr);
  }
  pods_.erase(found);
  ForEachWorker([&](Peer& worker) { Send(worker, ListenerGone{Type::kListenerGone, id}); });
}

void Broker::HandleSocketsWanted(Peer& peer, const SocketsWanted& request) {
  std::vector<Descriptor> sockets;
  const auto pod = pods_.find(request.pod);
  const int error =
      pod == pods_.end() ? ENOENT : MakeSockets(pod->second.netns.get(), request.family == 6, request.count, &sockets);
  std::vector<int> descriptors;
  for (const Descriptor& socket : sockets) descriptors.push_back(socket.get());
  Send(peer, Sockets{Type::kSockets, request.pod, request.family, static_cast<uint32_t>(descriptors.size()), error},
       descriptors);
}

void Broker::HandleProve(Peer& peer, const Prove& request, const Descriptor& cgroup_processes) {
  const auto pod = pods_.find(request.pod);
  if (pod == pods_.end() || proofs_.size() >= kMaximumProofs) {
    Send(peer, Proved{Type::kProved, request.pod, pod == pods_.end() ? ENOENT : EAGAIN, 0});
    return;
  }
  Prover prover = StartProver(request, pod->second.netns.get(), cgroup_processes.get());
  if (!prover.result) {
    Send(peer, Proved{Type::kProved, request.pod, errno, 0});
    return;
  }
  const int descriptor = prover.result.get();
  Watch(descriptor, EPOLLIN, EPOLL_CTL_ADD);
  proofs_.emplace(descriptor, RunningProof{std::move(prover), request.pod, peer.channel.descriptor()});
}

void Broker::FinishProof(int descriptor) {
  const auto proof = proofs_.find(descriptor);
  const ProofResult result = FinishProver(proof->second.prover);
  const auto peer = peers_.find(proof->second.peer);
  if (peer != peers_.end())
    Send(*peer->second, Proved{Type::kProved, proof->second.pod, result.error, result.source_port});
  Watch(descriptor, 0, EPOLL_CTL_DEL);  // another prover may hold a copy for a moment
  proofs_.erase(proof);
}

// The map's entries are the successor's by now; a closed listener takes out only itself.
void Broker::StartDrain(const Drain& request) {
  itimerspec grace{};
  grace.it_value.tv_sec = request.grace_ms / 1000;
  grace.it_value.tv_nsec = static_cast<long>(request.grace_ms % 1000) * 1000000 + 1;
  timerfd_settime(drain_timer_.get(), 0, &grace, nullptr);
  for (const auto& [descriptor, peer] : peers_) Send(*peer, request);
}

void Broker::SendListener(Peer& peer, const Pod& pod) {
  if (peer.slot >= pod.listeners.size()) return;
  const int descriptor = pod.listeners[peer.slot].get();
  const AddPod& description = pod.description;
  Send(peer, Listener{Type::kListener, description.pod, pod.port, description.ipv4, description.ipv6_address},
       std::span(&descriptor, 1));
}

template <typename T>
void Broker::Send(Peer& peer, const T& message, std::span<const int> descriptors) {
  if (!peer.channel.Send(BytesOf(message), descriptors)) peer.broken = true;
  if (peer.channel.HasQueued()) Watch(peer.channel.descriptor(), EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

template <typename Visit>
void Broker::ForEachWorker(Visit visit) {
  for (const auto& [descriptor, peer] : peers_) {
    if (peer->role == Role::kWorker && !peer->broken) visit(*peer);
  }
}

void Broker::RemoveBrokenPeers() {
  std::erase_if(peers_, [this](const auto& entry) {
    if (!entry.second->broken) return false;
    Watch(entry.first, 0, EPOLL_CTL_DEL);  // likewise
    // The next peer may get the same descriptor.
    for (auto& [result, proof] : proofs_)
      if (proof.peer == entry.first) proof.peer = kNobody;
    return true;
  });
}

}  // namespace weft::broker
