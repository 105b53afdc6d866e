// The options that `vitrine sql` and `vitrine shell` share.
#pragma once

#include "app/session.h"
#include "sql/runner.h"

namespace vitrine::cli {

[[nodiscard]] std::span<const OptionSpec> sql_options();
// Reports what is wrong with them.
OrExit<SqlSettings> sql_settings(Session& session, const Arguments& arguments);

// Everything there is to read; reports what fails, and a text of more than 16 MiB.
OrExit<std::string> read_sql(Session& session, int fd);

}  // namespace vitrine::cli
