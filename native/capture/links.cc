#include "links.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "descriptor.h"
#include "error.h"

namespace weft::capture {
namespace {

bool IsAttachedTo(int link, int target, bpf_attach_type type) {
  bpf_link_info info{};
  uint32_t size = sizeof info;
  struct stat target_stat;
  if (bpf_obj_get_info_by_fd(link, &info, &size) != 0 || fstat(target, &target_stat) != 0) return false;
  // A cgroup's id is the inode number of its folder; a dead namespace's link tells inode 0.
  if (info.type == BPF_LINK_TYPE_NETNS) return info.netns.netns_ino == target_stat.st_ino;
  return info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == target_stat.st_ino &&
         info.cgroup.attach_type == static_cast<uint32_t>(type);
}

}  // namespace

void AttachPinned(const std::string& pin, int program, int target, bpf_attach_type type) {
  const Descriptor pinned(bpf_obj_get(pin.c_str()));
  if (pinned && IsAttachedTo(pinned.get(), target, type)) {
    if (bpf_link_update(pinned.get(), program, nullptr) != 0) ThrowErrno("cannot replace the program of " + pin);
    return;
  }
  if (pinned) Detach(pin);
  const Descriptor link(bpf_link_create(program, target, type, nullptr));
  if (!link) ThrowErrno("cannot attach for " + pin);
  if (bpf_obj_pin(link.get(), pin.c_str()) != 0) ThrowErrno("cannot pin " + pin);
}

void Detach(const std::string& pin) {
  const Descriptor link(bpf_obj_get(pin.c_str()));
  if (link) bpf_link_detach(link.get());
  unlink(pin.c_str());
}

bool IsAttached(const std::string& pin, int target, bpf_attach_type type) {
  const Descriptor link(bpf_obj_get(pin.c_str()));
  return link && IsAttachedTo(link.get(), target, type);
}

std::vector<ForeignProgram> ForeignConnectPrograms(const std::string& cgroup,
                                                   const std::vector<std::string>& own_program_names) {
  static constexpr struct {
    bpf_attach_type type;
    const char* name;
  } kTypes[] = {{BPF_CGROUP_INET4_CONNECT, "connect4"}, {BPF_CGROUP_INET6_CONNECT, "connect6"}};
  std::vector<ForeignProgram> result;
  for (std::filesystem::path folder = cgroup;; folder = folder.parent_path()) {
    struct statfs filesystem;
    if (statfs(folder.c_str(), &filesystem) != 0 || filesystem.f_type != CGROUP2_SUPER_MAGIC) break;
    const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) ThrowErrno("cannot open " + folder.string());
    for (const auto& [type, type_name] : kTypes) {
      uint32_t ids[64], count = std::size(ids), flags = 0;
      if (bpf_prog_query(directory.get(), type, 0, &flags, ids, &count) != 0) continue;
      for (uint32_t i = 0; i < count; i++) {
        const Descriptor program(bpf_prog_get_fd_by_id(ids[i]));
        bpf_prog_info info{};
        uint32_t size = sizeof info;
        if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) continue;
        if (std::ranges::find(own_program_names, info.name) != own_program_names.end()) continue;
        result.push_back({ids[i], info.name, type_name, folder.string()});
      }
    }
    if (folder == folder.parent_path()) break;
  }
  return result;
}

}  // namespace weft::capture
