#include "pinned_maps.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <filesystem>

#include "descriptor.h"
#include "error.h"
#include "layout.h"

namespace weft::capture {
namespace {

std::string ShapeOf(uint32_t type, uint32_t flags, uint32_t max_entries) {
  return std::to_string(type) + "," + std::to_string(flags) + "," + std::to_string(max_entries);
}

// Sockets and counters of CPUs cannot be carried over: listeners are put in anew by the broker, counters begin again,
// and a socket's storage belongs to the map that it was made for.
bool IsMigrated(uint32_t type) {
  return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LPM_TRIE || type == BPF_MAP_TYPE_LRU_HASH;
}

}  // namespace

PinnedMaps::PinnedMaps(std::string folder, bpf_object* object) : folder_(std::move(folder)), object_(object) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_) {
    if (bpf_map__is_internal(map)) continue;
    const Layout layout = ReadLayout(bpf_object__btf(object_), bpf_map__btf_key_type_id(map),
                                     bpf_map__btf_value_type_id(map), bpf_map__key_size(map), bpf_map__value_size(map));
    const std::string name = bpf_map__name(map);
    const std::string hash =
        layout.Hash(ShapeOf(bpf_map__type(map), bpf_map__map_flags(map), bpf_map__max_entries(map)));
    pins_.push_back({map, name, folder_ + "/map-" + name + "-" + hash, false});
  }
}

void PinnedMaps::Reuse() {
  for (Pin& pin : pins_) {
    const Descriptor pinned(bpf_obj_get(pin.path.c_str()));
    if (!pinned) continue;
    if (bpf_map__reuse_fd(pin.map, pinned.get()) != 0) ThrowErrno("cannot adopt the pinned map " + pin.path);
    pin.reused = true;
  }
}

void PinnedMaps::PinAndMigrate() {
  for (const Pin& pin : pins_) {
    if (pin.reused) continue;
    for (const std::string& from : Outdated(pin)) Migrate(pin, from);
    if (bpf_obj_pin(bpf_map__fd(pin.map), pin.path.c_str()) != 0) ThrowErrno("cannot pin the map " + pin.path);
  }
}

void PinnedMaps::RemoveOutdated() {
  for (const Pin& pin : pins_) {
    for (const std::string& path : Outdated(pin)) unlink(path.c_str());
  }
}

std::vector<std::string> PinnedMaps::Outdated(const Pin& pin) const {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    const std::string path = entry.path().string();
    if (entry.path().filename().string().starts_with("map-" + pin.name + "-") && path != pin.path)
      result.push_back(path);
  }
  return result;
}

void PinnedMaps::Migrate(const Pin& pin, const std::string& from) const {
  if (!IsMigrated(bpf_map__type(pin.map))) return;
  const Descriptor old(bpf_obj_get(from.c_str()));
  if (!old) ThrowErrno("cannot open the pinned map " + from);
  bpf_map_info info{};
  uint32_t info_size = sizeof info;
  if (bpf_obj_get_info_by_fd(old.get(), &info, &info_size) != 0) ThrowErrno("cannot describe the pinned map " + from);
  btf* old_types = btf__load_from_kernel_by_id(info.btf_id);
  if (old_types == nullptr) ThrowErrno("the pinned map " + from + " has no type information");
  const Layout before =
      ReadLayout(old_types, info.btf_key_type_id, info.btf_value_type_id, info.key_size, info.value_size);
  btf__free(old_types);
  const Layout after =
      ReadLayout(bpf_object__btf(object_), bpf_map__btf_key_type_id(pin.map), bpf_map__btf_value_type_id(pin.map),
                 bpf_map__key_size(pin.map), bpf_map__value_size(pin.map));
  std::vector<uint8_t> key(info.key_size), value(info.value_size);
  for (bool more = bpf_map_get_next_key(old.get(), nullptr, key.data()) == 0; more;) {
    if (bpf_map_lookup_elem(old.get(), key.data(), value.data()) == 0) {
      const std::vector<uint8_t> new_key = Convert(key, before.key, after.key, after.key_size);
      const std::vector<uint8_t> new_value = Convert(value, before.value, after.value, after.value_size);
      if (bpf_map_update_elem(bpf_map__fd(pin.map), new_key.data(), new_value.data(), BPF_ANY) != 0) {
        ThrowErrno("cannot carry an entry of " + from + " over");
      }
    }
    more = bpf_map_get_next_key(old.get(), key.data(), key.data()) == 0;
  }
}

}  // namespace weft::capture
