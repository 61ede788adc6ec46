// Maps that outlive the process: pinned as <folder>/map-<name>-<layout hash>. A map of the same layout is taken over as
// it is; one of another layout gives its entries to the new map, and stays until the programs that use it are gone.
#pragma once

#include <bpf/libbpf.h>

#include <string>
#include <vector>

namespace weft::capture {

class PinnedMaps {
 public:
  PinnedMaps(std::string folder, bpf_object* object);

  void Reuse();           // before bpf_object__load()
  void PinAndMigrate();   // after it
  void RemoveOutdated();  // once no program uses another layout

 private:
  struct Pin {
    bpf_map* map;
    std::string name;
    std::string path;
    bool reused;
  };
  void Migrate(const Pin& pin, const std::string& from) const;
  std::vector<std::string> Outdated(const Pin& pin) const;

  std::string folder_;
  bpf_object* object_;
  std::vector<Pin> pins_;
};

}  // namespace weft::capture
