#include "pods.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "pod_sockets.h"

namespace weft::broker {
namespace {

bool IsSame(const struct address& a, const struct address& b) { return memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

const Pod* Pods::Find(uint32_t id) const {
  const auto found = pods_.find(id);
  return found == pods_.end() ? nullptr : &found->second;
}

bool Pods::IsKnown(const AddPod& description, int netns) const {
  const Pod* pod = Find(description.pod);
  struct stat identity;
  // The number of an inode says nothing without its device: nsfs is one of many filesystems (stat(2)).
  return pod != nullptr && fstat(netns, &identity) == 0 && identity.st_dev == pod->netns_device &&
         identity.st_ino == pod->netns_inode && description.workers == pod->description.workers &&
         description.ipv6 == pod->description.ipv6 && IsSame(description.ipv4, pod->description.ipv4) &&
         IsSame(description.ipv6_address, pod->description.ipv6_address);
}

int Pods::Add(const AddPod& description, Descriptor netns) {
  if (pods_.size() >= WEFT_MAX_PODS) return ENOSPC;
  struct stat identity;
  if (fstat(netns.get(), &identity) != 0) return errno;
  Pod pod;
  pod.description = description;
  pod.netns = std::move(netns);
  pod.netns_device = identity.st_dev;
  pod.netns_inode = identity.st_ino;
  const std::span avoided(description.avoided, description.avoided_count);
  int error = MakeListeners(pod.netns.get(), description.ipv6 != 0, description.workers, avoided, &pod.listeners,
                            &pod.port);
  if (error == 0) error = PutIntoMap(pod);
  if (error == 0) pods_.emplace(description.pod, std::move(pod));
  return error;
}

int Pods::PutIntoMapAgain(uint32_t id) {
  const int error = PutIntoMap(*Find(id));
  if (error != 0) Remove(id);
  return error;
}

int Pods::PutIntoMap(const Pod& pod) const {
  const uint32_t id = pod.description.pod;
  for (uint32_t worker = 0; worker < pod.listeners.size(); worker++) {
    if (const int error = map_.Put(id, worker, pod.listeners[worker].get())) {
      while (worker-- > 0) map_.Delete(id, worker);
      return error;
    }
  }
  return 0;
}

bool Pods::Remove(uint32_t id) {
  const Pod* pod = Find(id);
  if (pod == nullptr) return false;
  // Workers hold the listeners open for a while yet, so closing them here would not take them out.
  for (uint32_t worker = 0; owns_map_ && worker < pod->listeners.size(); worker++) map_.Delete(id, worker);
  pods_.erase(id);
  return true;
}

void Pods::CloseListeners() {
  for (auto& [id, pod] : pods_) pod.listeners.clear();
}

}  // namespace weft::broker
