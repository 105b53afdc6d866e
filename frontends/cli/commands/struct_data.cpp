#include "commands/struct_data.h"

#include "render/json.h"
#include "render/structure.h"

namespace vitrine::cli {
namespace {

void write_content(StructureWriter& out, const ObjectNode& node);

void text_if_any(StructureWriter& out, std::string_view key, std::string_view text) {
    if (text.empty()) return;
    out.key(key);
    out.text(text);
}

void write_number(StructureWriter& out, const ObjectNode& node) {
    if (node.is_signed) out.integer(static_cast<std::int64_t>(node.number));
    else out.unsigned_integer(node.number);
}

bool is_compound(const ObjectNode& node) { return node.kind == NodeKind::members || node.kind == NodeKind::elements; }

void write_scalar(StructureWriter& out, const ObjectNode& node) {
    switch (node.kind) {
        case NodeKind::text: out.text(node.text); return;
        case NodeKind::pointer: out.address(node.number); return;
        case NodeKind::boolean:
            if (node.number > 1) write_number(out, node);
            else out.boolean(node.number == 1);
            return;
        case NodeKind::enumerator:
            if (!node.text.empty()) return out.text(node.text);
            write_number(out, node);
            return;
        case NodeKind::number: write_number(out, node); return;
        case NodeKind::real: out.value(Value(node.real)); return;
        default: out.null();
    }
}

// Elements that are plain values stand alone; others are objects.
void write_element(StructureWriter& out, const ObjectNode& node) {
    if (!is_compound(node) && node.kind != NodeKind::unreadable) {
        write_scalar(out, node);
        return;
    }
    out.begin_object();
    write_content(out, node);
    out.end_object();
}

void write_member(StructureWriter& out, const ObjectNode& node) {
    out.begin_object();
    out.key("name");
    out.text(node.name);
    out.key("type");
    out.text(node.type);
    out.key("offset");
    out.unsigned_integer(node.bit_offset / 8);
    if (node.bit_size != 0) {
        out.key("bit_offset");
        out.unsigned_integer(node.bit_offset);
        out.key("bit_size");
        out.unsigned_integer(node.bit_size);
    }
    write_content(out, node);
    out.end_object();
}

// "members" or "value", and what is to be said of it.
void write_content(StructureWriter& out, const ObjectNode& node) {
    if (node.kind == NodeKind::members) {
        out.key("members");
        out.begin_array();
        for (const ObjectNode& child : node.children) write_member(out, child);
        out.end_array();
    } else if (node.kind == NodeKind::elements) {
        out.key("value");
        out.begin_array();
        for (const ObjectNode& child : node.children) write_element(out, child);
        out.end_array();
        out.key("count");
        out.unsigned_integer(node.count);
    } else {
        out.key("value");
        write_scalar(out, node);
    }
    text_if_any(out, "symbol", node.symbol);
    text_if_any(out, "text", node.pointed_text);
    if (node.kind == NodeKind::unreadable) text_if_any(out, "error", node.text);
    if (node.cut) {
        out.key("cut");
        out.boolean(true);
    }
}

void write_all(StructureWriter& out, const Object& object, const ObjectNode& tree, std::string_view path) {
    out.begin_object();
    out.key("type");
    out.text(tree.type);
    out.key("address");
    if (const auto address = object.address()) out.address(address->value);
    else out.null();
    text_if_any(out, "member", path);
    write_content(out, tree);
    out.end_object();
}

}  // namespace

void write_struct_data(Session& session, const Object& object, const ObjectNode& tree, std::string_view path) {
    const Format format = session.settings().format;
    if (format == Format::csv) {
        FlatWriter rows(session.out(), session.style());
        write_all(rows, object, tree, path);
        rows.finish();
        return;
    }
    JsonWriter json(session.out(), format == Format::json ? 2 : 0);
    if (format == Format::json) json.begin_array();
    write_all(json, object, tree, path);
    if (format == Format::json) json.end_array();
}

}  // namespace vitrine::cli
