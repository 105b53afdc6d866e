// A guest whose kernel carries no types, looked into with a vmlinux that has debug information: as good as its BTF would be.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

using ::testing::HasSubstr;

// The guest's structures in C, every gap written out: a compiler makes DWARF of the same layout.
class CSource {
public:
    explicit CSource(const TypeCatalog& types) : types_(types) {
        for (TypeId id = 1; id < types.size(); ++id) {
            const Type& type = *types.type(id);
            if (type.name == 0) continue;
            if (type.kind == TypeKind::enumeration) text += types.definition(id);
            if (is_aggregate(type)) text += fmt::format("{} {} {};\n", word(type), types.type_name(id), braces(type));
        }
    }
    std::string text;

private:
    static bool is_aggregate(const Type& type) {
        return type.kind == TypeKind::structure || type.kind == TypeKind::union_;
    }
    static std::string_view word(const Type& type) { return type.kind == TypeKind::union_ ? "union" : "struct"; }

    std::string braces(const Type& type) {
        std::string body = "{ ";
        std::uint64_t at = 0;
        const auto fill = [&](std::uint64_t to) {
            if (type.kind == TypeKind::structure && to > at) body += fmt::format("char gap_{}[{}]; ", gaps_++, to - at);
        };
        for (const Member& member : types_.members(type)) {
            fill(member.bit_offset / 8);
            const Type& its = *types_.type(member.type);
            const std::string name(types_.name(member.name));
            body += its.name == 0 && is_aggregate(its) ? fmt::format("{} {} {}", word(its), braces(its), name)
                                                       : types_.declaration(member.type, name);
            body += "; ";
            at = member.bit_offset / 8 + types_.size_of(member.type).value_or(0);
        }
        fill(type.size);
        return body + "} __attribute__((packed))";
    }

    const TypeCatalog& types_;
    unsigned gaps_ = 0;
};

struct Vmlinux {
    Vmlinux(const SyntheticGuest& made, const std::string& flags, const std::string& build_id) {
        const auto types = parse_btf(made.types.btf(), "the made-up kernel");
        EXPECT_TRUE(types.has_value());
        const std::string source = (folder.path / "types.c").string();
        std::ofstream(source) << CSource(**types).text;
        path = (folder.path / "vmlinux").string();
        const std::string command = fmt::format(
            "{} {} -fno-eliminate-unused-debug-types -fPIC -shared -nostdlib -Wl,--build-id=0x{} -o {} {}",
            VITRINE_C_COMPILER, flags, build_id, path, source);
        // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
        EXPECT_EQ(std::system(command.c_str()), 0) << command;
    }
    TemporaryFolder folder;
    std::string path;
};

GuestDescription described(std::string btf) {
    GuestDescription d;
    d.types.seed = 120;
    d.btf = std::move(btf);
    return d;
}

Result<std::unique_ptr<Guest>> attach_with(const SyntheticGuest& made, const std::string& vmlinux) {
    AttachOptions options;
    options.use_cache = false;
    options.vmlinux = vmlinux;
    return Guest::attach(made.machine(made.vcpus()), options);
}

class VmlinuxFormat : public ::testing::TestWithParam<const char*> {};

TEST_P(VmlinuxFormat, SaysWhatTheKernelsOwnTypesWouldSay) {
    const SyntheticGuest typed(described("kernel"));
    const SyntheticGuest bare(described("none"));
    const Vmlinux vmlinux(bare, GetParam(), bare.build_id());
    auto expected = attach(typed.machine(typed.vcpus()));
    ASSERT_TRUE(expected) << expected.error().to_string();
    auto guest = attach_with(bare, vmlinux.path);
    ASSERT_TRUE(guest) << guest.error().to_string();
    EXPECT_THAT((*guest)->kernel().types_from, HasSubstr("DWARF of " + vmlinux.path));
    for (const std::string_view table : {"processes", "process_threads", "kernel_modules"}) {
        const Answer there = ask(**expected, table), here = ask(**guest, table);
        EXPECT_GT(here.rows.rows.size(), 2u) << table;
        EXPECT_EQ(here.rows.rows, there.rows.rows) << table;
        EXPECT_EQ(here.rows.all_diagnostics(), there.rows.all_diagnostics()) << table;
        EXPECT_EQ(here.end(), WalkEnd::complete) << table;
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, VmlinuxFormat,
                         ::testing::Values("-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -gz=zlib",
                                           "-gdwarf-4 -fdebug-types-section"),
                         [](const auto& parameter) { return fmt::format("format{}", parameter.index); });

// The same structures, but the operator's file is of another build: nothing says that they are the same.
TEST(WithVmlinux, OfAnotherBuildIsRefused) {
    const SyntheticGuest bare(described("none"));
    const std::string other(40, '7');
    const Vmlinux vmlinux(bare, "-g", other);
    const auto guest = attach_with(bare, vmlinux.path);
    ASSERT_FALSE(guest);
    EXPECT_EQ(guest.error().code, Errc::inconsistent);
    EXPECT_EQ(guest.error().origin, Origin::user);
    EXPECT_THAT(guest.error().to_string(), HasSubstr("is of another build"));
    EXPECT_THAT(guest.error().to_string(), HasSubstr(other));
    EXPECT_THAT(guest.error().to_string(), HasSubstr(bare.build_id()));
}

// Of no kernel at all, with a build-id that happens to fit: its types tell nothing of processes.
TEST(WithVmlinux, WithoutTheStructuresIsRefused) {
    const SyntheticGuest bare(described("none"));
    const Vmlinux vmlinux(bare, "-g -Dtask_struct=something_else", bare.build_id());
    const auto guest = attach_with(bare, vmlinux.path);
    ASSERT_FALSE(guest);
    EXPECT_THAT(guest.error().to_string(), HasSubstr("task_struct"));
}

}  // namespace
}  // namespace vitrine::test
