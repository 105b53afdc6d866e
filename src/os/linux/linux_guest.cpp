#include "vitrine/guest/linux_guest.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "os/linux/find/prove.h"
#include "os/linux/module_symbols.h"
#include "os/linux/module_type_cache.h"
#include "os/linux/task_list.h"
#include "os/linux/task_watch.h"
#include "os/linux/wall_clock.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {
namespace {

// A list torn by a running guest is torn for microseconds; but one where processes come and go without end may be torn in each second walk.
constexpr unsigned kRetries = 8;

// How long a kernel that was seen to run is taken to run: no answer is older than this.
constexpr std::chrono::milliseconds kFresh{100};

bool is_torn(WalkEnd end) { return end == WalkEnd::inconsistent || end == WalkEnd::fault || end == WalkEnd::cycle; }

}  // namespace

std::string_view TaskKey::name() const { return {comm.data(), strnlen(comm.data(), comm.size())}; }

LinuxGuest::LinuxGuest(std::unique_ptr<Machine> machine, std::unique_ptr<PhysicalMemory> cache, KernelInfo info,
                       std::unique_ptr<linux_os::ProvenKernel> proven)
    : Guest(std::move(machine), std::move(info)), proven_(std::move(proven)) {
    cached_memory_ = std::move(cache);
    PhysicalMemory& memory = cached_memory_ ? *cached_memory_ : machine_->memory();
    space_ = std::make_unique<AddressSpace>(memory, proven_->image.paging, proven_->root);
    types_ = proven_->types;
    if (proven_->layout_source == linux_os::LayoutSource::btf) btf_types_ = types_;
    module_types_ = std::make_unique<linux_os::ModuleTypeCache>();
    boot_ = boot_mark();
    if (proven_->running == linux_os::Running::yes) alive_at_ = Clock::now();
}

LinuxGuest::~LinuxGuest() = default;

const linux_os::Layout& LinuxGuest::layout() const { return proven_->layout; }

TaskSnapshot LinuxGuest::processes(WalkBudget budget) const {
    const linux_os::TaskList list(*space_, *proven_->symbols.get(linux_os::SymbolId::init_task), proven_->layout);
    TaskSnapshot snapshot;
    for (unsigned attempt = 0;; ++attempt) {
        new_generation();
        TaskSnapshot now;
        now.report = list.for_each(budget, [&](const TaskKey& task) {
            now.tasks.push_back(task);
            return true;
        });
        now.report.retries = attempt;
        // Of several torn walks the longest is kept.
        if (attempt == 0 || !is_torn(now.report.end) || now.tasks.size() >= snapshot.tasks.size())
            snapshot = std::move(now);
        snapshot.report.retries = attempt;
        if (!is_torn(snapshot.report.end) || attempt == kRetries || !machine_->is_live()) return snapshot;
    }
}

TaskSnapshot LinuxGuest::process(std::int32_t pid, WalkBudget budget) const {
    const linux_os::TaskList list(*space_, *proven_->symbols.get(linux_os::SymbolId::init_task), proven_->layout);
    TaskSnapshot found;
    if (const auto seen = seen_.find(pid); seen != seen_.end()) {
        new_generation();
        const auto key = list.read_key(seen->second);
        if (key && key->pid == pid && key->tgid == pid && list.is_linked(key->address)) {
            found.tasks.push_back(*key);
            found.report.nodes = 1;
            return found;
        }
    }
    TaskSnapshot all = processes(budget);
    seen_.clear();
    for (const TaskKey& key : all.tasks) {
        seen_.emplace(key.tgid, key.address);
        if (key.tgid == pid) found.tasks.push_back(key);
    }
    found.report = all.report;
    return found;
}

namespace {

struct ProcessThreads {
    std::vector<TaskKey> threads;
    WalkReport report;
    [[nodiscard]] bool is_all() const { return report.end == WalkEnd::complete || report.end == WalkEnd::budget; }
};

// As far as they could be read. Walked anew while a running guest tears their list.
ProcessThreads read_threads(const LinuxGuest& guest, const linux_os::TaskList& list, const TaskKey& leader,
                            std::uint32_t signal_offset, WalkBudget budget) {
    ProcessThreads found;
    for (unsigned attempt = 0;; ++attempt) {
        found.threads.clear();
        if (const auto signal = guest.space().read_pointer(leader.address.wrap_plus(signal_offset))) {
            found.report = list.for_each_thread(*signal, budget, [&](const TaskKey& task) {
                // A thread of another process means that the structure was reused under the walk.
                if (task.tgid == leader.tgid) found.threads.push_back(task);
                return task.tgid == leader.tgid;
            });
            if (found.report.end == WalkEnd::stopped) found.report.end = WalkEnd::inconsistent;
        } else {
            found.report.end = WalkEnd::fault;
        }
        found.report.retries = attempt;
        if (found.is_all() || attempt == kRetries || !guest.machine().is_live()) return found;
        guest.new_generation();
    }
}

}  // namespace

// Each process is walked over twice, as one of the processes and as one of its threads: both count.
TaskSnapshot LinuxGuest::threads(WalkBudget budget) const {
    return threads_of(processes({budget.nodes / 2, budget.time}), budget);
}

TaskSnapshot LinuxGuest::threads_of(std::int32_t pid, WalkBudget budget) const {
    return threads_of(process(pid, {budget.nodes / 2, budget.time}), budget);
}

TaskSnapshot LinuxGuest::thread(std::int32_t tid, WalkBudget budget) const {
    const auto is_another = [tid](const TaskKey& key) { return key.pid != tid; };
    if (const auto known = process_of_.find(tid); known != process_of_.end()) {
        TaskSnapshot found = threads_of(known->second, budget);
        std::erase_if(found.tasks, is_another);
        if (!found.tasks.empty()) return found;
    }
    TaskSnapshot all = threads(budget);
    process_of_.clear();
    for (const TaskKey& key : all.tasks) process_of_.emplace(key.pid, key.tgid);
    std::erase_if(all.tasks, is_another);
    return all;
}

TaskSnapshot LinuxGuest::threads_of(const TaskSnapshot& leaders, WalkBudget budget) const {
    const linux_os::TaskList list(*space_, *proven_->symbols.get(linux_os::SymbolId::init_task), proven_->layout);
    const linux_os::TaskWatch watch(*this, leaders.tasks, linux_os::FieldId::task_tasks);
    const auto signal_offset = proven_->layout.offset(linux_os::FieldId::task_signal);
    TaskSnapshot all;
    all.report = leaders.report;
    if (!signal_offset) return leaders;
    all.tasks.reserve(
        leaders.tasks.size());  // each has a thread; growing would leave holes in the heap as large as the list
    Deadline deadline(budget.time);
    for (const TaskKey& leader : leaders.tasks) {
        if (deadline.passed()) {
            all.report.end = WalkEnd::budget;
            break;
        }
        const std::size_t walked = leaders.tasks.size() + all.tasks.size();
        const std::size_t left = budget.nodes > walked ? budget.nodes - walked : 0;
        ProcessThreads of = read_threads(*this, list, leader, *signal_offset, {left, budget.time});
        all.report.retries += of.report.retries;
        if (!of.is_all()) {
            // Of a running guest the process may simply have ended. Else its leader at least is known, whatever its threads' list is.
            if (watch.runs() && watch.is_off_list(leader)) continue;
            if (all.report.end == WalkEnd::complete) all.report.end = of.report.end;
            const bool has_leader = std::any_of(of.threads.begin(), of.threads.end(),
                                                [&](const TaskKey& t) { return t.address == leader.address; });
            if (!has_leader && left > 0) of.threads.insert(of.threads.begin(), leader);
        }
        all.tasks.insert(all.tasks.end(), of.threads.begin(), of.threads.end());
        if (of.report.end == WalkEnd::budget) {
            all.report.end = WalkEnd::budget;
            break;
        }
    }
    all.report.nodes = all.tasks.size();
    return all;
}

LinuxGuest::BootMark LinuxGuest::boot_mark() const {
    BootMark mark;
    mark.boot_time = linux_os::boot_time(*this);
    const Gva init_task = *proven_->symbols.get(linux_os::SymbolId::init_task);
    const auto first = space_->read_pointer(init_task.wrap_plus(layout().at(linux_os::FieldId::task_tasks)));
    if (first) mark.first_task = first->value;
    return mark;
}

Result<void> LinuxGuest::verify() const {
    VITRINE_CHECK(machine_->check_alive());
    if (!machine_->is_live()) return {};
    new_generation();
    // A clock that is being adjusted moves the boot time by less than a reboot takes.
    constexpr std::int64_t kSecond = 1'000'000'000;
    const BootMark now = boot_mark();
    const bool same_time = !boot_.boot_time || !now.boot_time || std::abs(*now.boot_time - *boot_.boot_time) < kSecond;
    const bool same = same_time && now.first_task == boot_.first_task &&
                      linux_os::same_kernel(space_->memory(), *proven_);
    if (same && !vcpus_left()) return {};
    return Error::with_text(Errc::stale, Origin::guest, "the guest rebooted, or its kernel changed, while it was read",
                            "ask again: the kernel is found anew each time");
}

// A reset leaves memory as it was.
bool LinuxGuest::vcpus_left() const {
    using linux_os::Running;
    if (proven_->running != Running::yes || Clock::now() - alive_at_ < kFresh) return false;
    const Running running = linux_os::watch_vcpus(*machine_, proven_->image);
    if (running == Running::yes) alive_at_ = Clock::now();
    return running == Running::no;
}

std::string LinuxGuest::doubt() const {
    using linux_os::Running;
    if (!machine_->is_live()) {
        return proven_->running != Running::no ? "" : "no vCPU runs this kernel: it may be what a reset left in memory";
    }
    if (proven_->running == Running::yes) return {};
    const linux_os::Pulse now = linux_os::read_pulse(machine_->memory(), proven_->image, proven_->symbols);
    if (linux_os::has_moved(proven_->pulse, now)) alive_at_ = Clock::now();
    proven_->pulse = now;
    if (alive_at_ != Clock::time_point() && Clock::now() - alive_at_ < kFresh) return {};
    return "nothing shows that this kernel runs: its clock stood still while it was read, and no vCPU registers tell. "
           "The guest is idle "
           "or paused, or was just reset: then this is what the kernel of before left in memory";
}

Result<void> LinuxGuest::read_symbol_region() {
    if (proven_->region) return {};
    proven_->region = VITRINE_TRY(
        linux_os::read_region(space_->memory(), proven_->image, proven_->region_va, proven_->region_size));
    return {};
}

Result<std::vector<std::optional<Gva>>> LinuxGuest::find_symbols(std::span<const std::string_view> names) {
    if (!symbols_) {
        VITRINE_CHECK(read_symbol_region());
        return lookup_kallsyms(proven_->region->bytes, proven_->region->va, proven_->kallsyms, names);
    }
    std::vector<std::optional<Gva>> found;
    for (const std::string_view name : names) found.push_back(symbols_->address_of(name));
    return found;
}

Result<const SymbolTable*> LinuxGuest::symbols() {
    if (symbols_) return symbols_.get();
    VITRINE_CHECK(read_symbol_region());
    SymbolTableBuilder builder;
    VITRINE_CHECK(decode_kallsyms(proven_->region->bytes, proven_->region->va, proven_->kallsyms, builder));
    symbols_missing_ = linux_os::add_module_symbols(*this, builder).missing;
    symbols_ = std::make_unique<SymbolTable>(builder.build());
    return symbols_.get();
}

Result<const TypeCatalog*> LinuxGuest::types() {
    if (!types_) types_ = VITRINE_TRY(btf_types());
    return types_.get();
}

Result<const Members*> LinuxGuest::members(const NeedGroup& group) {
    auto known = members_.find(&group);
    if (known == members_.end()) {
        // Types that cannot be read now may be readable later: only what they say is kept.
        const TypeCatalog* catalog = VITRINE_TRY(types());
        known = members_.emplace(&group, resolve_members(*catalog, group)).first;
    }
    if (!known->second) return known->second.error();
    return &*known->second;
}

}  // namespace vitrine
