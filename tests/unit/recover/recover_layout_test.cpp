// What is recovered without types against what the same kernel's BTF says. Recorded guests are made by guests/images; without
// them these tests say that they did not run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "os/linux/find/prove.h"
#include "os/linux/recover/recover_layout.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine::linux_os {
namespace {

namespace fs = std::filesystem;

fs::path images_folder() {
    const char* own = std::getenv("VITRINE_GUESTS_DIR");
    return fs::path(own != nullptr ? own : VITRINE_GUESTS_DIR) / "images";
}

std::vector<std::string> recorded_guests() {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(images_folder(), error)) {
        const std::string name = entry.path().filename().string();
        if (fs::exists(entry.path() / (name + ".raw"))) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    if (names.empty()) names.push_back("none");
    return names;
}

class RecoverLayout : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override {
        if (GetParam() == "none") GTEST_SKIP() << "no recorded guests in " << images_folder();
        const std::string path = images_folder() / GetParam() / (GetParam() + ".raw");
        auto machine = open_machine({TargetKind::file, path}, {});
        ASSERT_TRUE(machine.has_value()) << machine.error().to_string();
        AttachOptions options;
        options.use_cache = false;
        auto guest = Guest::attach(std::move(*machine), options);
        ASSERT_TRUE(guest.has_value()) << guest.error().to_string();
        guest_ = std::move(*guest);
        linux_ = guest_->as_linux();
        ASSERT_NE(linux_, nullptr);
    }
    // Absent or as BTF has it.
    void expect_true(const Layout& recovered) const {
        for (const FieldNeed& wanted : field_needs()) {
            if (!recovered.has(wanted.id)) continue;
            ASSERT_TRUE(linux_->layout().has(wanted.id)) << wanted.name;
            EXPECT_EQ(recovered.at(wanted.id), linux_->layout().at(wanted.id)) << wanted.name;
        }
    }
    std::unique_ptr<Guest> guest_;
    LinuxGuest* linux_ = nullptr;
};

// Memory in which some pages cannot be read, and some bytes are not what they were.
class DamagedMemory final : public PhysicalMemory {
public:
    DamagedMemory(PhysicalMemory& memory, std::uint32_t seed) : memory_(memory), seed_(seed) {}
    [[nodiscard]] std::span<const MemoryRange> ranges() const override { return memory_.ranges(); }
    [[nodiscard]] AccessMethod method() const override { return memory_.method(); }
    Result<void> read(std::span<ReadOp> ops) override {
        VITRINE_CHECK(memory_.read(ops));
        for (ReadOp& op : ops) {
            const std::uint64_t page = (op.address.value >> 12) * 2654435761u + seed_;
            if (page % 499 == 0) op.ok = false;
            if (page % 97 != 0 || op.out.empty()) continue;
            op.out[(page >> 8) % op.out.size()] ^= static_cast<std::byte>(1u << (page % 8));
        }
        return {};
    }

private:
    PhysicalMemory& memory_;
    std::uint32_t seed_;
};

TEST_P(RecoverLayout, AgreesWithBtf) {
    const RecoveredLayout recovered = recover_layout(linux_->space(), linux_->proven().symbols);
    EXPECT_THAT(recovered.layout.missing_required(), testing::IsEmpty());
    expect_true(recovered.layout);
    EXPECT_TRUE(recovered.usual_order);
    EXPECT_EQ(recovered.evidence.size(), recovered.layout.present_count());
    // What these guests' workload makes certain on every kernel.
    using F = FieldId;
    for (const F id : {F::task_tasks,
                       F::task_pid,
                       F::task_tgid,
                       F::task_comm,
                       F::task_state,
                       F::task_exit_state,
                       F::task_flags,
                       F::task_real_parent,
                       F::task_children,
                       F::task_sibling,
                       F::task_group_leader,
                       F::task_mm,
                       F::task_active_mm,
                       F::task_real_cred,
                       F::task_cred,
                       F::task_fs,
                       F::task_files,
                       F::task_nsproxy,
                       F::task_signal,
                       F::task_sighand,
                       F::task_thread_pid,
                       F::task_thread_node,
                       F::task_start_boottime,
                       F::task_static_prio,
                       F::task_kthread,
                       F::task_stack,
                       F::signal_thread_head,
                       F::signal_nr_threads,
                       F::signal_pgid,
                       F::signal_sid,
                       F::pid_level,
                       F::pid_numbers,
                       F::mm_pgd,
                       F::mm_arg_start,
                       F::mm_arg_end,
                       F::mm_env_start,
                       F::mm_env_end,
                       F::mm_start_code,
                       F::mm_brk,
                       F::cred_uid,
                       F::cred_euid,
                       F::cred_gid,
                       F::module_list,
                       F::module_name,
                       F::module_state}) {
        EXPECT_TRUE(recovered.layout.has(id)) << need(id).name;
    }
}

// One anchor less must cost members, never give false ones.
TEST_P(RecoverLayout, WithoutEachSymbol) {
    for (std::size_t i = 0; i < kSymbolCount; ++i) {
        KernelSymbols fewer = linux_->proven().symbols;
        fewer.set(static_cast<SymbolId>(i), std::nullopt);
        const RecoveredLayout recovered = recover_layout(linux_->space(), fewer);
        SCOPED_TRACE(kSymbolNames[i]);
        expect_true(recovered.layout);
        if (static_cast<SymbolId>(i) == SymbolId::init_task) {
            EXPECT_FALSE(recovered.layout.has(FieldId::task_tasks));
        }
    }
}

// A wrong anchor: each symbol at the address of another one.
TEST_P(RecoverLayout, WithEachSymbolElsewhere) {
    const KernelSymbols& good = linux_->proven().symbols;
    for (std::size_t i = 0; i < kSymbolCount; ++i) {
        KernelSymbols wrong = good;
        wrong.set(static_cast<SymbolId>(i), good.get(static_cast<SymbolId>((i + 1) % kSymbolCount)));
        const RecoveredLayout recovered = recover_layout(linux_->space(), wrong);
        EXPECT_EQ(recovered.evidence.size(), recovered.layout.present_count());
    }
}

TEST_P(RecoverLayout, DamagedMemoryEndsInTime) {
    const auto begin = std::chrono::steady_clock::now();
    std::size_t found = 0;
    for (std::uint32_t seed = 1; seed <= 20; ++seed) {
        DamagedMemory damaged(guest_->machine().memory(), seed * 7919);
        const AddressSpace space(damaged, guest_->space().mode(), guest_->space().root());
        const RecoveredLayout recovered = recover_layout(space, linux_->proven().symbols);
        EXPECT_EQ(recovered.evidence.size(), recovered.layout.present_count());
        found += recovered.layout.present_count();
    }
    EXPECT_GT(found, 0u);  // damage so slight that some rules still hold
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

// The whole program without BTF: the same processes and threads.
TEST_P(RecoverLayout, AttachWithoutBtf) {
    const std::string path = images_folder() / GetParam() / (GetParam() + ".raw");
    AttachOptions options;
    options.use_cache = false;
    options.ignore_btf = true;
    auto machine = open_machine({TargetKind::file, path}, {});
    ASSERT_TRUE(machine.has_value());
    auto blind = Guest::attach(std::move(*machine), options);
    ASSERT_TRUE(blind.has_value()) << blind.error().to_string();
    const auto ids = [](const TaskSnapshot& snapshot) {
        std::vector<std::pair<std::int32_t, std::string>> all;
        for (const TaskKey& task : snapshot.tasks) all.emplace_back(task.pid, task.name());
        return all;
    };
    EXPECT_EQ(ids((*blind)->as_linux()->processes()), ids(linux_->processes()));
    EXPECT_EQ(ids((*blind)->as_linux()->threads()), ids(linux_->threads()));
}

INSTANTIATE_TEST_SUITE_P(Guests, RecoverLayout, testing::ValuesIn(recorded_guests()),
                         [](const auto& guest) { return guest.param; });

}  // namespace
}  // namespace vitrine::linux_os
