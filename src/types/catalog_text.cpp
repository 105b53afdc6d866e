// Types as C text. Type graphs from a guest may be shared and nested so that their text is exponentially long: every
// printer works on a budget of characters and a bounded depth, and writes "..." where it had to stop.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

constexpr std::size_t kMaxDeclaration = 4 * 1024;
constexpr std::size_t kMaxDefinition = 256 * 1024;
constexpr unsigned kMaxSteps = 64;    // pointers, dimensions and modifiers of one declarator
constexpr unsigned kMaxNesting = 12;  // function types inside parameters; structures printed inside structures
constexpr std::string_view kCut = "...";

std::string_view keyword(const Type& type) {
    switch (type.kind) {
        case TypeKind::structure: return "struct";
        case TypeKind::union_: return "union";
        case TypeKind::enumeration: return "enum";
        case TypeKind::forward: return type.forward_is_union ? "union" : "struct";
        default: return "";
    }
}

class Printer {
public:
    Printer(const TypeCatalog& catalog, std::size_t budget) : catalog_(catalog), left_(budget) {}

    // expand: anonymous structures are written with their members, indented from `indent` on.
    std::string declaration(TypeId id, std::string declarator, unsigned nesting, bool expand, unsigned indent,
                            std::uint64_t offset = 0) {
        if (nesting > kMaxNesting || !take(declarator.size())) return std::string(kCut);
        std::string qualifiers;  // of what comes next: a pointer, or the base type
        bool after_pointer = false;
        for (unsigned step = 0; step < kMaxSteps; ++step) {
            const Type* type = catalog_.type(id);
            if (type == nullptr) return std::string(kCut);
            if (!take(8)) return std::string(kCut);
            switch (type->kind) {
                case TypeKind::pointer:
                    declarator = "*" + qualifiers + declarator;
                    qualifiers.clear();
                    after_pointer = true;
                    offset = 0;  // what it points to lies elsewhere
                    break;
                case TypeKind::array:
                case TypeKind::function_prototype:
                    if (after_pointer) declarator = "(" + declarator + ")";
                    after_pointer = false;
                    declarator += type->kind == TypeKind::array ? dimension(*type) : parameters(*type, nesting);
                    break;
                case TypeKind::const_: qualify(qualifiers, "const "); break;
                case TypeKind::volatile_: qualify(qualifiers, "volatile "); break;
                case TypeKind::restrict_: qualify(qualifiers, "restrict "); break;
                case TypeKind::type_tag: break;
                case TypeKind::function:
                case TypeKind::variable:
                case TypeKind::declaration_tag:
                    if (declarator.empty()) declarator = std::string(catalog_.name(type->name));
                    break;
                default: return join(qualifiers + base(id, *type, nesting, expand, indent, offset), declarator);
            }
            id = type->target;
        }
        return std::string(kCut);
    }

    std::string definition(TypeId id) {
        const Type& type = *catalog_.type(id);
        switch (type.kind) {
            case TypeKind::structure:
            case TypeKind::union_: return braces(id, type, 0, 0, 0) + ";\n";
            case TypeKind::enumeration: return braces(id, type, 0, 0, 0) + ";\n";
            case TypeKind::typedef_:
                return "typedef " + declaration(type.target, std::string(catalog_.name(type.name)), 0, true, 0) + ";\n";
            default: return declaration(id, "", 0, true, 0) + ";\n";
        }
    }

private:
    bool take(std::size_t characters) {
        if (left_ < characters) {
            left_ = 0;
            return false;
        }
        left_ -= characters;
        return true;
    }

    // A qualified array has qualified elements (C11 6.7.3): compilers may say so at both.
    static void qualify(std::string& qualifiers, std::string_view one) {
        if (qualifiers.find(one) == std::string::npos) qualifiers += one;
    }

    static std::string join(std::string base, const std::string& declarator) {
        if (declarator.empty()) return base;
        return std::move(base) + " " + declarator;
    }

    static std::string dimension(const Type& array) {
        return array.count == 0 ? std::string("[]") : fmt::format("[{}]", array.count);
    }

    std::string parameters(const Type& prototype, unsigned nesting) {
        const auto list = catalog_.members(prototype);
        if (list.empty()) return "(void)";
        std::string text = "(";
        for (std::size_t i = 0; i < list.size(); ++i) {
            if (i != 0) text += ", ";
            if (left_ == 0) return text + std::string(kCut) + ")";
            const bool variadic = i + 1 == list.size() && list[i].type == 0 && list[i].name == 0;
            text += variadic
                        ? std::string("...")
                        : declaration(list[i].type, std::string(catalog_.name(list[i].name)), nesting + 1, false, 0);
        }
        return text + ")";
    }

    std::string base(TypeId id, const Type& type, unsigned nesting, bool expand, unsigned indent,
                     std::uint64_t offset) {
        const std::string_view word = keyword(type);
        const std::string_view name = catalog_.type_name(id);
        if (!take(name.size())) return std::string(kCut);
        if (word.empty()) return name.empty() ? std::string("void") : std::string(name);
        if (!name.empty()) return fmt::format("{} {}", word, name);
        if (!expand || type.kind == TypeKind::forward) return fmt::format("{} {{...}}", word);
        return braces(id, type, nesting + 1, indent, offset);
    }

    std::string braces(TypeId id, const Type& type, unsigned nesting, unsigned indent, std::uint64_t offset) {
        std::string text(keyword(type));
        if (type.name != 0) text += fmt::format(" {}", catalog_.type_name(id));
        text += " {\n";
        const std::string tabs(indent, '\t');
        if (nesting > kMaxNesting) {
            text += tabs + "\t...\n";
        } else if (type.kind == TypeKind::enumeration) {
            enumerators(type, tabs, text);
        } else {
            members(type, nesting, indent, offset, text);
            if (indent == 0) text += fmt::format("\n\t/* size: {}, members: {} */\n", type.size, type.count);
        }
        return text + tabs + "}";
    }

    void enumerators(const Type& type, const std::string& tabs, std::string& text) {
        for (const Enumerator& e : catalog_.enumerators(type)) {
            const std::string line = type.is_signed
                                         ? fmt::format("{}\t{} = {},\n", tabs, catalog_.name(e.name), e.value)
                                         : fmt::format("{}\t{} = {},\n", tabs, catalog_.name(e.name),
                                                       static_cast<std::uint64_t>(e.value));
            if (!take(line.size())) {
                text += tabs + "\t...\n";
                return;
            }
            text += line;
        }
    }

    void members(const Type& type, unsigned nesting, unsigned indent, std::uint64_t base_offset, std::string& text) {
        const std::string tabs(indent + 1, '\t');
        for (const Member& m : catalog_.members(type)) {
            if (left_ == 0) {
                text += tabs + "...\n";
                return;
            }
            std::string declarator(catalog_.name(m.name));
            if (m.bit_size != 0) declarator += fmt::format(":{}", m.bit_size);
            const std::uint64_t offset = base_offset + m.bit_offset;
            const std::string line = tabs +
                                     declaration(m.type, std::move(declarator), nesting, true, indent + 1, offset) +
                                     ";";
            text += with_comment(line, offset, m);
            (void)take(40);
        }
    }

    // pahole's comment: byte offset, the bit inside the storage unit for bit-fields, size. A bit-field's byte offset is
    // that of its storage unit.
    std::string with_comment(const std::string& line, std::uint64_t bit_offset, const Member& m) const {
        const std::uint64_t size = catalog_.size_of(m.type).value_or(0);
        const std::size_t last_line = line.rfind('\n') == std::string::npos ? 0 : line.rfind('\n') + 1;
        const std::size_t width = line.size() - last_line +
                                  7 * static_cast<std::size_t>(std::count(
                                          line.begin() + static_cast<std::ptrdiff_t>(last_line), line.end(), '\t'));
        const std::string pad(width < 56 ? 56 - width : 1, ' ');
        if (m.bit_size == 0 || size == 0) return fmt::format("{}{}/* {:5} {:5} */\n", line, pad, bit_offset / 8, size);
        const std::uint64_t unit = bit_offset / (size * 8) * size;
        return fmt::format("{}{}/* {:5}:{:2} {:2} */\n", line, pad, unit, bit_offset - unit * 8, size);
    }

    const TypeCatalog& catalog_;
    std::size_t left_;
};

}  // namespace

std::string TypeCatalog::declaration(TypeId id, std::string_view declarator) const {
    if (declarator.size() > kMaxDeclaration) return std::string(kCut);
    return Printer(*this, kMaxDeclaration).declaration(id, std::string(declarator), 0, false, 0);
}

std::string TypeCatalog::definition(TypeId id) const {
    if (id >= size()) return {};
    return Printer(*this, kMaxDefinition).definition(id);
}

}  // namespace vitrine
