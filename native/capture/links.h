// bpf_links pinned in bpffs, which keep a program attached while no agent lives. A program is replaced without a moment
// in between (BPF_LINK_UPDATE).
#pragma once

#include <bpf/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weft::capture {

// `target` is a descriptor of a cgroup v2 folder or of a network namespace. A pin whose target is another one is
// replaced.
void AttachPinned(const std::string& pin, int program, int target, bpf_attach_type type);
void Detach(const std::string& pin);
bool IsAttached(const std::string& pin, int target, bpf_attach_type type);

struct ForeignProgram {
  uint32_t id;
  std::string name;
  std::string attach_type;
  std::string cgroup;
};
// connect4/connect6 programs of others on `cgroup` and on its ancestors up to the mount: they run after ours and may
// rewrite the destination that we have seen. Ours are told by `own_program_names`.
std::vector<ForeignProgram> ForeignConnectPrograms(const std::string& cgroup,
                                                   const std::vector<std::string>& own_program_names);

}  // namespace weft::capture
