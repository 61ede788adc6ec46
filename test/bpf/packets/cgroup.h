// Folders of the cgroup v2 tree (cgroups(7)).
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>
#include <string>

namespace weft::test {

inline std::string Cgroup2Mount() {
  std::ifstream mounts("/proc/mounts");
  for (std::string device, folder, type, rest; mounts >> device >> folder >> type && std::getline(mounts, rest);) {
    if (type == "cgroup2") return folder;
  }
  throw std::runtime_error("no cgroup v2 tree is mounted");
}

inline std::string OwnCgroup() {
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::")) return Cgroup2Mount() + line.substr(3);
  }
  throw std::runtime_error("this process is in no cgroup v2 folder");
}

// A cgroup's id is its folder's inode.
inline uint64_t CgroupId(const std::string& folder) {
  struct stat status;
  if (stat(folder.c_str(), &status) != 0) throw std::runtime_error("no folder " + folder);
  return status.st_ino;
}

// A folder for the time of a test, into which this process moves, and out of which it comes back.
class TemporaryCgroup {
 public:
  TemporaryCgroup() : home_(OwnCgroup()), path_(Cgroup2Mount() + "/weft-packets-" + std::to_string(getpid())) {
    if (mkdir(path_.c_str(), 0755) != 0 || !Join(path_)) throw std::runtime_error("cannot join " + path_);
  }
  ~TemporaryCgroup() {
    Join(home_);
    rmdir(path_.c_str());
  }
  TemporaryCgroup(const TemporaryCgroup&) = delete;
  const std::string& path() const { return path_; }

 private:
  static bool Join(const std::string& folder) {
    std::ofstream processes(folder + "/cgroup.procs");
    processes << "0" << std::flush;
    return processes.good();
  }

  const std::string home_, path_;
};

}  // namespace weft::test
