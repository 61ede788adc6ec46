// The kernel side of one node: bpf/redirect.bpf.c loaded, its maps filled, its programs attached. native/capture.d.ts
// says what each call promises. All methods throw std::system_error.
#pragma once

#include <bpf/libbpf.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../../bpf/weft.h"
#include "descriptor.h"
#include "links.h"
#include "netns.h"
#include "pinned_maps.h"

namespace weft::capture {

struct CaptureOptions {
  std::string objects;
  std::string pin_folder;
  std::string cgroup;
  std::string agent_cgroup;
  std::optional<std::string> kubelet_cgroup;
};

struct PodCapture {
  uint32_t id = 0;
  uint32_t workers = 0;
  std::optional<Address> ipv4;
  std::optional<Address> ipv6;
  std::vector<std::pair<uint16_t, uint16_t>> skip_inbound_ports;
  std::vector<std::pair<uint16_t, uint16_t>> skip_outbound_ports;
  std::vector<std::pair<Address, uint8_t>> skip_subnets;
};

struct AdoptedPod {
  uint64_t cookie;
  struct pod pod;
};

class Capture {
 public:
  explicit Capture(CaptureOptions options);

  void Attach();
  bool FollowKubelet();
  int MapDescriptor(const char* name) const;
  std::vector<AdoptedPod> Adopted() const;
  void Enrol(int netns, const PodCapture& pod);
  bool Mend(int netns, const PodCapture& pod);
  void Release(int netns, uint32_t id);
  void CleanNamespace(int netns);
  void Forget(uint64_t cookie);
  std::vector<uint64_t> Counters() const;
  std::vector<ForeignProgram> ForeignPrograms() const;

 private:
  int Program(const char* name) const;
  std::string NetnsPin(uint64_t cookie) const;
  std::string ProbePin() const;
  void PrepareNamespace(int netns, const PodCapture& pod);
  bool IsNamespacePrepared(int netns, const PodCapture& pod) const;
  void AttachToDevices(int netns, const PodCapture& pod);
  void DetachFromDevices(int netns);
  void WriteSkips(const PodCapture& pod);
  void RemoveEntries(uint64_t cookie, uint32_t id);

  CaptureOptions options_;
  std::unique_ptr<bpf_object, void (*)(bpf_object*)> object_{nullptr, bpf_object__close};
  std::unique_ptr<PinnedMaps> maps_;
};

// Detaches and unpins everything below the folder, of whatever layout.
void Uninstall(const std::string& pin_folder);

}  // namespace weft::capture
