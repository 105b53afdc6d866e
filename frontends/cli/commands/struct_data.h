// An object's tree for programs: JSON, or rows of a path and its value.
#pragma once

#include "app/session.h"
#include "vitrine/types/object_text.h"

namespace vitrine::cli {

// path: of the member that was asked for; "": the whole.
void write_struct_data(Session& session, const Object& object, const ObjectNode& tree, std::string_view path);

}  // namespace vitrine::cli
