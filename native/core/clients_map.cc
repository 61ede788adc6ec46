#include "clients_map.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace weft::core {
namespace {

bpf_attr Attributes(int map, const void* key) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);  // the kernel refuses what is not zero beyond the members it expects
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = reinterpret_cast<uintptr_t>(key);
  return attributes;
}

}  // namespace

int ClientsMap::Announce(const struct client_key& key, const struct client& client) const {
  bpf_attr attributes = Attributes(map_, &key);
  attributes.value = reinterpret_cast<uintptr_t>(&client);
  return syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attributes, sizeof attributes) == 0 ? 0 : errno;
}

void ClientsMap::Withdraw(const struct client_key& key) const {
  bpf_attr attributes = Attributes(map_, &key);
  syscall(SYS_bpf, BPF_MAP_DELETE_ELEM, &attributes, sizeof attributes);
}

}  // namespace weft::core
