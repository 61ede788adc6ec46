// Listeners and sockets of pods.
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>

#include "../../test/check.h"
#include "running_broker.h"

namespace weft::broker::test {
namespace {

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

uint64_t NetnsCookieOf(int socket) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
  return cookie;
}

uint64_t NetnsCookie(const PodNetns& pod) {
  return pod.Inside([] { return NetnsCookieOf(Descriptor(socket(AF_INET, SOCK_STREAM, 0)).get()); });
}

bool IsInMap(int map, uint32_t pod, uint32_t worker) {
  const listener_key key{pod, worker};
  uint64_t cookie = 0;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = reinterpret_cast<uint64_t>(&key);
  attributes.value = reinterpret_cast<uint64_t>(&cookie);
  return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attributes, sizeof attributes) == 0;
}

int ConnectTo(const PodNetns& pod, int family, uint32_t port) {
  return pod.Inside([&] {
    const Descriptor client(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(static_cast<uint16_t>(port));
    ipv6.sin6_addr = in6addr_loopback;
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = ipv6.sin6_port;
    ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int result = family == AF_INET ? connect(client.get(), reinterpret_cast<sockaddr*>(&ipv4), sizeof ipv4)
                                         : connect(client.get(), reinterpret_cast<sockaddr*>(&ipv6), sizeof ipv6);
    return result == 0 ? 0 : errno;
  });
}

uint32_t Add(Peer& main, const AddPod& request, const PodNetns& pod) {
  const PodAdded added = AddTo(main, request, pod);
  CHECK_EQUAL(added.pod, request.pod);
  CHECK_EQUAL(added.error, 0);
  return added.port;
}

TEST("every worker has a listener of its own in the pod, on one port and for both families") {
  RunningBroker broker;
  Peer main = broker.Main();
  Peer early = broker.Worker(0);
  const PodNetns pod;
  const uint32_t port = Add(main, AddPodMessage(7, 2), pod);
  CHECK(port >= kFirstListenerPort && port <= kLastListenerPort);
  Peer late = broker.Worker(1);
  for (Peer* worker : {&early, &late}) {
    Received received = worker->ExpectMessage(Type::kListener);
    CHECK_EQUAL(received.As<Listener>().pod, 7u);
    CHECK_EQUAL(received.As<Listener>().port, port);
    CHECK_EQUAL(received.descriptors.size(), 1u);
    CHECK_EQUAL(NetnsCookieOf(received.descriptors[0].get()), NetnsCookie(pod));
  }
  CHECK(IsInMap(broker.listener_map(), 7, 0) && IsInMap(broker.listener_map(), 7, 1));
  CHECK(!IsInMap(broker.listener_map(), 7, 2));
  CHECK_EQUAL(ConnectTo(pod, AF_INET, port), 0);
  CHECK_EQUAL(ConnectTo(pod, AF_INET6, port), 0);
}

TEST("a removed pod has no listener, in no place") {
  RunningBroker broker;
  Peer main = broker.Main();
  Peer worker = broker.Worker(0);
  const PodNetns pod;
  const auto add_and_remove = [&] {
    const uint32_t port = Add(main, AddPodMessage(7, 3), pod);
    worker.ExpectMessage(Type::kListener);
    main.Send(RemovePod{Type::kRemovePod, 7});
    CHECK_EQUAL(worker.Expect<ListenerGone>(Type::kListenerGone).pod, 7u);
    return port;
  };
  add_and_remove();  // then the broker knows its peers, and has opened its own network namespace
  const int before = broker.Descriptors();
  const uint32_t port = add_and_remove();
  CHECK_EQUAL(broker.Descriptors(), before);
  CHECK(!IsInMap(broker.listener_map(), 7, 0));
  CHECK_EQUAL(ConnectTo(pod, AF_INET, port), ECONNREFUSED);
}

TEST("sockets are of the pod's namespace, of the family, non-blocking and without delay") {
  RunningBroker broker;
  Peer main = broker.Main();
  Peer worker = broker.Worker(0);
  const PodNetns pod;
  Add(main, AddPodMessage(7, 1), pod);
  worker.ExpectMessage(Type::kListener);
  for (const uint32_t family : {4u, 6u}) {
    worker.Send(SocketsWanted{Type::kSocketsWanted, 7, family, 5});
    const Received received = worker.ExpectMessage(Type::kSockets);
    CHECK_EQUAL(received.As<Sockets>().family, family);
    CHECK_EQUAL(received.descriptors.size(), 5u);
    for (const Descriptor& socket : received.descriptors) {
      CHECK_EQUAL(NetnsCookieOf(socket.get()), NetnsCookie(pod));
      int domain = 0, no_delay = 0, keep_alive = 0, user_timeout = -1;
      socklen_t size = sizeof domain;
      getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size);
      getsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
      CHECK_EQUAL(domain, family == 4 ? AF_INET : AF_INET6);
      CHECK_EQUAL(no_delay, 1);
      getsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &keep_alive, &size);
      getsockopt(socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, &size);
      CHECK_EQUAL(keep_alive, 1);
      CHECK_EQUAL(user_timeout, 0);  // or an app that rests for longer would lose its connection
    }
  }
  worker.Send(SocketsWanted{Type::kSocketsWanted, 8, 4, 5});
  const auto none = worker.Expect<Sockets>(Type::kSockets);
  CHECK_EQUAL(none.error, ENOENT);
}

TEST("the port is none that is taken or avoided") {
  RunningBroker broker;
  Peer main = broker.Main();
  const PodNetns pod;
  AddPod request = AddPodMessage(1, 1);
  for (uint32_t id = 1; id <= 32; id++) {
    request.pod = id;
    const uint32_t port = Add(main, request, pod);
    for (uint32_t i = 0; i < request.avoided_count; i++) CHECK(port != request.avoided[i]);
    request.avoided[request.avoided_count++] = static_cast<uint16_t>(port);
  }
}

TEST("the same pod again keeps its listeners, in another namespace it gets new ones") {
  RunningBroker broker;
  Peer main = broker.Main();
  const PodNetns pod, successor;
  const uint32_t port = Add(main, AddPodMessage(7, 2), pod);
  CHECK_EQUAL(Add(main, AddPodMessage(7, 2), pod), port);
  const uint32_t moved = Add(main, AddPodMessage(7, 2), successor);
  CHECK_EQUAL(ConnectTo(successor, AF_INET, moved), 0);
  CHECK_EQUAL(ConnectTo(pod, AF_INET, port), ECONNREFUSED);
}

TEST("a pod that could not be put into the map is gone, also where it was there before") {
  RunningBroker broker;
  Peer main = broker.Main();
  Peer worker = broker.Worker(0);
  const PodNetns pod;
  const uint32_t port = Add(main, AddPodMessage(7, 1), pod);
  worker.ExpectMessage(Type::kListener);
  const int no_map = pod.get();
  main.Send(SetListenerMap{Type::kSetListenerMap}, std::span(&no_map, 1));
  for (int attempt = 0; attempt < 2; attempt++) {
    const int netns = pod.get();
    main.Send(AddPodMessage(7, 1), std::span(&netns, 1));
    CHECK(main.Expect<PodAdded>(Type::kPodAdded).error != 0);
  }
  CHECK_EQUAL(worker.Expect<ListenerGone>(Type::kListenerGone).pod, 7u);
  CHECK_EQUAL(ConnectTo(pod, AF_INET, port), ECONNREFUSED);
}

}  // namespace
}  // namespace weft::broker::test
