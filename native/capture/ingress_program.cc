#include "ingress_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "descriptor.h"
#include "error.h"

namespace weft::capture {
namespace {

// <linux/bpf.h> of Linux 6.6, which Debian 12 does not have.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr uint32_t kBefore = 1 << 3;  // with no other program named: before all

constexpr uint32_t kFilterHandle = 0x7766;
constexpr uint32_t kFilterPriority = 1;

struct ClsactFilter {
  explicit ClsactFilter(unsigned device) {
    hook.sz = sizeof hook;
    hook.ifindex = static_cast<int>(device);
    hook.attach_point = BPF_TC_INGRESS;
    options.sz = sizeof options;
    options.handle = kFilterHandle;
    options.priority = kFilterPriority;
  }
  bpf_tc_hook hook{};
  bpf_tc_opts options{};
};

bpf_prog_info InfoOf(int program) {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) ThrowErrno("cannot ask about a program");
  return info;
}

// Undefined where the kernel has no TCX.
std::optional<std::vector<uint32_t>> TcxPrograms(unsigned device) {
  uint32_t flags = 0, count = 64;
  std::vector<uint32_t> ids(count);
  // A device is named where other kinds of attachment name a descriptor: both are the first field of the attributes.
  if (bpf_prog_query(static_cast<int>(device), kTcxIngress, 0, &flags, ids.data(), &count) != 0) {
    if (errno == ENOENT) return std::vector<uint32_t>{};
    if (errno == EINVAL) return std::nullopt;
    ThrowErrno("cannot ask for the programs of the pod's device");
  }
  ids.resize(count);
  return ids;
}

// Those of this name, whichever agent has attached them.
std::vector<Descriptor> Namesakes(const std::vector<uint32_t>& ids, const bpf_prog_info& ours) {
  std::vector<Descriptor> result;
  for (const uint32_t id : ids) {
    Descriptor program(bpf_prog_get_fd_by_id(id));
    if (program && strcmp(InfoOf(program.get()).name, ours.name) == 0) result.push_back(std::move(program));
  }
  return result;
}

void AttachByTcx(unsigned device, int program, const std::vector<uint32_t>& ids) {
  const bpf_prog_info ours = InfoOf(program);
  if (std::ranges::find(ids, ours.id) == ids.end()) {
    LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = kBefore);
    if (bpf_prog_attach_opts(program, static_cast<int>(device), kTcxIngress, &options) != 0)
      ThrowErrno("cannot attach the ingress program to the pod's device");
  }
  for (const Descriptor& earlier : Namesakes(ids, ours)) {
    if (InfoOf(earlier.get()).id != ours.id) bpf_prog_detach2(earlier.get(), static_cast<int>(device), kTcxIngress);
  }
}

void AttachByFilter(unsigned device, int program) {
  ClsactFilter filter(device);
  const int hook_error = bpf_tc_hook_create(&filter.hook);
  if (hook_error != 0 && hook_error != -EEXIST)
    ThrowError(-hook_error, "cannot make a clsact qdisc on the pod's device");
  filter.options.prog_fd = program;
  filter.options.flags = BPF_TC_F_REPLACE;
  const int error = bpf_tc_attach(&filter.hook, &filter.options);
  if (error != 0) ThrowError(-error, "cannot attach the ingress program to the pod's device");
}

void RemoveFilter(unsigned device) {
  ClsactFilter filter(device);
  bpf_tc_detach(&filter.hook, &filter.options);
}

}  // namespace

void AttachIngressProgram(unsigned device, int program) {
  const std::optional<std::vector<uint32_t>> ids = TcxPrograms(device);
  if (!ids) return AttachByFilter(device, program);
  AttachByTcx(device, program, *ids);
  RemoveFilter(device);  // of an agent that knew no TCX
}

bool IsIngressProgramAttached(unsigned device, int program) {
  const uint32_t id = InfoOf(program).id;
  if (const std::optional<std::vector<uint32_t>> ids = TcxPrograms(device))
    return std::ranges::find(*ids, id) != ids->end();
  ClsactFilter filter(device);
  return bpf_tc_query(&filter.hook, &filter.options) == 0 && filter.options.prog_id == id;
}

void DetachIngressProgram(unsigned device, int program) {
  if (const std::optional<std::vector<uint32_t>> ids = TcxPrograms(device)) {
    for (const Descriptor& attached : Namesakes(*ids, InfoOf(program)))
      bpf_prog_detach2(attached.get(), static_cast<int>(device), kTcxIngress);
  }
  RemoveFilter(device);
}

}  // namespace weft::capture
