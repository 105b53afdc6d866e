// Asking a view of a guest and writing its rows: the way of every command that lists something of a guest.
#pragma once

#include "app/session.h"
#include "views/view_query.h"

namespace vitrine::cli {

// The whole command; returns the exit code.
int run_view(Session& session, const View& view, const Arguments& arguments);

}  // namespace vitrine::cli
