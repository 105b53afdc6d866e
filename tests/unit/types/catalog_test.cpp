#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "sample_btf.h"
#include "vitrine/types/catalog.h"
#include "vitrine/types/catalog_builder.h"

namespace vitrine {
namespace {

using test::BtfWriter;
using testing::HasSubstr;

std::shared_ptr<const TypeCatalog> parsed(const BtfWriter& w) {
    auto result = parse_btf(w.blob(), "BTF of the test");
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
    return result ? *result : nullptr;
}

class Catalog : public testing::Test {
protected:
    void SetUp() override {
        types_ = parsed(test::sample_btf());
        ASSERT_NE(types_, nullptr);
        task_ = *types_->find("task_struct");
    }
    Errc field_error(std::string_view path) {
        const auto field = types_->field(task_, path);
        EXPECT_FALSE(field.has_value()) << path;
        return field ? Errc::io : field.error().code;
    }
    std::string field_text(std::string_view path) {
        const auto field = types_->field(task_, path);
        return field ? std::string("found") : field.error().to_string();
    }
    std::shared_ptr<const TypeCatalog> types_;
    TypeId task_ = 0;
};

TEST_F(Catalog, FindsByNameAndKeyword) {
    EXPECT_EQ(types_->type(*types_->find("struct task_struct"))->size, 176u);
    EXPECT_EQ(types_->type(*types_->find("enum pid_type"))->kind, TypeKind::enumeration);
    EXPECT_EQ(types_->type(*types_->find("u32"))->kind, TypeKind::typedef_);
    EXPECT_EQ(types_->type(*types_->find("long unsigned int"))->size, 8u);
    EXPECT_EQ(types_->type(*types_->find("double"))->kind, TypeKind::floating);
    EXPECT_EQ(types_->find("union task_struct").error().code, Errc::not_found);
    EXPECT_EQ(types_->find("").error().code, Errc::not_found);
}

TEST_F(Catalog, DeclarationsFunctionsAndVariablesAreNotTypes) {
    for (const char* name : {"hidden", "struct hidden", "schedule", "current_task", ".data..percpu", "rcu", "tagged"}) {
        EXPECT_EQ(types_->find(name).error().code, Errc::not_found) << name;
    }
}

TEST_F(Catalog, FieldsByPath) {
    const auto offset = [&](std::string_view path) {
        const auto field = types_->field(task_, path);
        EXPECT_TRUE(field.has_value()) << path << ": " << field.error().to_string();
        return field ? field->offset() : 0;
    };
    EXPECT_EQ(offset("state"), 0u);
    EXPECT_EQ(offset("raw"), 8u);  // a union inside a structure, both anonymous
    EXPECT_EQ(offset("low"), 8u);
    EXPECT_EQ(offset("comm"), 16u);
    EXPECT_EQ(offset("comm[3]"), 19u);
    EXPECT_EQ(offset("mem[0].base"), 32u);
    EXPECT_EQ(offset("mem[6].size"), 32u + 6 * 16 + 8);
    EXPECT_EQ(types_->field(task_, "comm")->size, 16u);
    EXPECT_EQ(types_->field(task_, "level")->size, 4u);
    EXPECT_EQ(types_->field(task_, "mem[2]")->type, *types_->find("module_memory"));
}

TEST_F(Catalog, BitFields) {
    const auto field = *types_->field(task_, "flag_b");
    EXPECT_EQ(field.bit_offset, 1217u);
    EXPECT_EQ(field.bit_size, 3u);
    EXPECT_EQ(field.offset(), 152u);
}

TEST_F(Catalog, FlexibleArrays) {
    const TypeId pid = *types_->find("pid");
    EXPECT_EQ(types_->field(pid, "numbers")->size, 0u);
    EXPECT_EQ(types_->field(pid, "numbers[0].nr")->offset(), 16u);
    EXPECT_EQ(types_->field(pid, "numbers[3].ns")->offset(), 16u + 3 * 16 + 8);
    EXPECT_EQ(types_->field(pid, "numbers[18446744073709551615].ns").error().code, Errc::out_of_range);
}

TEST_F(Catalog, BadPaths) {
    EXPECT_EQ(field_error("mem[7].base"), Errc::out_of_range);
    EXPECT_EQ(field_error("nothing"), Errc::not_found);
    EXPECT_THAT(field_text("mem[0].nothing"), HasSubstr("no member 'nothing' in 'struct module_memory'"));
    EXPECT_THAT(field_text("parent.comm"), HasSubstr("followed first"));
    EXPECT_EQ(field_error("state.x"), Errc::not_found);
    EXPECT_EQ(field_error("state[0]"), Errc::not_found);
    for (const char* path : {"", ".", "comm.", "comm[", "comm[]", "comm[x]", "comm[1", "comm[-1]", "[0]", "comm[0]x",
                             "mem[0]..base", ".comm", "comm[99999999999999999999]"}) {
        EXPECT_EQ(field_error(path), Errc::usage) << path;
    }
    EXPECT_EQ(field_error(std::string(5000, 'a')), Errc::usage);
    EXPECT_EQ(types_->field(1 << 30, "comm").error().code, Errc::out_of_range);
}

TEST_F(Catalog, Enumerators) {
    EXPECT_EQ(*types_->enumerator("pid_type", "PIDTYPE_MAX"), 4);
    EXPECT_EQ(*types_->enumerator("", "MINUS"), -1);
    EXPECT_EQ(static_cast<std::uint64_t>(*types_->enumerator("enum wide", "TOP")), 0x8000000000000001u);
    EXPECT_EQ(types_->enumerator("pid_type", "MINUS").error().code, Errc::not_found);
    EXPECT_EQ(types_->enumerator("none", "MINUS").error().code, Errc::not_found);
    EXPECT_EQ(types_->enumerator("", "NONE").error().code, Errc::not_found);
}

TEST_F(Catalog, OutOfRangeIdsAreHarmless) {
    EXPECT_EQ(types_->type(1u << 30), nullptr);
    EXPECT_EQ(types_->strip(1u << 30), 0u);
    EXPECT_EQ(types_->size_of(1u << 30), std::nullopt);
    EXPECT_EQ(types_->type_name(1u << 30), "");
    EXPECT_EQ(types_->name(1u << 30), "");
    Type foreign;
    foreign.kind = TypeKind::structure;
    foreign.first = 0xfffffff0;
    foreign.count = 0xff;
    EXPECT_TRUE(types_->members(foreign).empty());
    foreign.kind = TypeKind::enumeration;
    EXPECT_TRUE(types_->enumerators(foreign).empty());
}

TEST(CatalogNames, EqualDefinitionsAreOneDifferentOnesAreAmbiguous) {
    BtfWriter w;
    const auto u32 = w.integer("u32", 4);
    const auto first = w.structure("same", 8, {{"a", u32, 0}, {"b", u32, 32}});
    w.structure("same", 8, {{"a", u32, 0}, {"b", u32, 32}});
    w.structure("differs", 8, {{"a", u32, 0}, {"b", u32, 32}});
    w.structure("differs", 8, {{"b", u32, 0}, {"a", u32, 32}});
    w.forward("differs", false);
    w.structure("sized", 8, {{"a", u32, 0}});
    w.structure("sized", 16, {{"a", u32, 0}});
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(*types->find("same"), first);
    EXPECT_EQ(types->find("differs").error().code, Errc::ambiguous);
    EXPECT_EQ(types->find("sized").error().code, Errc::ambiguous);
    EXPECT_EQ(types->find_all("differs").size(), 2u);
}

TEST(CatalogNames, OrderOfKinds) {
    BtfWriter w;
    const auto u32 = w.integer("u32", 4);
    w.type_definition("both", u32);
    const auto structure = w.structure("both", 4, {{"a", u32, 0}});
    const auto forward = w.forward("later", false);
    const auto full = w.structure("later", 4, {{"a", u32, 0}});
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(*types->find("both"), structure);
    EXPECT_EQ(*types->find("later"), full);
    EXPECT_NE(*types->find("later"), forward);
}

// An attacker may name a million types alike: a lookup stays quick.
TEST(CatalogNames, ManyOfOneName) {
    BtfWriter w;
    const auto u32 = w.integer("u32", 4);
    const auto at = w.text("task_struct");
    for (int i = 0; i < 200'000; ++i) {
        w.record("", BtfWriter::TYPEDEF, 0, false, u32);
    }
    auto blob = w.blob();
    for (const std::size_t record : w.record_offsets()) {
        if (record != 24) std::memcpy(blob.data() + record, &at, sizeof at);
    }
    const auto types = parse_btf(blob, "");
    ASSERT_TRUE(types.has_value()) << types.error().to_string();
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE((*types)->find("task_struct").has_value());
    EXPECT_EQ((*types)->find_all("task_struct").size(), TypeCatalog::kMaxSameName);
}

class SharedAnonymousMembers : public testing::TestWithParam<int> {};

// Each level holds the next one twice, anonymously: 2^levels paths to a name that is not there.
TEST_P(SharedAnonymousMembers, DoNotExplode) {
    BtfWriter w;
    std::uint32_t inner = w.structure("", 0, {});
    for (int i = 0; i < GetParam(); ++i) inner = w.union_("", 0, {{"", inner, 0}, {"", inner, 0}});
    const auto outer = w.structure("outer", 0, {{"", inner, 0}});
    const auto types = parsed(w);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->field(outer, "missing").error().code, Errc::limit);
    EXPECT_LT(types->definition(outer).size(), 4u << 20);
}
INSTANTIATE_TEST_SUITE_P(Levels, SharedAnonymousMembers, testing::Values(20, 30, 40));

TEST(CatalogBuilderChecks, RefusesWhatDoesNotFit) {
    CatalogBuilder builder;
    Type type;
    type.kind = TypeKind::structure;
    type.first = 5;
    type.count = 1;
    builder.add(type);
    EXPECT_THAT(builder.build("").error().to_string(), HasSubstr("type 1: members outside"));
    type = {};
    type.kind = TypeKind::enumeration;
    type.count = 1;
    builder.add(type);
    EXPECT_THAT(builder.build("").error().to_string(), HasSubstr("enumerators outside"));
    builder.adopt_strings({'a', 'b'});
    EXPECT_FALSE(builder.build("").has_value());
    EXPECT_EQ(builder.build("", 3).error().code, Errc::usage);
    EXPECT_TRUE(builder.build("", 4).has_value());
}

TEST(CatalogBuilderChecks, ThirtyTwoBitPointers) {
    CatalogBuilder builder;
    Type pointer;
    pointer.kind = TypeKind::pointer;
    const TypeId id = builder.add(pointer);
    const auto types = builder.build("", 4);
    ASSERT_TRUE(types.has_value());
    EXPECT_EQ((*types)->size_of(id), 4u);
}

}  // namespace
}  // namespace vitrine
