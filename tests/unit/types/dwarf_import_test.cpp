#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "pahole.h"
#include "types/dwarf/import.h"
#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::string fixture(std::string_view name) { return std::string(VITRINE_TYPES_FIXTURES) + "/" + std::string(name); }

std::shared_ptr<const TypeCatalog> imported(const std::string& path) {
    auto result = import_dwarf(path);
    EXPECT_TRUE(result.has_value()) << path << ": " << result.error().to_string();
    return result ? result->types : nullptr;
}

// "member offset:bits size type", one line for each member of each named structure and union; what a layout is.
std::map<std::string, std::string> layouts(const TypeCatalog& types) {
    std::map<std::string, std::string> all;
    for (TypeId id = 1; id < types.size(); ++id) {
        const Type& type = *types.type(id);
        if (type.name == 0 || (type.kind != TypeKind::structure && type.kind != TypeKind::union_)) continue;
        std::string text = "size " + std::to_string(type.size) + "\n";
        for (const Member& m : types.members(type)) {
            text += std::string(types.name(m.name)) + " " + std::to_string(m.bit_offset) + ":" +
                    std::to_string(m.bit_size) + " " + std::to_string(types.size_of(m.type).value_or(0)) + " " +
                    types.declaration(m.type, "x") + "\n";
        }
        text += types.definition(id);  // anonymous structures inside
        std::string key(types.type_name(id));
        if (all.contains(key)) key += "#" + std::to_string(type.size);
        all.emplace(std::move(key), std::move(text));
    }
    return all;
}

struct Expected {
    const char* type;
    const char* path;
    std::uint64_t bit_offset;
    std::uint32_t bit_size;
};

// By hand, from the x86-64 System V ABI.
constexpr Expected kExpected[] = {
    {"list_head", "prev", 64, 0},
    {"bits", "a", 0, 1},
    {"bits", "b", 1, 3},
    {"bits", "c", 4, 28},
    {"bits", "whole", 32, 0},
    {"bits", "d", 64, 5},
    {"bits", "e", 69, 40},
    {"bits", "f", 112, 4},
    {"bits", "g", 116, 4},
    {"bits", "h", 120, 7},
    {"bits", "i", 128, 9},
    {"bits_packed", "spans", 8, 27},
    {"bits_packed", "rest", 35, 13},
    {"nested", "both", 64, 0},
    {"nested", "high", 96, 0},
    {"nested", "named.raw[3]", 88, 0},
    {"nested", "outer.inner_list.prev", 192, 0},
    {"nested", "outer.flag", 256, 0},
    {"nested", "after", 320, 0},
    {"arrays", "heads[1].prev", 8 * 24, 0},
    {"arrays", "mem[2].size", 8 * (64 + 56 + 16 + 20), 0},
    {"arrays", "tail[1]", 8 * (64 + 56 + 16 + 24 + 8), 0},
    {"large_arrays", "b", 8 * 128, 0},
    {"large_arrays", "b[128]", 8 * 256, 0},
    {"large_arrays", "c[199]", 8 * 456, 0},
    {"large_arrays", "d[255]", 8 * 712, 0},
    {"large_arrays", "e[256]", 8 * 969, 0},
    {"large_arrays", "f[32767]", 8 * (970 + 65534), 0},
    {"large_arrays", "g[39999]", 8 * (66506 + 79998), 0},
    {"large_arrays", "h[65535]", 8 * (146506 + 131070), 0},
    {"zero_length", "none", 64, 0},
    {"with_empty", "b", 32, 0},
    {"functions", "wide", 8 * 80, 0},
    {"uses_declared", "pointer", 0, 0},
    {"self_by_typedef", "holder.value", 64, 0},
    {"union words", "halves[1]", 16, 0},
    {"words", "low", 0, 4},
};

void expect_layouts(const TypeCatalog& types) {
    for (const Expected& e : kExpected) {
        const auto id = types.find(e.type);
        ASSERT_TRUE(id.has_value()) << id.error().to_string();
        const auto field = types.field(*id, e.path);
        ASSERT_TRUE(field.has_value()) << e.type << "." << e.path << ": " << field.error().to_string();
        EXPECT_EQ(field->bit_offset, e.bit_offset) << e.type << "." << e.path;
        EXPECT_EQ(field->bit_size, e.bit_size) << e.type << "." << e.path;
    }
    EXPECT_EQ(*types.enumerator("state", "STATE_DEAD"), 0x80);
    EXPECT_EQ(*types.enumerator("big", "BIG_TOP"), 0xffffffff);
    EXPECT_EQ(types.find("same_name").error().code, Errc::ambiguous);
}

TEST(ImportDwarf, Version4) { expect_layouts(*imported(fixture("types_fixture_dwarf4.so"))); }
TEST(ImportDwarf, Version5) { expect_layouts(*imported(fixture("types_fixture_dwarf5.so"))); }

TEST(ImportDwarf, SignedEnumerators) {
    for (const char* name : {"types_fixture_dwarf4.so", "types_fixture_dwarf5.so"}) {
        EXPECT_EQ(*imported(fixture(name))->enumerator("negative", "MINUS_TWO"), -2) << name;
    }
}

TEST(ImportDwarf, ArraysOfSeveralDimensions) {
    const auto types = imported(fixture("types_fixture_dwarf5.so"));
    ASSERT_NE(types, nullptr);
    const auto element = types->field(*types->find("matrices"), "matrix[2][1][3]");
    ASSERT_TRUE(element.has_value()) << element.error().to_string();
    EXPECT_EQ(element->offset(), 4u + 4 * (2 * 20 + 5 + 3));
    EXPECT_EQ(types->field(*types->find("matrices"), "matrix[3][0][0]").error().code, Errc::out_of_range);
}

TEST(ImportDwarf, VersionsAgree) {
    EXPECT_EQ(layouts(*imported(fixture("types_fixture_dwarf4.so"))),
              layouts(*imported(fixture("types_fixture_dwarf5.so"))));
}

TEST(ImportDwarf, CompressedSectionsAgree) {
    for (const int version : {4, 5}) {
        const auto types = imported(fixture("types_fixture_compressed" + std::to_string(version) + ".so"));
        ASSERT_NE(types, nullptr);
        EXPECT_EQ(layouts(*types), layouts(*imported(fixture("types_fixture_dwarf4.so")))) << version;
    }
}

// Types of all units in units of their own, in DWARF 4 in a section of their own: offsets of both sections overlap.
TEST(ImportDwarf, TypeUnitsAgree) {
    for (const int version : {4, 5}) {
        const auto types = imported(fixture("types_fixture_type_units" + std::to_string(version) + ".so"));
        ASSERT_NE(types, nullptr);
        expect_layouts(*types);
        EXPECT_EQ(layouts(*types), layouts(*imported(fixture("types_fixture_dwarf4.so")))) << version;
    }
}

TEST(ImportDwarf, DeclaredEnumerationsAreFound) {
    for (const char* name : {"types_fixture_dwarf4.so", "types_fixture_dwarf5.so"}) {
        const auto types = imported(fixture(name));
        ASSERT_NE(types, nullptr);
        EXPECT_EQ(types->find_all("enum declared_first").size(), 1u);
        EXPECT_EQ(*types->enumerator("declared_first", "DECLARED_FIRST_B"), 7);
        const std::string text = types->definition(*types->find("takes_enums"));
        EXPECT_THAT(text, HasSubstr("(*first)(enum declared_first)"));
        EXPECT_THAT(text, HasSubstr("(*never)(enum never_defined)"));
        const auto pointer = types->field(*types->find("takes_enums"), "first");
        ASSERT_TRUE(pointer.has_value());
        const Type& function = *types->type(types->type(pointer->type)->target);
        EXPECT_EQ(types->members(function)[0].type, *types->find("enum declared_first"));
    }
}

// Equal names and places, but what the members are differs.
TEST(ImportDwarf, TwinsAreKeptApart) {
    const auto types = imported(fixture("types_fixture_dwarf5.so"));
    ASSERT_NE(types, nullptr);
    std::set<std::string> texts;
    for (const TypeId id : types->find_all("struct twin")) texts.insert(types->definition(id));
    EXPECT_EQ(texts.size(), 2u);
}

TEST(ImportDwarf, RelocatableFile) {
    const auto types = imported(VITRINE_TYPES_OBJECT);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->field(*types->find("nested"), "outer.flag")->offset(), 32u);
}

TEST(ImportDwarf, UnitsShareTypes) {
    const auto types = imported(fixture("types_fixture_dwarf5.so"));
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->find_all("nested").size(), 1u);
    EXPECT_EQ(types->find_all("atomic_t").size(), 1u);
    EXPECT_EQ(types->find_all("same_name").size(), 2u);
    // Only declared in one.c, where the pointer is; defined in two.c.
    const auto pointer = types->field(*types->find("uses_declared"), "pointer");
    ASSERT_TRUE(pointer.has_value());
    EXPECT_EQ(types->type(pointer->type)->target, *types->find("defined_in_two"));
}

TEST(ImportDwarf, BuildId) {
    const auto result = import_dwarf(fixture("types_fixture_dwarf5.so"));
    ASSERT_TRUE(result.has_value());
    EXPECT_THAT(result->build_id, testing::MatchesRegex("[0-9a-f]{40}"));
    EXPECT_THAT(result->types->origin(), testing::StartsWith("DWARF of "));
}

#ifdef VITRINE_TYPES_PAHOLE
TEST(ImportDwarf, AgreesWithBtfOfTheSameFile) {
    const auto btf = imported(fixture("types_fixture_btf.so"));
    ASSERT_NE(btf, nullptr);
    EXPECT_THAT(btf->origin(), testing::StartsWith("BTF of "));
    expect_layouts(*btf);
    auto from_btf = layouts(*btf);
    auto from_dwarf = layouts(*imported(fixture("types_fixture_dwarf4.so")));
    EXPECT_EQ(from_btf.size(), from_dwarf.size());
    // pahole before 1.25 writes int[3][4][5] as int[60]: the place agrees, the shape does not.
    const auto matrix = btf->field(*btf->find("matrices"), "matrix");
    ASSERT_TRUE(matrix.has_value());
    EXPECT_EQ(matrix->offset(), 4u);
    EXPECT_EQ(matrix->size, 240u);
    from_dwarf.erase("matrices");
    for (const auto& [name, layout] : from_dwarf) EXPECT_EQ(from_btf[name], layout) << name;
}

TEST(ImportDwarf, DefinitionsAgreeWithPahole) {
    const std::string path = fixture("types_fixture_dwarf4.so");
    const auto types = imported(path);
    ASSERT_NE(types, nullptr);
    for (const char* name : {"list_head", "nested", "arrays", "functions", "bits", "with_empty", "defined_in_two"}) {
        const std::string theirs = test::output_of(std::string(VITRINE_TYPES_PAHOLE) + " -F dwarf -C " + name + " " +
                                                   path);
        ASSERT_THAT(theirs, HasSubstr(name));
        EXPECT_EQ(test::layout_comments(types->definition(*types->find(name))), test::layout_comments(theirs))
            << name << "\n"
            << theirs;
    }
}
#endif

class ScratchFile {
public:
    explicit ScratchFile(std::string_view content)
        : path_((fs::temp_directory_path() / ("vitrine-types-" + std::to_string(::getpid()))).string()) {
        std::ofstream(path_, std::ios::binary) << content;
    }
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;
    ~ScratchFile() { fs::remove(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ImportDwarfErrors, SayWhatToDo) {
    const auto missing = import_dwarf("/nonexistent/vmlinux");
    ASSERT_FALSE(missing.has_value());
    EXPECT_EQ(missing.error().code, Errc::io);

    const ScratchFile text("this is no program");
    const auto not_elf = import_dwarf(text.path());
    ASSERT_FALSE(not_elf.has_value());
    EXPECT_THAT(not_elf.error().to_string(), HasSubstr("not an ELF file"));

    const auto stripped = import_dwarf(fixture("types_fixture_stripped.so"));
    ASSERT_FALSE(stripped.has_value());
    EXPECT_EQ(stripped.error().code, Errc::not_found);
    EXPECT_THAT(stripped.error().hint(), HasSubstr("-dbg"));

    std::string narrow = content_of(fixture("types_fixture_stripped.so"));
    narrow[4] = 1;  // ELFCLASS32
    const ScratchFile narrow_file(narrow);
    const auto narrow_result = import_dwarf(narrow_file.path());
    ASSERT_FALSE(narrow_result.has_value());
    EXPECT_EQ(narrow_result.error().code, Errc::unsupported);
}

TEST(ImportDwarfErrors, LimitsEndTheChild) {
    dwarf::Limits no_time;
    no_time.time = std::chrono::seconds(0);
    EXPECT_EQ(dwarf::import(fixture("types_fixture_dwarf5.so"), no_time).error().code, Errc::timeout);
}

// In a process of its own: memory that earlier tests freed would be the child's to use.
TEST(ImportDwarfErrorsDeathTest, MemoryLimitEndsTheChild) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    ASSERT_TRUE(import_dwarf(fixture("types_fixture_many.so")).has_value());
    const auto refused = [] {
        dwarf::Limits no_memory;
        no_memory.memory = 64 << 10;
        no_memory.time = std::chrono::seconds(5);  // the address sanitizer hangs when it gets no memory
        return !dwarf::import(fixture("types_fixture_many.so"), no_memory).has_value();
    };
    EXPECT_EXIT(::_exit(refused() ? 0 : 1), testing::ExitedWithCode(0), "");
}

// Damage all over a real file: whatever libdw does with it, this process goes on.
TEST(ImportDwarfErrors, DamagedFilesDoNoHarm) {
    const std::string good = content_of(fixture("types_fixture_dwarf5.so"));
    std::uint32_t random = 12345;
    const auto next = [&random] { return random = random * 1664525 + 1013904223; };
    for (int round = 0; round < 100; ++round) {
        std::string bad = good;
        for (int i = 0; i < 40; ++i) bad[next() % bad.size()] = static_cast<char>(next() >> 24);
        bad.replace(0, 64, good, 0, 64);
        const ScratchFile file(bad);
        const auto result = import_dwarf(file.path());
        if (result) {
            for (TypeId id = 0; id < result->types->size(); ++id) (void)result->types->definition(id);
        }
    }
    const ScratchFile half(good.substr(0, good.size() / 2));
    EXPECT_FALSE(import_dwarf(half.path()).has_value());
}

}  // namespace
}  // namespace vitrine
