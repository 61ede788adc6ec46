#include "privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace weft::broker {
namespace {

constexpr bool IsNeeded(int capability) { return capability == CAP_SYS_ADMIN || capability == CAP_NET_ADMIN; }

}  // namespace

bool KeepOnlyNeededCapabilities() {
  for (int capability = 0; capability <= 63; capability++) {
    // EINVAL: beyond what this kernel knows.
    if (!IsNeeded(capability) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) return false;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (const int capability : {CAP_SYS_ADMIN, CAP_NET_ADMIN}) {
    data[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
    data[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
  }
  return syscall(SYS_capset, &header, data) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

}  // namespace weft::broker
