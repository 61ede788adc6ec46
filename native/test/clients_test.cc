// The client's address is announced before the app is dialled. Runs in a network namespace of its own: needs root.
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>

#include "check.h"
#include "mesh.h"

namespace weft::test {
namespace {

Descriptor NewClientsMap() {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_type = BPF_MAP_TYPE_HASH;
  attributes.key_size = sizeof(struct client_key);
  attributes.value_size = sizeof(struct client);
  attributes.max_entries = 64;
  return Descriptor(static_cast<int>(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes)));
}

bool LookUp(const Descriptor& map, const struct client_key& key, struct client* value) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_fd = static_cast<uint32_t>(map.get());
  attributes.key = reinterpret_cast<uintptr_t>(&key);
  attributes.value = reinterpret_cast<uintptr_t>(value);
  return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attributes, sizeof attributes) == 0;
}

bool IsEmpty(const Descriptor& map) {
  struct client_key first;
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_fd = static_cast<uint32_t>(map.get());
  attributes.next_key = reinterpret_cast<uintptr_t>(&first);
  return syscall(SYS_bpf, BPF_MAP_GET_NEXT_KEY, &attributes, sizeof attributes) != 0 && errno == ENOENT;
}

// Gives lo the source block, as enrolment does in a pod.
void SetUpLoopback() {
  const Descriptor control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
  CHECK(ioctl(control.get(), SIOCSIFFLAGS, &request) == 0);
  strcpy(request.ifr_name, "lo:1");
  auto& address = reinterpret_cast<sockaddr_in&>(request.ifr_addr);
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(WEFT_SOURCE_PREFIX_V4);
  CHECK(ioctl(control.get(), SIOCSIFADDR, &request) == 0);
  address.sin_addr.s_addr = htonl(~0u << (32 - WEFT_SOURCE_PREFIX_LENGTH_V4));
  CHECK(ioctl(control.get(), SIOCSIFNETMASK, &request) == 0);
}

// A thread keeps its network namespace to itself, and gives it to the threads that it makes.
template <typename Body>
void InOwnNamespace(Body body) {
  std::exception_ptr failure;
  std::thread thread([&] {
    try {
      if (unshare(CLONE_NEWNET) != 0) throw Skip{"may not make a network namespace"};
      SetUpLoopback();
      body();
    } catch (...) {
      failure = std::current_exception();
    }
  });
  thread.join();
  if (failure) std::rethrow_exception(failure);
}

TEST("the client is announced from the source block") {
  InOwnNamespace([] {
    MeshOptions options;
    const Descriptor map = NewClientsMap();
    if (!map) throw Skip{"may not make a BPF map"};
    options.clients_map = map.get();
    Mesh mesh(options);
    for (int i = 0; i < 20; i++) {
      const auto [client, app] = mesh.Pair();
      const Endpoint source = PeerEndpoint(app);
      CHECK_EQUAL(ntohl(*reinterpret_cast<const uint32_t*>(source.address.bytes + 12)) >> 8,
                  WEFT_SOURCE_PREFIX_V4 >> 8);
      const Endpoint destination = LocalEndpoint(app);
      const struct client_key key { source.address, destination.address, htons(source.port), htons(destination.port) };
      struct client value;
      CHECK(LookUp(map, key, &value));  // there is no kernel program here that would take it
      const Endpoint own = LocalEndpoint(client);
      CHECK(memcmp(&value.address, &own.address, sizeof own.address) == 0);
      CHECK_EQUAL(ntohs(value.port), own.port);
    }
  });
}

TEST("an announcement is taken back when the app refuses") {
  InOwnNamespace([] {
    MeshOptions options;
    const Descriptor map = NewClientsMap();
    if (!map) throw Skip{"may not make a BPF map"};
    options.clients_map = map.get();
    Mesh mesh(options);
    mesh.app.Reset();
    CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
    CHECK_EQUAL(mesh.EndedAt(0).outcome.error, static_cast<uint32_t>(ECONNREFUSED));
    CHECK(IsEmpty(map));
  });
}

}  // namespace
}  // namespace weft::test
