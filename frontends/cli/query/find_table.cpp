#include "query/find_table.h"

#include <fmt/format.h>

#include <vector>

#include "model/suggest.h"

namespace vitrine::cli {

const Table* find_table(const Session& session, std::string_view name) {
    for (const Table* table : session.engine().tables()) {
        if (table->spec.name == name) return table;
    }
    return nullptr;
}

int unknown_table(Session& session, std::string_view name) {
    std::vector<std::string_view> names;
    for (const Table* known : session.engine().tables()) names.push_back(known->spec.name);
    const std::string_view near = nearest(name, names);
    return session.usage(fmt::format("there is no table '{}'", name),
                         near.empty() ? "vitrine schema lists the tables" : fmt::format("did you mean {}?", near));
}

}  // namespace vitrine::cli
