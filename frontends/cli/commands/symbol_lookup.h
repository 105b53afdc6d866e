// `vitrine symbols --address`, which asks the symbol table and no table of rows.
#pragma once

#include "app/session.h"

namespace vitrine::cli {

int look_up_symbol(Session& session, const Arguments& arguments);

}  // namespace vitrine::cli
