#include "object_fixture.h"

#include <stdexcept>

#include "support/btf_writer.h"

namespace vitrine::test {

ObjectFixture::ObjectFixture() {
    tables_.map(kFirst, Gpa{0x1'0000});
    tables_.map(kLast, Gpa{0x1'2000});
}

void ObjectFixture::put_text(Gva at, std::string_view text) {
    memory_.write(Gpa{0x1'0000 + (at.value - kFirst.value)}, std::as_bytes(std::span(text)));
}

ObjectTypes::ObjectTypes() {
    BtfWriter w;
    const auto s32 = w.integer("int", 4, true);
    const auto u32 = w.integer("unsigned int", 4);
    const auto u64 = w.integer("long unsigned int", 8);
    const auto s64 = w.integer("long int", 8, true);
    const auto character = w.integer("char", 1, true);
    const auto byte = w.integer("unsigned char", 1);
    const auto boolean = w.integer("_Bool", 1);
    const auto color = w.enumeration("color", false, {{"RED", 0}, {"BLUE", 7}});
    const auto level = w.enumeration("level", true, {{"NONE", -1}, {"SOME", 3}});
    const auto node = w.next_id() + 1;
    const auto node_pointer = w.pointer(node);
    w.structure("node", 16, {{"next", node_pointer, 0}, {"value", s32, 64}, {"more", u32, 96}});
    const auto low = w.structure("", 8, {{"low", u32, 0}, {"high", u32, 32}});
    const auto either = w.union_("", 8, {{"raw", u64, 0}, {"", low, 0}});
    const auto callback = w.pointer(w.prototype(s32, {{"what", s32, 0}}));
    const auto text = w.pointer(w.reference(BtfWriter::CONST, "", character));
    const auto forty = w.array(s32, 40);
    w.type_definition("number_t", s32);
    const auto real = w.record("double", BtfWriter::FLOAT, 0, false, 8);
    const auto flexible = w.array(node, 0);
    w.structure("thing", 400,
                {{"id", s32, 0},
                 {"state", color, 32},
                 {"", either, 64},
                 {"name", w.array(character, 16), 128},
                 {"bytes", w.array(byte, 4), 256},
                 {"flag", boolean, 288},
                 {"a", u32, 320, 1},
                 {"b", s32, 321, 3},
                 {"c", color, 324, 4},
                 {"first", node_pointer, 384},
                 {"inner", node, 448},
                 {"call", callback, 576},
                 {"title", text, 640},
                 {"depth", level, 704},
                 {"wide", s64, 768},
                 {"table", forty, 832},
                 {"pairs", w.array(node, 2), 2112},
                 {"ratio", real, 2368},
                 {"anything", w.pointer(0), 2432},
                 {"straddle", u64, 2501, 63},
                 {"matrix", w.array(w.array(s32, 2), 2), 2624},
                 {"rest", flexible, 3200}});
    auto parsed = parse_btf(w.blob(), "BTF of a test");
    if (!parsed) throw std::logic_error(parsed.error().to_string());
    catalog = *parsed;
}

}  // namespace vitrine::test
