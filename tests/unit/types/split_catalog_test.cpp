// A split catalog shares its base, and answers as one catalog of both would.
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <tuple>

#include "split_sample.h"
#include "vitrine/types/catalog_builder.h"

namespace vitrine {
namespace {

using test::BtfWriter;
using test::joined;
using Types = std::shared_ptr<const TypeCatalog>;

Types parsed(const std::vector<std::byte>& blob) {
    const auto types = parse_btf(blob, "sample");
    EXPECT_TRUE(types) << types.error().to_string();
    return types ? *types : nullptr;
}

Types split_over(const Types& base, const BtfWriter& split) {
    const auto types = parse_split_btf(base, split.blob(), "sample");
    EXPECT_TRUE(types) << types.error().to_string();
    return types ? *types : nullptr;
}

std::string text(const Result<Field>& field) {
    if (!field) return field.error().to_string();
    return std::to_string(field->bit_offset) + ":" + std::to_string(field->bit_size) + " " +
           std::to_string(field->type) + " " + std::to_string(field->size);
}

std::string text(const Result<std::int64_t>& value) {
    return value ? std::to_string(*value) : std::string(value.error().code == Errc::ambiguous ? "ambiguous" : "none");
}

class SplitCatalog : public ::testing::Test {
protected:
    SplitCatalog() : base_writer_(test::sample_btf()), base_(parsed(base_writer_.blob())) {
        const BtfWriter module = test::module_over(base_writer_, *base_);
        split_ = split_over(base_, module);
        one_ = parsed(joined(base_writer_, module));
    }
    void SetUp() override { ASSERT_TRUE(base_ && split_ && one_); }
    [[nodiscard]] BtfWriter writer() const { return {base_writer_.next_id(), base_writer_.string_bytes()}; }
    [[nodiscard]] bool is_refused(const BtfWriter& split) const {
        const auto types = parse_split_btf(base_, split.blob(), "");
        return !types && types.error().code == Errc::malformed;
    }
    [[nodiscard]] bool is_refused_when_joined(const BtfWriter& split) const {
        return !parse_btf(joined(base_writer_, split), "");
    }

    BtfWriter base_writer_;
    Types base_, split_, one_;
};

TEST_F(SplitCatalog, TypesAreThoseOfOneCatalog) {
    ASSERT_EQ(split_->size(), one_->size());
    ASSERT_GT(split_->size(), base_->size() + 15);
    EXPECT_EQ(split_->first_own(), base_->size());
    for (TypeId id = 0; id < one_->size() + 2; ++id) {
        EXPECT_EQ(split_->type_name(id), one_->type_name(id)) << id;
        EXPECT_EQ(split_->strip(id), one_->strip(id)) << id;
        EXPECT_EQ(split_->definition(id), one_->definition(id)) << id;
        EXPECT_EQ(split_->declaration(id, "x"), one_->declaration(id, "x")) << id;
        EXPECT_EQ(split_->size_of(id), one_->size_of(id)) << id;
        ASSERT_EQ(split_->type(id) == nullptr, one_->type(id) == nullptr) << id;
        if (one_->type(id) == nullptr) continue;
        const Type &a = *split_->type(id), &b = *one_->type(id);
        EXPECT_EQ(std::tie(a.kind, a.target, a.count, a.is_signed, a.size),
                  std::tie(b.kind, b.target, b.count, b.is_signed, b.size))
            << id;
    }
}

TEST_F(SplitCatalog, MembersAndEnumeratorsAreThoseOfOneCatalog) {
    std::size_t members = 0, enumerators = 0;
    for (TypeId id = 0; id < one_->size(); ++id) {
        const auto a = split_->members(*split_->type(id)), b = one_->members(*one_->type(id));
        ASSERT_EQ(a.size(), b.size()) << id;
        for (std::size_t i = 0; i < a.size(); ++i, ++members) {
            EXPECT_EQ(split_->name(a[i].name), one_->name(b[i].name));
            EXPECT_EQ(std::tie(a[i].type, a[i].bit_offset, a[i].bit_size),
                      std::tie(b[i].type, b[i].bit_offset, b[i].bit_size));
            const std::string path(one_->name(b[i].name));
            EXPECT_EQ(text(split_->field(id, path)), text(one_->field(id, path))) << id << path;
        }
        const auto c = split_->enumerators(*split_->type(id)), d = one_->enumerators(*one_->type(id));
        ASSERT_EQ(c.size(), d.size()) << id;
        for (std::size_t i = 0; i < c.size(); ++i, ++enumerators) {
            EXPECT_EQ(split_->name(c[i].name), one_->name(d[i].name));
            EXPECT_EQ(c[i].value, d[i].value);
        }
    }
    EXPECT_GT(members, 20u);
    EXPECT_EQ(enumerators, 5u + 3u);
    for (const std::string_view path : {"task.mem[2].base", "owner.pid.level", "self", "task.parent", "nothing"}) {
        EXPECT_EQ(text(split_->field(*split_->find("private_data"), path)),
                  text(one_->field(*one_->find("private_data"), path)));
    }
}

TEST_F(SplitCatalog, NamesAreFoundInBoth) {
    std::set<std::string> names = {"nothing"};
    for (TypeId id = 1; id < one_->size(); ++id) names.emplace(one_->type_name(id));
    for (const std::string& name : names) {
        EXPECT_EQ(split_->all_named(name), one_->all_named(name)) << name;
        for (const std::string& asked : {name, "struct " + name, "enum " + name}) {
            EXPECT_EQ(split_->find_all(asked), one_->find_all(asked)) << asked;
            const auto found = split_->find(asked), in_base = base_->find(asked), in_one = one_->find(asked);
            const auto& wanted = in_base ? in_base : in_one;
            ASSERT_EQ(found.has_value(), wanted.has_value()) << asked;
            if (wanted) {
                EXPECT_EQ(*found, *wanted) << asked;
            } else {
                EXPECT_EQ(found.error().code, wanted.error().code) << asked;
            }
        }
    }
    EXPECT_LT(*split_->find("task_struct"), split_->first_own());
    EXPECT_EQ(one_->find("task_struct").error().code, Errc::ambiguous);
    EXPECT_EQ(text(split_->enumerator("", "MODE_NONE")), "-1");
    EXPECT_EQ(text(split_->enumerator("", "PIDTYPE_MAX")), "4");
    EXPECT_EQ(text(split_->enumerator("", "PIDTYPE_PID")), "ambiguous");  // one in each
    EXPECT_EQ(text(split_->enumerator("pid_type", "PIDTYPE_PID")), "0");
    EXPECT_EQ(text(split_->enumerator("modes", "PIDTYPE_PID")), "7");
}

TEST_F(SplitCatalog, SharesItsBaseAndKeepsIt) {
    EXPECT_EQ(split_->type(1), base_->type(1));
    EXPECT_EQ(split_->members(*split_->type(*split_->find("task_struct"))).data(),
              base_->members(*base_->type(*base_->find("task_struct"))).data());
    BtfWriter small = writer();
    small.structure("small", 4, {{"a", 1, 0}});
    EXPECT_LT(split_over(base_, small)->own_bytes(), base_->own_bytes() / 2);
    base_.reset();
    EXPECT_EQ(split_->declaration(*split_->find("u32"), "x"), "u32 x");
}

// Spans are of one table: a Type that claims members of both has none.
TEST_F(SplitCatalog, NothingReachesAcross) {
    Type forged = *base_->type(*base_->find("task_struct"));
    std::size_t end = 0;  // of the base's members
    while (forged.first = static_cast<std::uint32_t>(end), forged.count = 1, !base_->members(forged).empty()) ++end;
    ASSERT_GT(end, 10u);
    EXPECT_EQ(split_->members(forged).size(), 1u) << "the first of its own";
    forged.first = static_cast<std::uint32_t>(end - 1);
    EXPECT_EQ(split_->members(forged).size(), 1u) << "the last of the base's";
    for (forged.count = 2; forged.count < 8; ++forged.count) EXPECT_EQ(split_->members(forged).size(), 0u);
    Type choice = *base_->type(*base_->find("pid_type"));
    choice.first = 4;  // of the base's five
    choice.count = 1;
    EXPECT_EQ(split_->enumerators(choice).size(), 1u);
    for (choice.count = 2; choice.count < 5; ++choice.count) EXPECT_EQ(split_->enumerators(choice).size(), 0u);
    forged.first = forged.count = choice.first = choice.count = ~std::uint32_t{0};
    EXPECT_EQ(split_->members(forged).size() + split_->enumerators(choice).size(), 0u);
    const auto own = static_cast<std::uint32_t>(base_->own_names().size());
    const auto names_end = static_cast<std::uint32_t>(own + split_->own_names().size());
    EXPECT_EQ(split_->name(own - 1), "");
    EXPECT_EQ(split_->name(own), "private_data");
    for (const std::uint32_t at : {names_end - 1, names_end, names_end + 1, ~0u}) EXPECT_EQ(split_->name(at), "") << at;
    EXPECT_EQ(split_->type(~TypeId{0}), nullptr);
}

TEST_F(SplitCatalog, HostileReferencesAreRefused) {
    const TypeId task = *base_->find("task_struct"), number = *base_->find("unsigned int");
    const auto expect_refused = [&](std::string_view what, const auto& write) {
        BtfWriter w = writer();
        write(w);
        EXPECT_TRUE(is_refused(w)) << what;
        EXPECT_TRUE(is_refused_when_joined(w)) << what;
    };
    const TypeId own = base_writer_.next_id();
    for (const TypeId beyond : {own + 1, own + 100, ~TypeId{0}, ~TypeId{0} - own}) {
        expect_refused("a pointer past the end", [&](BtfWriter& w) { w.pointer(beyond); });
        expect_refused("a member past the end", [&](BtfWriter& w) { w.structure("s", 8, {{"a", beyond, 0}}); });
        expect_refused("a parameter past the end", [&](BtfWriter& w) { w.prototype(0, {{"a", beyond, 0}}); });
    }
    expect_refused("a base's type that does not fit", [&](BtfWriter& w) { w.structure("s", 8, {{"a", task, 0}}); });
    expect_refused("a base's type at the edge", [&](BtfWriter& w) { w.structure("s", 4, {{"a", number, 8}}); });
    expect_refused("a bit-field too wide", [&](BtfWriter& w) { w.structure("s", 64, {{"a", number, 0, 33}}); });
    expect_refused("itself by way of others", [&](BtfWriter& w) {
        w.structure("s", 256, {{"task", task, 0}, {"a", own + 1, 0}});
        w.array(own + 2, 1);
        w.type_definition("t", own);
    });
    expect_refused("an absurd size", [&](BtfWriter& w) {
        w.array(task, ~0u);
        w.array(own, ~0u);
    });
}

TEST_F(SplitCatalog, HostileNamesAreRefused) {
    BtfWriter w = writer();
    w.structure("first", 4, {{"a", 1, 0}});
    w.enumeration("second", false, {{"B", 0}});
    const auto end = base_writer_.string_bytes() + w.string_bytes();
    const auto with_word = [&](std::size_t at, std::uint32_t value) {
        auto blob = w.blob();
        std::memcpy(blob.data() + 24 + at, &value, sizeof value);
        return parse_split_btf(base_, blob, "");
    };
    constexpr std::size_t kStructure = 0, kMember = 12, kEnumeration = 24, kEnumerator = 36;  // their names
    for (const std::size_t at : {kStructure, kMember, kEnumeration, kEnumerator}) {
        for (const std::uint32_t beyond : {end, end + 1, ~0u, ~0u - base_writer_.string_bytes()})
            EXPECT_FALSE(with_word(at, beyond)) << at;
        EXPECT_TRUE(with_word(at, end - 1)) << at;
        EXPECT_TRUE(with_word(at, base_writer_.string_bytes() - 1)) << at;  // the base's last NUL: no name
        EXPECT_TRUE(with_word(at, 1)) << at;
    }
    EXPECT_EQ((*with_word(kStructure, 1))->type_name(base_writer_.next_id()), base_->name(1));
}

// A base that refers to types behind its own is none, whatever comes there.
TEST_F(SplitCatalog, ABaseDoesNotReferToItsSplit) {
    BtfWriter base;
    base.pointer(2);
    BtfWriter split(base.next_id(), base.string_bytes());
    split.integer("int", 4);
    EXPECT_FALSE(parse_split_btf(base.blob(), split.blob(), ""));
}

TEST_F(SplitCatalog, ASplitCatalogIsNoBase) {
    BtfWriter again(static_cast<TypeId>(split_->size()), 1000);
    again.pointer(1);
    const auto types = parse_split_btf(split_, again.blob(), "");
    ASSERT_FALSE(types);
    EXPECT_EQ(types.error().code, Errc::usage);
    CatalogBuilder builder(base_);
    EXPECT_FALSE(builder.build("pointers of another width", 4));
}

// What lies in the base's tables is not an own type's.
TEST_F(SplitCatalog, OwnTypesHaveOwnMembers) {
    for (const TypeKind kind : {TypeKind::structure, TypeKind::enumeration}) {
        for (const bool is_own : {true, false}) {
            CatalogBuilder builder(base_);
            const auto member = builder.add_member({builder.add_string("a"), 1, 0, 0});
            const auto enumerator = builder.add_enumerator({builder.add_string("ON"), 1});
            Type type;
            type.kind = kind;
            type.size = 4;
            type.count = 1;
            if (is_own) type.first = kind == TypeKind::structure ? member : enumerator;
            const TypeId id = builder.add(type);
            EXPECT_EQ(id, base_->size());
            EXPECT_EQ(builder.build("built").has_value(), is_own);
        }
    }
}

}  // namespace
}  // namespace vitrine
