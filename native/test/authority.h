// A certificate authority for tests, made of OpenSSL calls.
#pragma once

#include <string>
#include <vector>

#include "../core/tls/context.h"

namespace weft::test {

struct LeafOptions {
  std::vector<std::string> names;
  int64_t not_before = -60;  // seconds from now
  int64_t not_after = 3600;
  const char* usage = "serverAuth,clientAuth";
};

class Authority {
 public:
  explicit Authority(const std::string& name);

  std::string certificate() const;
  // With this authority as the only anchor.
  core::tls::Identity Issue(const LeafOptions& options) const;
  core::tls::Identity Issue(const std::string& name) const { return Issue(LeafOptions{.names = {name}}); }
  // A leaf of an authority that this one certified.
  core::tls::Identity IssueByIntermediate(const std::string& name) const;

 private:
  Authority() = default;

  core::tls::Key key_;
  core::tls::Certificate certificate_;
};

}  // namespace weft::test
