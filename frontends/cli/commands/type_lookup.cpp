#include "commands/type_lookup.h"

#include <fmt/format.h>

#include "render/wrap.h"
#include "vitrine/base/text.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::cli {
namespace {

// Comments stand in a column of their own, where there is room for one.
std::string without_alignment(std::string_view line) {
    const auto comment = line.find("/*");
    const auto code = line.substr(0, std::min(comment, line.size())).find_last_not_of(' ');
    if (comment == std::string_view::npos || code == std::string_view::npos) return std::string(line);
    return std::string(line.substr(0, code + 1)) + ' ' + std::string(line.substr(comment));
}

// Line by line: line ends and indentation are ours, everything else is the guest's.
// Tabs become spaces where the width counts.
void write_lines(Session& session, std::string_view text, bool has_comments) {
    constexpr std::size_t kTab = 8;
    const std::optional<std::size_t> width = session.style().width;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const auto tabs = std::min(text.find_first_not_of('\t'), end);
        std::string line = to_terminal_text(text.substr(tabs, end - tabs));
        const std::size_t indent = width ? std::min(tabs * kTab, *width / 2) : 0;
        if (has_comments && width && indent + display_width(line) > *width) line = without_alignment(line);
        session.out().write(width ? hanging_lines(std::string(indent, ' '), line, indent + kTab, width)
                                  : std::string(tabs, '\t') + line + '\n');
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

// A name may say what kind it means: "struct x".
std::string_view without_keyword(std::string_view name) {
    for (const std::string_view keyword : {"struct ", "union ", "enum "}) {
        if (name.starts_with(keyword)) return name.substr(keyword.size());
    }
    return name;
}

// Of a module's own types of this name: a definition rather than a mere typedef to it, else the first.
std::optional<TypeId> own_type(const ModuleTypes& of, std::string_view name) {
    std::optional<TypeId> found;
    for (const TypeId id : of.types->find_all(name)) {
        if (id < of.first) continue;
        const TypeKind kind = of.types->type(id)->kind;
        if (!found || (of.types->type(*found)->kind == TypeKind::typedef_ && kind != TypeKind::typedef_)) found = id;
    }
    return found;
}

Error no_such_type(std::string text, std::string hint = {}) {
    return Error::with_text(Errc::not_found, Origin::types, std::move(text), std::move(hint));
}

// In all modules, or in the one that is named.
Result<FoundType> find_in_modules(const LinuxGuest& guest, std::string_view name, std::string_view module) {
    FoundType found;
    std::vector<std::string> holders;
    const auto report = guest.for_each_module_types({module, without_keyword(name)}, {}, [&](const ModuleTypes& of) {
        const auto id = own_type(of, name);
        if (id && holders.empty()) found = {of.types, of.types.get(), *id, of.module};
        if (id) holders.push_back(of.module);
        return true;
    });
    if (!report) return report.error();
    if (holders.size() > 1) {
        return Error::with_text(
            Errc::ambiguous, Origin::types,
            fmt::format("no type '{}' in the kernel, but in the modules {}", name, fmt::join(holders, ", ")),
            "choose one: --module NAME");
    }
    if (!holders.empty()) return found;
    const std::string why = report->problems.empty() ? "" : "; " + report->problems.front();
    if (module.empty()) return no_such_type(fmt::format("no type '{}' in the kernel or its modules{}", name, why));
    return no_such_type(fmt::format("no module '{}' that defines a type '{}'{}", module, name, why),
                        "vitrine types TARGET --module NAME lists the types of a loaded module");
}

}  // namespace

Result<FoundType> find_type(Guest& guest, std::string_view name, std::string_view module) {
    if (module.empty()) {
        const TypeCatalog* types = VITRINE_TRY(guest.types());
        const auto id = types->find(name);
        if (id) return FoundType{nullptr, types, *id, {}};
        if (id.error().code != Errc::not_found) return id.error();
    }
    const LinuxGuest* linux_guest = guest.as_linux();
    if (linux_guest == nullptr) return no_such_type(fmt::format("no type '{}' in the kernel", name));
    return find_in_modules(*linux_guest, name, module);
}

void write_c_text(Session& session, std::string_view text) { write_lines(session, text, false); }

void show_type(Session& session, const FoundType& found) {
    const TypeCatalog& types = *found.types;
    const TypeId id = found.id;
    const std::string definition = types.definition(id);
    if (session.settings().format == Format::table) {
        write_lines(session, definition, true);
        return;
    }
    const std::vector<OutputColumn> columns{{"name", ColumnType::text},
                                            {"kind", ColumnType::text},
                                            {"size", ColumnType::integer},
                                            {"definition", ColumnType::text},
                                            {"module", ColumnType::text}};
    const Type* type = types.type(id);
    const auto size = types.size_of(id);
    const std::vector<Value> values{std::string(types.type_name(id)),
                                    type == nullptr ? Value() : Value(std::string(to_string(type->kind))),
                                    size ? Value(static_cast<std::int64_t>(*size)) : Value(), definition,
                                    found.module.empty() ? Value() : Value(found.module)};
    const auto writer = make_row_writer(session.out(), session.style(), columns);
    writer->row(values);
    writer->finish();
}

Result<Gva> resolve_address(Guest& guest, std::string_view text) {
    if (const auto number = parse_number(text)) return Gva{*number};
    const std::size_t plus = text.rfind('+');
    const auto offset = plus == std::string_view::npos ? std::optional<std::uint64_t>(0)
                                                       : parse_number(text.substr(plus + 1));
    const std::string_view name = text.substr(0, plus);
    if (!offset || name.empty()) {
        return Error::with_text(Errc::usage, Origin::user, fmt::format("'{}' is neither an address nor a symbol", text),
                                "0xffff888003a40000, init_task, init_task+0x10");
    }
    const SymbolTable* symbols = VITRINE_TRY(guest.symbols());
    const auto symbol = symbols->by_name(name);
    if (symbol) return symbol->address.wrap_plus(*offset);
    const auto everywhere = symbols->all_by_name(name);
    if (symbol.error().code == Errc::not_found && everywhere.size() == 1)
        return everywhere[0].address.wrap_plus(*offset);
    return symbol.error();
}

}  // namespace vitrine::cli
