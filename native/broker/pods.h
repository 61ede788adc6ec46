// The pods that the broker has listeners of.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "descriptor.h"
#include "listener_map.h"
#include "protocol.h"

namespace weft::broker {

struct Pod {
  AddPod description{};
  Descriptor netns;
  dev_t netns_device = 0;
  ino_t netns_inode = 0;
  uint16_t port = 0;
  std::vector<Descriptor> listeners;  // by worker
};

class Pods {
 public:
  void SetListenerMap(Descriptor map) { map_.Set(std::move(map)); }

  const Pod* Find(uint32_t id) const;
  const std::map<uint32_t, Pod>& all() const { return pods_; }

  // Whether the pod is known as described, in the very namespace.
  bool IsKnown(const AddPod& description, int netns) const;

  // Return 0 or an errno; after an error nothing of the pod is left. Add: of a pod that is not known.
  int Add(const AddPod& description, Descriptor netns);
  int PutIntoMapAgain(uint32_t id);

  // Returns whether it was known.
  bool Remove(uint32_t id);

  // From now on the map's entries are a successor's: they are not touched any more.
  void GiveUpMap() { owns_map_ = false; }
  void CloseListeners();

 private:
  int PutIntoMap(const Pod& pod) const;

  ListenerMap map_;
  bool owns_map_ = true;
  std::map<uint32_t, Pod> pods_;
};

}  // namespace weft::broker
