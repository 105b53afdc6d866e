// A member counts only if it is what its bytes are taken for.
#include "os/linux/layout.h"

#include "support/btf_writer.h"
#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

using linux_os::FieldId;
using linux_os::Layout;
using linux_os::resolve_layout;

// A task_struct of a test's own, with types to choose from.
struct Task {
    BtfWriter w;
    std::uint32_t u32 = w.integer("unsigned int", 4), u64 = w.integer("unsigned long", 8),
                  u16 = w.integer("short unsigned int", 2), character = w.integer("char", 1, true),
                  pointer = w.pointer(0);
    std::uint32_t list = w.structure("list_head", 16, {{"next", pointer, 0, 0}, {"prev", pointer, 64, 0}});

    [[nodiscard]] Layout layout(const std::vector<BtfWriter::Member>& members, std::uint32_t size = 4096) {
        w.structure("task_struct", size, members);
        const auto types = parse_btf(w.blob(), "test");
        EXPECT_TRUE(types) << (types ? "" : types.error().to_string());
        return types ? resolve_layout(**types) : Layout();
    }
};

TEST(LayoutShapes, WhatIsOfTheRightShapeIsThere) {
    Task t;
    const auto wrapped = t.w.structure("atomic_t", 4, {{"counter", t.u32, 0, 0}});
    const auto constant = t.w.type_definition("state_t", t.u32);
    const Layout layout = t.layout({{"tasks", t.list, 0, 0},
                                    {"pid", t.u32, 128, 0},
                                    {"tgid", wrapped, 160, 0},
                                    {"comm", t.w.array(t.character, 16), 192, 0},
                                    {"__state", constant, 320, 0},
                                    {"mm", t.pointer, 384, 0},
                                    {"start_boottime", t.u64, 448, 0}});
    for (const FieldId id : {FieldId::task_tasks, FieldId::task_pid, FieldId::task_tgid, FieldId::task_comm,
                             FieldId::task_state, FieldId::task_mm, FieldId::task_start_boottime}) {
        EXPECT_TRUE(layout.has(id)) << linux_os::need(id).name;
    }
    EXPECT_TRUE(layout.missing_required().empty());
    EXPECT_EQ(layout.slot(FieldId::task_comm).size, 16u);
}

TEST(LayoutShapes, WhatIsNotCountsAsAbsent) {
    Task t;
    const auto half = t.w.structure("half", 8, {{"next", t.pointer, 0, 0}});
    const Layout layout = t.layout({{"tasks", half, 0, 0},
                                    {"pid", t.u64, 128, 0},
                                    {"tgid", t.u16, 192, 0},
                                    {"comm", t.w.array(t.character, 8), 256, 0},
                                    {"exit_state", t.pointer, 320, 0},
                                    {"mm", t.u64, 384, 0},
                                    {"active_mm", t.u32, 448, 0},
                                    {"start_boottime", t.pointer, 512, 0},
                                    {"sibling", t.w.array(t.pointer, 2), 576, 0},
                                    {"flags", t.u32, 704, 7}});
    for (const FieldId id : {FieldId::task_tasks, FieldId::task_pid, FieldId::task_tgid, FieldId::task_comm,
                             FieldId::task_exit_state, FieldId::task_mm, FieldId::task_active_mm,
                             FieldId::task_start_boottime, FieldId::task_sibling, FieldId::task_flags}) {
        EXPECT_FALSE(layout.has(id)) << linux_os::need(id).name;
    }
    EXPECT_EQ(layout.missing_required().size(), 4u);
}

TEST(LayoutShapes, TextIsNoArrayOfNumbers) {
    Task t;
    EXPECT_FALSE(t.layout({{"comm", t.w.array(t.u32, 16), 0, 0}}).has(FieldId::task_comm));
}

TEST(LayoutShapes, TheNextAlternativeIsTakenInstead) {
    Task t;
    const Layout layout = t.layout({{"__state", t.u16, 0, 0},
                                    {"state", t.u64, 64, 0},  // long before v5.14
                                    {"start_boottime", t.u32, 128, 0},
                                    {"real_start_time", t.u64, 192, 0}});
    ASSERT_TRUE(layout.has(FieldId::task_state));
    EXPECT_EQ(layout.at(FieldId::task_state), 8u);
    EXPECT_EQ(layout.slot(FieldId::task_state).alternative, 1);
    ASSERT_TRUE(layout.has(FieldId::task_start_boottime));
    EXPECT_EQ(layout.at(FieldId::task_start_boottime), 24u);
}

// Offsets of a guest's making are added up in 32 bits.
TEST(LayoutShapes, NoOffsetIsLargerThanAnyStructure) {
    Task t;
    const auto far = t.w.structure("far", 0x1000'0000, {{"pid", t.u32, 0x7fff'ff00, 0}});
    const Layout layout = t.layout({{"tasks", t.list, 0, 0}, {"", far, 128, 0}, {"tgid", t.u32, (1u << 23) - 32, 0}},
                                   0x2000'0000);
    EXPECT_TRUE(layout.has(FieldId::task_tasks));
    EXPECT_FALSE(layout.has(FieldId::task_pid));
    EXPECT_TRUE(layout.has(FieldId::task_tgid)) << "the last that is believed";
}

// The made-up kernel has all that real ones have: nothing may be lost on the way.
TEST(LayoutShapes, NoMemberOfAWholeKernelIsRefused) {
    for (const bool modern : {true, false}) {
        TypeOptions options;
        options.new_state_name = options.percpu_rss = options.module_memory = options.tk_data = modern;
        const SyntheticTypes types(options);
        const auto catalog = parse_btf(types.btf(), "made up");
        ASSERT_TRUE(catalog);
        const Layout layout = resolve_layout(**catalog);
        for (const linux_os::FieldNeed& need : linux_os::field_needs()) {
            bool there = false;
            const auto structure = (*catalog)->find("struct " + std::string(need.structure));
            for (const std::string_view path : need.paths)
                there = there || (structure && !path.empty() && (*catalog)->field(*structure, path));
            EXPECT_EQ(layout.has(need.id), there) << need.name;
        }
    }
}

}  // namespace
}  // namespace vitrine::test
