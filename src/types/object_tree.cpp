// describe(): the tree of an object. Types are the guest's: they may share and nest so that the tree would be endless,
// so everything that is looked at is counted, whether it becomes a node or not.
#include <fmt/format.h>

#include "vitrine/base/walk.h"
#include "vitrine/types/object_text.h"

namespace vitrine {
namespace {

constexpr std::size_t kMostName = 128;
constexpr std::size_t kMostType = 256;
constexpr std::size_t kMostSymbol = 256;

std::string cut_at(std::string_view text, std::size_t most) {
    return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "...";
}

class Describer {
public:
    Describer(const TypeCatalog& types, const DescribeOptions& options)
        : types_(types), options_(options), left_(options.nodes), deadline_(options.time) {}

    ObjectNode node(const Object& object, std::string_view name, std::uint64_t bit_offset, unsigned depth) {
        ObjectNode node;
        node.name = cut_at(name, kMostName);
        node.type = cut_at(object.type_name(), kMostType);
        node.bit_offset = bit_offset;
        node.bit_size = object.bit_size();
        switch (object.kind()) {
            case TypeKind::structure:
            case TypeKind::union_: members_of(object, node, bit_offset, depth); break;
            case TypeKind::array: array(object, node, depth); break;
            case TypeKind::pointer: pointer(object, node); break;
            case TypeKind::integer: integer(object, node); break;
            case TypeKind::enumeration: enumeration(object, node); break;
            case TypeKind::floating: real(object, node); break;
            default: node.text = to_string(object.kind());
        }
        return node;
    }

private:
    bool take() {
        if (left_ == 0 || deadline_.passed()) return false;
        --left_;
        return true;
    }

    static void unreadable(ObjectNode& node, const Error& error) {
        node.kind = NodeKind::unreadable;
        node.text = cut_at(error.to_string(), kMostType);
    }

    void members_of(const Object& object, ObjectNode& node, std::uint64_t bit_offset, unsigned depth) {
        node.kind = NodeKind::members;
        append_members(object, node, bit_offset, depth);
    }

    // Those of anonymous structures come as if they were the parent's own, as in C.
    void append_members(const Object& object, ObjectNode& parent, std::uint64_t bit_offset, unsigned depth) {
        const Type& type = *types_.type(types_.strip(object.type()));
        if (depth > options_.depth) {
            parent.count += type.count;
            parent.cut = parent.cut || type.count > 0;
            return;
        }
        for (const Member& m : types_.members(type)) {
            ++parent.count;
            if (!take()) {
                parent.cut = true;
                return;
            }
            const std::uint64_t at = bit_offset + m.bit_offset;
            const auto part = object.member(Field{m.bit_offset, m.bit_size, m.type, 0});
            const bool is_aggregate = part && (part->kind() == TypeKind::structure || part->kind() == TypeKind::union_);
            if (m.name == 0 && is_aggregate) {
                --parent.count;
                append_members(*part, parent, at, depth + 1);
            } else if (!part) {
                ObjectNode& bad = parent.children.emplace_back();
                bad.name = cut_at(types_.name(m.name), kMostName);
                unreadable(bad, part.error());
            } else if (m.name != 0) {
                parent.children.push_back(node(*part, types_.name(m.name), at, depth + 1));
            }
        }
    }

    [[nodiscard]] bool is_character(TypeId id) const {
        const Type* type = types_.type(types_.strip(id));
        return type != nullptr && type->kind == TypeKind::integer && type->size == 1 &&
               types_.name(type->name) == "char";
    }

    void array(const Object& object, ObjectNode& node, unsigned depth) {
        const Type& type = *types_.type(types_.strip(object.type()));
        node.count = type.count;
        if (is_character(type.target) && type.count > 0) {
            const auto text = object.as_string(options_.characters);
            if (!text) return unreadable(node, text.error());
            node.kind = NodeKind::text;
            node.text = text->bytes;
            node.cut = text->truncated;
            return;
        }
        node.kind = NodeKind::elements;
        const std::uint64_t size = types_.size_of(type.target).value_or(0);
        for (std::uint64_t i = 0; i < type.count; ++i) {
            if (i == options_.elements || depth > options_.depth || size == 0 || !take()) {
                node.cut = true;
                return;
            }
            const auto element = object.at(i);
            if (element) node.children.push_back(this->node(*element, "", node.bit_offset + i * size * 8, depth + 1));
            else unreadable(node.children.emplace_back(), element.error());
        }
    }

    void pointer(const Object& object, ObjectNode& node) {
        const auto value = object.as_unsigned();
        if (!value) return unreadable(node, value.error());
        node.kind = NodeKind::pointer;
        node.number = *value;
        if (*value == 0) return;
        if (options_.symbol_of) node.symbol = cut_at(options_.symbol_of(Gva{*value}), kMostSymbol);
        if (!options_.follow_text || object.indirections() > 0) return;
        if (!is_character(types_.type(types_.strip(object.type()))->target)) return;
        // Of a pointer that leads nowhere nothing more is to be said.
        const auto text = object.as_string(options_.characters);
        if (!text) return;
        node.pointed_text = text->bytes;
        node.cut = text->truncated;
    }

    void integer(const Object& object, ObjectNode& node) {
        const Type& type = *types_.type(types_.strip(object.type()));
        const std::string_view name = types_.name(type.name);
        node.kind = name == "_Bool" || name == "bool" ? NodeKind::boolean : NodeKind::number;
        number(object, type, node);
    }

    void number(const Object& object, const Type& type, ObjectNode& node) {
        node.is_signed = type.is_signed;
        if (type.is_signed) {
            const auto value = object.as_signed();
            if (!value) return unreadable(node, value.error());
            node.number = static_cast<std::uint64_t>(*value);
            return;
        }
        const auto value = object.as_unsigned();
        if (!value) return unreadable(node, value.error());
        node.number = *value;
    }

    void enumeration(const Object& object, ObjectNode& node) {
        node.kind = NodeKind::enumerator;
        number(object, *types_.type(types_.strip(object.type())), node);
        if (node.kind == NodeKind::unreadable) return;
        const auto name = object.as_enumerator();
        if (name && *name) node.text = cut_at(**name, kMostName);
    }

    static void real(const Object& object, ObjectNode& node) {
        const auto value = object.as_real();
        if (!value) return unreadable(node, value.error());
        node.kind = NodeKind::real;
        node.real = *value;
    }

    const TypeCatalog& types_;
    const DescribeOptions& options_;
    std::size_t left_;
    Deadline deadline_;
};

}  // namespace

ObjectNode describe(const Object& object, const DescribeOptions& options) {
    if (object.catalog() == nullptr) return {};
    // One read, so that all members are of one moment. Where that fails (a hole in the middle), each is read for itself.
    const auto copy = object.snapshot();
    return Describer(*object.catalog(), options).node(copy ? *copy : object, "", 0, 0);
}

}  // namespace vitrine
