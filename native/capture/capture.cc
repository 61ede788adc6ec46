#include "capture.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "error.h"
#include "ingress_program.h"
#include "netlink.h"
#include "skips.h"

namespace weft::capture {
namespace {

struct CgroupProgram {
  const char* name;
  bpf_attach_type type;
};
// In the order in which a half-finished attachment is harmless: the guard before what it guards.
constexpr CgroupProgram kCgroupPrograms[] = {
    {"weft_egress", BPF_CGROUP_INET_EGRESS},
    {"weft_established", BPF_CGROUP_SOCK_OPS},
    {"weft_getpeername4", BPF_CGROUP_INET4_GETPEERNAME},
    {"weft_getpeername6", BPF_CGROUP_INET6_GETPEERNAME},
    {"weft_connect4", BPF_CGROUP_INET4_CONNECT},
    {"weft_connect6", BPF_CGROUP_INET6_CONNECT},
};

Descriptor OpenCgroup(const std::string& path) {
  Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) ThrowErrno("cannot open the cgroup " + path);
  return directory;
}

uint64_t CgroupId(const std::string& path) {
  struct stat directory;
  if (stat(path.c_str(), &directory) != 0) ThrowErrno("cannot find the cgroup " + path);
  return directory.st_ino;
}

void CopyAddress(struct address& to, const std::optional<Address>& from) {
  if (from) memcpy(to.bytes, from->data(), from->size());
}

void Update(int map, const void* key, const void* value, const char* what) {
  if (bpf_map_update_elem(map, key, value, BPF_ANY) != 0) ThrowErrno(std::string("cannot write to the map ") + what);
}

// Deletes the pod's keys that are not in `wanted`, comparing bytes.
template <typename Key>
void DeleteStale(int map, uint32_t pod, const std::vector<Key>& wanted) {
  std::vector<Key> stale;
  Key key;
  for (bool more = bpf_map_get_next_key(map, nullptr, &key) == 0; more;
       more = bpf_map_get_next_key(map, &key, &key) == 0) {
    if (be32toh(key.pod) != pod) continue;
    const bool is_wanted =
        std::ranges::any_of(wanted, [&](const Key& other) { return memcmp(&key, &other, sizeof key) == 0; });
    if (!is_wanted) stale.push_back(key);
  }
  for (const Key& old : stale) bpf_map_delete_elem(map, &old);
}

std::set<unsigned> DevicesOf(int netns, const PodCapture& pod) {
  std::set<unsigned> devices;
  for (const auto& [interface, address] : GlobalAddresses(netns)) {
    if (address == pod.ipv4 || address == pod.ipv6) devices.insert(interface);
  }
  return devices;
}

void SetLibraryLog(std::string* log) {
  static thread_local std::string* sink;
  sink = log;
  libbpf_set_print([](libbpf_print_level level, const char* format, va_list arguments) {
    if (level == LIBBPF_DEBUG || sink == nullptr) return 0;
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    if (sink->size() < 16384) *sink += line;
    return 0;
  });
}

}  // namespace

Capture::Capture(CaptureOptions options) : options_(std::move(options)) {
  std::string log;
  SetLibraryLog(&log);
  const std::string path = options_.objects + "/redirect.bpf.o";
  object_.reset(bpf_object__open_file(path.c_str(), nullptr));
  if (!object_) ThrowErrno("cannot open " + path);
  std::filesystem::create_directories(options_.pin_folder);
  maps_ = std::make_unique<PinnedMaps>(options_.pin_folder, object_.get());
  maps_->Reuse();
  const int error = bpf_object__load(object_.get());
  SetLibraryLog(nullptr);
  if (error != 0) ThrowError(-error, "the kernel refused " + path + "; is it Linux 6.1 or newer, with BTF? " + log);
  maps_->PinAndMigrate();
  const uint64_t agent = CgroupId(options_.agent_cgroup);
  const uint8_t present = 1;
  Update(MapDescriptor("agent_cgroups"), &agent, &present, "agent_cgroups");
}

void Capture::Attach() {
  const Descriptor cgroup = OpenCgroup(options_.cgroup);
  for (const AdoptedPod& adopted : Adopted()) {
    const Descriptor link(bpf_obj_get(NetnsPin(adopted.cookie).c_str()));
    // A link whose namespace is gone cannot be updated (ENOLINK); its pod is about to be forgotten.
    if (link && bpf_link_update(link.get(), Program("weft_lookup"), nullptr) != 0 && errno != ENOLINK) {
      ThrowErrno("cannot replace a pod's lookup program");
    }
  }
  for (const auto& [name, type] : kCgroupPrograms) {
    AttachPinned(options_.pin_folder + "/link-" + name, Program(name), cgroup.get(), type);
  }
  if (options_.kubelet_cgroup) {
    const Descriptor kubelet = OpenCgroup(*options_.kubelet_cgroup);
    AttachPinned(ProbePin(), Program("weft_probe"), kubelet.get(), BPF_CGROUP_SOCK_OPS);
  } else {
    Detach(ProbePin());
  }
  maps_->RemoveOutdated();
}

bool Capture::FollowKubelet() {
  if (!options_.kubelet_cgroup || !std::filesystem::exists(*options_.kubelet_cgroup)) return false;
  const Descriptor kubelet = OpenCgroup(*options_.kubelet_cgroup);
  if (IsAttached(ProbePin(), kubelet.get(), BPF_CGROUP_SOCK_OPS)) return false;
  AttachPinned(ProbePin(), Program("weft_probe"), kubelet.get(), BPF_CGROUP_SOCK_OPS);
  return true;
}

int Capture::Program(const char* name) const {
  const bpf_program* program = bpf_object__find_program_by_name(object_.get(), name);
  if (program == nullptr) ThrowError(ENOENT, std::string("the object has no program ") + name);
  return bpf_program__fd(program);
}

int Capture::MapDescriptor(const char* name) const {
  const int descriptor = bpf_object__find_map_fd_by_name(object_.get(), name);
  if (descriptor < 0) ThrowError(ENOENT, std::string("the object has no map ") + name);
  return descriptor;
}

std::string Capture::NetnsPin(uint64_t cookie) const {
  return options_.pin_folder + "/netns-" + std::to_string(cookie);
}

std::string Capture::ProbePin() const { return options_.pin_folder + "/link-weft_probe"; }

std::vector<AdoptedPod> Capture::Adopted() const {
  const int pods = MapDescriptor("pods");
  std::vector<AdoptedPod> result;
  uint64_t cookie;
  for (bool more = bpf_map_get_next_key(pods, nullptr, &cookie) == 0; more;
       more = bpf_map_get_next_key(pods, &cookie, &cookie) == 0) {
    AdoptedPod adopted{cookie, {}};
    if (bpf_map_lookup_elem(pods, &cookie, &adopted.pod) == 0) result.push_back(adopted);
  }
  return result;
}

void Capture::Enrol(int netns, const PodCapture& pod) {
  const uint64_t cookie = NetnsCookie(netns);
  PrepareNamespace(netns, pod);
  WriteSkips(pod);
  AttachPinned(NetnsPin(cookie), Program("weft_lookup"), netns, BPF_SK_LOOKUP);
  const pod_address by_address{pod.id, pod.workers};
  for (const std::optional<Address>& address : {pod.ipv4, pod.ipv6}) {
    if (address) Update(MapDescriptor("addresses"), address->data(), &by_address, "addresses");
  }
  struct pod entry {};
  entry.id = pod.id;
  entry.workers = pod.workers;
  CopyAddress(entry.ipv4, pod.ipv4);
  CopyAddress(entry.ipv6, pod.ipv6);
  Update(MapDescriptor("pods"), &cookie, &entry, "pods");
}

// Open connections have found another way meanwhile, and over IPv6 only a new rule makes them look for routes again.
bool Capture::Mend(int netns, const PodCapture& pod) {
  if (IsNamespacePrepared(netns, pod)) return false;
  CleanNamespace(netns);
  PrepareNamespace(netns, pod);
  if (!IsNamespacePrepared(netns, pod))
    ThrowError(ENETUNREACH, "another rule or route of the network namespace comes before those of the capture");
  return true;
}

void Capture::PrepareNamespace(int netns, const PodCapture& pod) {
  {
    EnteredNetns entered(netns);
    BringLoopbackUp();
    if (pod.ipv4) AddCaptureRoutes(*pod.ipv4);
    if (pod.ipv6) AddCaptureRoutes(*pod.ipv6);
  }
  AttachToDevices(netns, pod);
}

bool Capture::IsNamespacePrepared(int netns, const PodCapture& pod) const {
  const std::set<unsigned> devices = DevicesOf(netns, pod);
  EnteredNetns entered(netns);
  return !devices.empty() && (!pod.ipv4 || CaptureRoutesWork(true)) && (!pod.ipv6 || CaptureRoutesWork(false)) &&
         std::ranges::all_of(
             devices, [this](unsigned device) { return IsIngressProgramAttached(device, Program("weft_ingress")); });
}

void Capture::WriteSkips(const PodCapture& pod) {
  std::vector<skip_port_key> ports;
  for (const auto& [first, last] : pod.skip_inbound_ports) {
    std::ranges::copy(SkipPortKeys(pod.id, WEFT_INBOUND, first, last), std::back_inserter(ports));
  }
  for (const auto& [first, last] : pod.skip_outbound_ports) {
    std::ranges::copy(SkipPortKeys(pod.id, WEFT_OUTBOUND, first, last), std::back_inserter(ports));
  }
  std::vector<skip_subnet_key> subnets;
  for (const auto& [network, length] : pod.skip_subnets) subnets.push_back(SkipSubnetKey(pod.id, network, length));
  const uint8_t present = 1;
  for (const skip_port_key& key : ports) Update(MapDescriptor("skip_ports"), &key, &present, "skip_ports");
  for (const skip_subnet_key& key : subnets) Update(MapDescriptor("skip_subnets"), &key, &present, "skip_subnets");
  DeleteStale(MapDescriptor("skip_ports"), pod.id, ports);
  DeleteStale(MapDescriptor("skip_subnets"), pod.id, subnets);
}

void Capture::AttachToDevices(int netns, const PodCapture& pod) {
  const std::set<unsigned> devices = DevicesOf(netns, pod);
  if (devices.empty()) ThrowError(EADDRNOTAVAIL, "no device of the network namespace has the pod's address");
  EnteredNetns entered(netns);
  for (const unsigned device : devices) AttachIngressProgram(device, Program("weft_ingress"));
}

void Capture::DetachFromDevices(int netns) {
  std::set<unsigned> devices;
  for (const auto& [interface, address] : GlobalAddresses(netns)) devices.insert(interface);
  EnteredNetns entered(netns);
  for (const unsigned device : devices) DetachIngressProgram(device, Program("weft_ingress"));
}

void Capture::RemoveEntries(uint64_t cookie, uint32_t id) {
  struct pod entry {};
  const int pods = MapDescriptor("pods"), addresses = MapDescriptor("addresses");
  if (bpf_map_lookup_elem(pods, &cookie, &entry) == 0) {
    bpf_map_delete_elem(pods, &cookie);
    for (const struct address& address : {entry.ipv4, entry.ipv6}) {
      pod_address owner{};
      // The address may belong to a successor of the pod by now.
      if (bpf_map_lookup_elem(addresses, &address, &owner) == 0 && owner.id == entry.id)
        bpf_map_delete_elem(addresses, &address);
    }
  }
  DeleteStale<skip_port_key>(MapDescriptor("skip_ports"), id, {});
  DeleteStale<skip_subnet_key>(MapDescriptor("skip_subnets"), id, {});
}

void Capture::Release(int netns, uint32_t id) {
  const uint64_t cookie = NetnsCookie(netns);
  RemoveEntries(cookie, id);
  Detach(NetnsPin(cookie));
  DetachFromDevices(netns);
}

void Capture::CleanNamespace(int netns) {
  EnteredNetns entered(netns);
  RemoveCaptureRoutes(true);
  RemoveCaptureRoutes(false);
}

void Capture::Forget(uint64_t cookie) {
  struct pod entry {};
  if (bpf_map_lookup_elem(MapDescriptor("pods"), &cookie, &entry) == 0) RemoveEntries(cookie, entry.id);
  Detach(NetnsPin(cookie));
}

std::vector<uint64_t> Capture::Counters() const {
  std::vector<uint64_t> result(WEFT_COUNTERS);
  std::vector<uint64_t> cells(static_cast<size_t>(libbpf_num_possible_cpus()));
  for (uint32_t counter = 0; counter < WEFT_COUNTERS; counter++) {
    if (bpf_map_lookup_elem(MapDescriptor("counters"), &counter, cells.data()) != 0)
      ThrowErrno("cannot read the counters");
    for (const uint64_t cell : cells) result[counter] += cell;
  }
  return result;
}

std::vector<ForeignProgram> Capture::ForeignPrograms() const {
  return ForeignConnectPrograms(options_.cgroup, {"weft_connect4", "weft_connect6"});
}

void Uninstall(const std::string& pin_folder) {
  if (!std::filesystem::exists(pin_folder)) return;
  std::vector<std::string> pins;
  for (const auto& entry : std::filesystem::directory_iterator(pin_folder)) pins.push_back(entry.path().string());
  for (const std::string& pin : pins) {
    const std::string name = std::filesystem::path(pin).filename().string();
    if (name.starts_with("link-") || name.starts_with("netns-")) {
      Detach(pin);
    } else {
      unlink(pin.c_str());
    }
  }
  std::filesystem::remove(pin_folder);
}

}  // namespace weft::capture
