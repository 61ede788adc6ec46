// Request targets and authorities: RFC 9112, section 3.2.
#pragma once

#include "head.h"

namespace weft::core::http1 {

// host [":" port]. No user information: RFC 9110, 4.2.4 calls it an error where it comes from outside.
bool IsAuthority(std::string_view text);

// Sets target_form, path_at and, of absolute and authority form, authority_place. Targets may contain characters that
// RFC 3986 wants encoded (browsers and curl send them, and servers take them), but no controls, no space and no
// fragment.
Error ReadTarget(Head& head);

// Whether the text may stand in the request line in place of a target of the form.
bool IsTarget(TargetForm form, std::string_view text);

}  // namespace weft::core::http1
