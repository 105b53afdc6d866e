#include "views/view_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/embedded_files.h"
#include "views/sql_scan.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {
namespace {

ValueKind option_kind(ViewValue kind) {
    switch (kind) {
        case ViewValue::flag: return ValueKind::flag;
        case ViewValue::number: return ValueKind::number;
        case ViewValue::address: return ValueKind::address;
        case ViewValue::text:
        case ViewValue::glob: break;
    }
    return ValueKind::text;
}

// Whether all tables that follow a FROM or a JOIN are among the program's.
bool has_its_tables(const View& view) {
    const SqlScan scan = scan_sql(view.sql);
    for (std::size_t i = 0; i + 1 < scan.pieces.size(); ++i) {
        const std::string_view word = scan.pieces[i].text;
        if (scan.pieces[i].kind != SqlPiece::Kind::word || (word != "FROM" && word != "JOIN")) continue;
        const SqlPiece& table = scan.pieces[i + 1];
        if (table.kind == SqlPiece::Kind::word && find_table(table.text) == nullptr) return false;
    }
    return true;
}

std::vector<std::unique_ptr<ViewCommand>> read_built_in() {
    std::vector<std::unique_ptr<ViewCommand>> views;
    for (const EmbeddedFile& file : embedded_views()) {
        auto view = parse_view(file.name.substr(0, file.name.rfind('.')), file.text, true);
        // A test reads each; what cannot be read is no command.
        if (view && has_its_tables(*view)) views.push_back(std::make_unique<ViewCommand>(std::move(*view)));
    }
    return views;
}

}  // namespace

ViewCommand::ViewCommand(View view) : view_(std::move(view)) {
    arguments_.push_back(kTargetArgument);
    for (const ViewArgument& argument : view_.arguments)
        arguments_.push_back({argument.name, argument.doc, ArgumentKind::text, false});
    for (const ViewOption& option : view_.options)
        options_.push_back({option.name, option.short_name, option.value, option.doc, option_kind(option.kind)});
    for (const ViewExample& example : view_.examples) examples_.push_back({example.command, example.what});
    command_.name = view_.name;
    command_.summary = view_.summary;
    command_.description = view_.description;
    command_.arguments = arguments_;
    command_.options = options_;
    command_.is_query = true;
    command_.examples = examples_;
    command_.view = &view_;
}

std::span<const ViewCommand* const> built_in_views() {
    static const std::vector<std::unique_ptr<ViewCommand>> kViews = read_built_in();
    static const std::vector<const ViewCommand*> kPointers = [] {
        std::vector<const ViewCommand*> pointers;
        for (const auto& view : kViews) pointers.push_back(view.get());
        return pointers;
    }();
    return kPointers;
}

const View* find_built_in_view(std::string_view name) {
    for (const ViewCommand* made : built_in_views()) {
        if (made->view().name == name) return &made->view();
    }
    return nullptr;
}

}  // namespace vitrine::cli
