// Tables by name, as the session has them.
#pragma once

#include <string_view>

#include "app/session.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

[[nodiscard]] const Table* find_table(const Session& session, std::string_view name);
// Says that there is none of this name, and which one may have been meant; the exit code.
int unknown_table(Session& session, std::string_view name);

}  // namespace vitrine::cli
