// A Linux guest. Tables read through it; programs may use it directly:
//
//   LinuxGuest* guest = ...->as_linux();
//   for (const TaskKey& task : guest->processes().tasks) fmt::print("{:>7} {}\n", task.pid, task.name());
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vitrine/base/function_ref.h"
#include "vitrine/base/walk.h"
#include "vitrine/guest/guest.h"
#include "vitrine/types/member_need.h"

namespace vitrine {

namespace linux_os {
struct ProvenKernel;
class Layout;
class ModuleTypeCache;
}  // namespace linux_os

// What identifies a task: read in one piece, so that its parts belong together.
struct TaskKey {
    Gva address;            // of struct task_struct
    std::int32_t pid = 0;   // the thread's id (task_struct.pid), in the initial pid namespace
    std::int32_t tgid = 0;  // the process's id
    std::array<char, 16> comm{};
    [[nodiscard]] std::string_view name() const;  // comm up to its NUL: any bytes, clean before showing
};

// Tasks as one walk saw them. report.end tells whether it was all of them; report.retries how often a running guest tore it.
struct TaskSnapshot {
    std::vector<TaskKey> tasks;
    WalkReport report;
};

// Types of one loaded module, over those of the kernel's own BTF.
struct ModuleTypes {
    std::string module;                        // any bytes
    std::shared_ptr<const TypeCatalog> types;  // both the kernel's and the module's
    TypeId first = 0;                          // of the module's own; what is below is the kernel's
};

struct ModuleTypesWanted {
    std::string_view module;  // only this one; "": all
    std::string_view type;    // only modules that have a type of this name (without keyword); "": all
};

struct ModuleTypesReport {
    WalkReport walk;
    std::vector<std::string> problems;  // modules whose types cannot be read or are malformed, one line each
};

class LinuxGuest final : public Guest {
public:
    LinuxGuest(std::unique_ptr<Machine> machine, std::unique_ptr<PhysicalMemory> cache, KernelInfo info,
               std::unique_ptr<linux_os::ProvenKernel> proven);
    ~LinuxGuest() override;

    [[nodiscard]] LinuxGuest* as_linux() override { return this; }

    // Every process (thread group leader) but the idle task, in the kernel's order. Begins a new generation. A walk that was torn is
    // begun anew up to eight times; what is still torn then is returned as far as it went, and says so.
    [[nodiscard]] TaskSnapshot processes(WalkBudget budget = {}) const;
    // The process with this id, or none. Looked for where it was last seen first, so that asking again costs a few
    // reads; what is found is on the task list, as of processes(). Begins a new generation.
    [[nodiscard]] TaskSnapshot process(std::int32_t pid, WalkBudget budget = {}) const;
    // Every thread of every process. A process that went away meanwhile is left out.
    [[nodiscard]] TaskSnapshot threads(WalkBudget budget = {}) const;
    // Those of one process.
    [[nodiscard]] TaskSnapshot threads_of(std::int32_t pid, WalkBudget budget = {}) const;
    // The thread with this id, or none. As of process(): asking again costs the threads of one process.
    [[nodiscard]] TaskSnapshot thread(std::int32_t tid, WalkBudget budget = {}) const;

    Result<void> verify() const override;
    [[nodiscard]] std::string doubt() const override;
    Result<const SymbolTable*> symbols() override;
    // Addresses of a few of the kernel's own symbols, in their order, without decoding all. nullopt: no such symbol, or several.
    Result<std::vector<std::optional<Gva>>> find_symbols(std::span<const std::string_view> names);
    // What could not be put into symbols() and why, one line; "" when all is there.
    [[nodiscard]] const std::string& symbols_missing() const { return symbols_missing_; }
    Result<const TypeCatalog*> types() override;
    // A group of members, resolved against types() at its first use and kept; the group outlives the guest. not_found
    // names what is missing.
    Result<const Members*> members(const NeedGroup& group);
    // Types of modules (split BTF), newest module first; visit returns false to stop. They are read anew each time, and
    // parsed anew where they are not what they were. not_found: the kernel keeps none (before 5.11).
    Result<ModuleTypesReport> for_each_module_types(const ModuleTypesWanted& wanted, WalkBudget budget,
                                                    FunctionRef<bool(const ModuleTypes&)> visit) const;

    [[nodiscard]] const linux_os::ProvenKernel& proven() const { return *proven_; }
    [[nodiscard]] const linux_os::Layout& layout() const;

private:
    class ModuleTypesWalk;
    // Tells one boot from the next where nothing else does (the same kernel at the same address).
    struct BootMark {
        std::optional<std::int64_t> boot_time;    // nanoseconds since the epoch
        std::optional<std::uint64_t> first_task;  // address of process 1
    };
    [[nodiscard]] BootMark boot_mark() const;
    [[nodiscard]] TaskSnapshot threads_of(const TaskSnapshot& leaders, WalkBudget budget) const;
    Result<void> read_symbol_region();
    [[nodiscard]] bool vcpus_left() const;
    Result<std::shared_ptr<const TypeCatalog>> btf_types() const;

    using Clock = std::chrono::steady_clock;

    std::unique_ptr<linux_os::ProvenKernel> proven_;
    BootMark boot_;
    // When life was last seen: a vCPU on the kernel's page tables, or its clock moved.
    mutable Clock::time_point alive_at_;
    std::unique_ptr<SymbolTable> symbols_;
    std::string symbols_missing_;
    std::shared_ptr<const TypeCatalog> types_;
    // Those of the kernel's own BTF, which modules go on from: the same as types_ unless that is another file's.
    mutable std::shared_ptr<const TypeCatalog> btf_types_;
    std::unique_ptr<linux_os::ModuleTypeCache> module_types_;
    std::unordered_map<const NeedGroup*, Result<Members>> members_;
    mutable std::unordered_map<std::int32_t, Gva> seen_;  // process id to task_struct, as of the last walk for one
    mutable std::unordered_map<std::int32_t, std::int32_t> process_of_;  // thread id to process id, likewise
};

}  // namespace vitrine
