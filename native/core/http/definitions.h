// Header edits and responses that decisions have defined, by the numbers that decisions call them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "../http1/writer.h"
#include "http_decisions.h"

namespace weft::core::http {

// As the writer takes them.
class Edits {
 public:
  explicit Edits(HeaderEdits edits);
  Edits(const Edits&) = delete;
  Edits& operator=(const Edits&) = delete;

  const http1::FieldEdits& fields() const { return fields_; }
  // They were found to be.
  void AreValid() { fields_.valid = true; }

 private:
  const HeaderEdits edits_;
  std::vector<std::string_view> remove_;
  std::vector<http1::NewField> set_;
  std::vector<http1::NewField> add_;
  http1::FieldEdits fields_;
};

struct ResponseDefinition {
  uint32_t status;
  bool closes;
  std::string fields;  // lines
  std::string body;
  uint32_t grpc_status;
  std::string grpc_message;
};

class Definitions {
 public:
  // 0: HTTP does not allow it.
  uint32_t Define(HeaderEdits edits);
  uint32_t Define(SyntheticResponse response);
  void ReleaseEdits(uint32_t number) { edits_.erase(number); }
  void ReleaseResponse(uint32_t number) { responses_.erase(number); }

  // Null where it is not defined (any more).
  std::shared_ptr<const Edits> edits(uint32_t number) const;
  const ResponseDefinition* response(uint32_t number) const;

 private:
  std::unordered_map<uint32_t, std::shared_ptr<const Edits>> edits_;
  std::unordered_map<uint32_t, ResponseDefinition> responses_;
  uint32_t last_ = 0;
};

}  // namespace weft::core::http
