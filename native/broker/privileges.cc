#include "privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <system_error>

namespace weft::broker {
namespace {

constexpr int kLastPossibleCapability = 63;

constexpr bool IsNeeded(int capability) { return capability == CAP_SYS_ADMIN || capability == CAP_NET_ADMIN; }

void Check(long result, const char* what) {
  if (result != 0) throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

void GiveUpCapabilities() {
  // First, as it takes CAP_SETPCAP.
  for (int capability = 0; capability <= kLastPossibleCapability; capability++) {
    const bool known = prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1;  // 0: not there, EINVAL: not of this kernel
    if (known && !IsNeeded(capability)) Check(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "PR_CAPBSET_DROP");
  }
  Check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "PR_CAP_AMBIENT_CLEAR_ALL");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (const int capability : {CAP_SYS_ADMIN, CAP_NET_ADMIN}) {
    data[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);
    data[CAP_TO_INDEX(capability)].permitted |= CAP_TO_MASK(capability);
  }
  Check(syscall(SYS_capset, &header, data), "capset");
  Check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
}

}  // namespace weft::broker
