// From a view and what was given on the command line to one SQL statement with its parameters.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "app/session.h"
#include "views/view.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {

struct ViewQuery {
    std::string sql;
    std::vector<Value> parameters;  // of ?1, ?2, ...
    bool has_conditions = false;    // rows may be left out because they were not asked for
};

// Reports what is wrong with the arguments, before anything is attached to.
OrExit<ViewQuery> make_view_query(Session& session, const View& view, const Arguments& arguments);

// SELECT * FROM table, as a view of no name.
[[nodiscard]] View view_of_table(const Table& table);

}  // namespace vitrine::cli
