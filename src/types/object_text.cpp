// The tree of an object as C text.
#include "vitrine/types/object_text.h"

#include <fmt/format.h>

#include "vitrine/base/text.h"

namespace vitrine {
namespace {

std::string quoted(std::string_view bytes, bool cut) {
    std::string escaped;
    for (const char c : bytes) {
        if (c == '"' || c == '\\') escaped += '\\';
        escaped += c;
    }
    return '"' + to_terminal_text(escaped) + (cut ? "\"..." : "\"");
}

std::string number_text(const ObjectNode& node) {
    return node.is_signed ? fmt::format("{}", static_cast<std::int64_t>(node.number)) : fmt::format("{}", node.number);
}

std::string pointer_text(const ObjectNode& node) {
    if (node.number == 0) return "NULL";
    std::string text = fmt::format("{:#x}", node.number);
    if (!node.symbol.empty()) text += fmt::format(" <{}>", to_terminal_text(node.symbol));
    if (!node.pointed_text.empty()) text += " " + quoted(node.pointed_text, node.cut);
    return text;
}

bool is_compound(const ObjectNode& node) { return node.kind == NodeKind::members || node.kind == NodeKind::elements; }

class Writer {
public:
    std::string text;

    void value(const ObjectNode& node, unsigned indent) {
        if (!is_compound(node)) {
            text += value_text(node);
        } else if (node.kind == NodeKind::elements && !has_compound_child(node)) {
            one_line(node);
        } else if (node.children.empty()) {
            text += node.cut ? "{...}" : "{}";
        } else {
            lines(node, indent);
        }
    }

private:
    static bool has_compound_child(const ObjectNode& node) {
        for (const ObjectNode& child : node.children) {
            if (is_compound(child)) return true;
        }
        return false;
    }

    static std::string rest_of(const ObjectNode& node) {
        if (node.count <= node.children.size()) return "/* more */";
        return fmt::format("/* {} more */", node.count - node.children.size());
    }

    void one_line(const ObjectNode& node) {
        text += '{';
        for (std::size_t i = 0; i < node.children.size(); ++i)
            text += (i == 0 ? "" : ", ") + value_text(node.children[i]);
        if (node.cut) text += (node.children.empty() ? "" : ", ") + rest_of(node);
        text += '}';
    }

    void lines(const ObjectNode& node, unsigned indent) {
        const std::string tabs(indent + 1, '\t');
        text += "{\n";
        for (std::size_t i = 0; i < node.children.size(); ++i) {
            const ObjectNode& child = node.children[i];
            text += tabs;
            text += node.kind == NodeKind::elements ? fmt::format("[{}] = ", i)
                                                    : fmt::format(".{} = ", to_terminal_text(child.name));
            value(child, indent + 1);
            text += ",\n";
        }
        if (node.cut) text += tabs + (node.kind == NodeKind::elements ? rest_of(node) : "/* more */") + "\n";
        text += std::string(indent, '\t') + "}";
    }
};

std::string lead_of(const Object& object, std::string_view label) {
    if (!label.empty()) return to_terminal_text(label) + " = ";
    const auto address = object.address();
    if (!address || object.catalog() == nullptr) return {};
    const auto pointer = object.address_of();
    if (!pointer) return {};
    return fmt::format("*({}){:#x} = ", to_terminal_text(pointer->type_name()), address->value);
}

}  // namespace

std::string value_text(const ObjectNode& node) {
    switch (node.kind) {
        case NodeKind::members:
        case NodeKind::elements: return "{...}";
        case NodeKind::text: return quoted(node.text, node.cut);
        case NodeKind::pointer: return pointer_text(node);
        case NodeKind::number: return number_text(node);
        case NodeKind::boolean:
            return node.number > 1 ? number_text(node) : std::string(node.number == 1 ? "true" : "false");
        case NodeKind::enumerator: return node.text.empty() ? number_text(node) : to_terminal_text(node.text);
        case NodeKind::real: return fmt::format("{}", node.real);
        case NodeKind::unreadable: return fmt::format("/* cannot be read: {} */", to_terminal_text(node.text));
        case NodeKind::opaque: return fmt::format("/* {} */", node.text);
    }
    return {};
}

std::string tree_text(const Object& object, const ObjectNode& tree, std::string_view label) {
    Writer writer;
    writer.text = lead_of(object, label);
    writer.value(tree, 0);
    return writer.text + ";\n";
}

std::string object_text(const Object& object, const DescribeOptions& options, std::string_view label) {
    return tree_text(object, describe(object, options), label);
}

}  // namespace vitrine
