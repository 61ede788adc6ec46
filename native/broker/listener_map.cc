#include "listener_map.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#include <cerrno>

#include "protocol.h"

namespace weft::broker {
namespace {

int Call(bpf_cmd command, int map, const listener_key& key, const uint64_t* value) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(map);
  attributes.key = reinterpret_cast<uint64_t>(&key);
  attributes.value = reinterpret_cast<uint64_t>(value);
  return syscall(SYS_bpf, command, &attributes, sizeof attributes) == 0 ? 0 : errno;
}

}  // namespace

int ListenerMap::Put(uint32_t pod, uint32_t worker, int listener) const {
  const uint64_t value = static_cast<uint64_t>(listener);
  return Call(BPF_MAP_UPDATE_ELEM, map_.get(), {pod, worker}, &value);
}

void ListenerMap::Delete(uint32_t pod, uint32_t worker) const {
  Call(BPF_MAP_DELETE_ELEM, map_.get(), {pod, worker}, nullptr);
}

}  // namespace weft::broker
