#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sample_btf.h"
#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

using test::BtfWriter;
using testing::HasSubstr;

std::shared_ptr<const TypeCatalog> parsed(const BtfWriter& w) {
    auto result = parse_btf(w.blob(), "");
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
    return result ? *result : nullptr;
}

TEST(Declaration, AsInC) {
    BtfWriter w;
    const auto integer = w.integer("int", 4, true);
    const auto constant = w.reference(BtfWriter::CONST, "", integer);
    const auto to_constant = w.pointer(constant);
    const auto constant_pointer = w.reference(BtfWriter::CONST, "", w.pointer(integer));
    const auto matrix = w.array(w.array(integer, 4), 3);
    const auto to_matrix = w.pointer(matrix);
    const auto pointers = w.array(w.pointer(integer), 5);
    const auto function = w.prototype(integer, {{"a", to_constant, 0}, {"", 0, 0}});
    const auto callback = w.pointer(function);
    const auto returns_callback = w.pointer(w.prototype(callback, {}));
    const auto callbacks = w.array(callback, 2);
    const auto hidden = w.pointer(w.forward("hidden", false));
    const auto nothing = w.pointer(0);
    const auto flexible = w.array(integer, 0);
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->declaration(integer, "x"), "int x");
    EXPECT_EQ(types->declaration(integer, ""), "int");
    EXPECT_EQ(types->declaration(0, ""), "void");
    EXPECT_EQ(types->declaration(to_constant, "p"), "const int *p");
    EXPECT_EQ(types->declaration(constant_pointer, "p"), "int *const p");
    EXPECT_EQ(types->declaration(matrix, "m"), "int m[3][4]");
    EXPECT_EQ(types->declaration(to_matrix, "m"), "int (*m)[3][4]");
    EXPECT_EQ(types->declaration(pointers, "v"), "int *v[5]");
    EXPECT_EQ(types->declaration(callback, "f"), "int (*f)(const int *a, ...)");
    EXPECT_EQ(types->declaration(callback, ""), "int (*)(const int *a, ...)");
    EXPECT_EQ(types->declaration(returns_callback, "g"), "int (*(*g)(void))(const int *a, ...)");
    EXPECT_EQ(types->declaration(callbacks, "v"), "int (*v[2])(const int *a, ...)");
    EXPECT_EQ(types->declaration(hidden, "h"), "struct hidden *h");
    EXPECT_EQ(types->declaration(nothing, "v"), "void *v");
    EXPECT_EQ(types->declaration(flexible, "v"), "int v[]");
}

TEST(Definition, StructureWithOffsets) {
    const auto types = parsed(test::sample_btf());
    ASSERT_NE(types, nullptr);
    const std::string text = types->definition(*types->find("task_struct"));
    EXPECT_THAT(text, testing::StartsWith("struct task_struct {\n\tstruct {\n\t\tunsigned int state; "));
    EXPECT_THAT(text, HasSubstr("\t\tunion {\n\t\t\tlong unsigned int raw; "));
    EXPECT_THAT(text, HasSubstr("/*     8     8 */"));
    EXPECT_THAT(text, HasSubstr("\tchar comm[16]; "));
    EXPECT_THAT(text, HasSubstr("\tstruct module_memory mem[7]; "));
    EXPECT_THAT(text, HasSubstr("\tunsigned int flag_b:3; "));
    EXPECT_THAT(text, HasSubstr("/*   152: 1  4 */"));
    EXPECT_THAT(text, HasSubstr("/* size: 176, members: 8 */"));
    EXPECT_THAT(text, testing::EndsWith("};\n"));
}

TEST(Definition, EnumerationsTypedefsAndOthers) {
    const auto types = parsed(test::sample_btf());
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->definition(*types->find("pid_type")),
              "enum pid_type {\n\tPIDTYPE_PID = 0,\n\tPIDTYPE_MAX = 4,\n};\n");
    EXPECT_THAT(types->definition(*types->find("wide")), HasSubstr("TOP = 9223372036854775809,"));
    EXPECT_EQ(types->definition(*types->find("u32")), "typedef __u32 u32;\n");
    EXPECT_EQ(types->definition(1u << 30), "");
    BtfWriter w;
    const auto u32 = w.integer("u32", 4);
    const auto anonymous = w.structure("", 4, {{"counter", u32, 0}});
    const auto named = w.type_definition("atomic_t", anonymous);
    const auto atomic = parsed(w);
    ASSERT_NE(atomic, nullptr);
    const std::string text = atomic->definition(named);
    EXPECT_THAT(text, testing::StartsWith("typedef struct {\n\tu32 counter; "));
    EXPECT_THAT(text, testing::EndsWith("} atomic_t;\n"));
}

// Function types whose parameters are function types: the text would be exponentially long.
TEST(Text, IsBoundedWhateverTheGraph) {
    BtfWriter w;
    std::uint32_t id = w.integer("int", 4);
    for (int i = 0; i < 30; ++i) {
        const auto function = w.prototype(id, {{"a", id, 0}, {"b", id, 0}, {"c", id, 0}, {"d", id, 0}});
        id = w.pointer(function);
    }
    const auto holder = w.structure("holder", 8, {{"f", id, 0}});
    const auto loop = w.next_id();  // an anonymous structure that points to itself
    w.structure("", 8, {{"again", loop + 1, 0}});
    w.pointer(loop);
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    EXPECT_LT(types->declaration(id, "f").size(), 1u << 20);
    EXPECT_LT(types->definition(holder).size(), 16u << 20);
    EXPECT_THAT(types->definition(loop), HasSubstr("..."));
    EXPECT_LT(types->definition(loop).size(), 10'000u);
}

}  // namespace
}  // namespace vitrine
