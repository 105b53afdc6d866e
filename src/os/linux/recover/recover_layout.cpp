#include "os/linux/recover/recover_layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {

void Recovery::found(FieldId id, std::uint32_t offset, std::uint32_t size, std::string_view why) {
    layout.set(id, {offset, size, true, 0});
    evidence.push_back(fmt::format("{} at {:#x}: {}", need(id).name, offset, why));
}

bool Recovery::is_kernel_pointer(std::uint64_t value) const {
    const bool five_levels = space.mode() == PagingMode::x86_64_5level;
    return value >= (five_levels ? 0xff00'0000'0000'0000 : 0xffff'8000'0000'0000) && value < 0xffff'ffff'ffff'f000;
}

std::vector<Gva> Recovery::distinct_pointers(FieldId id) const {
    std::vector<Gva> pointers;
    const auto at = offset(id);
    for (std::size_t i = 0; at && i < tasks.count(); ++i) {
        if (is_kernel_pointer(tasks.u64(i, *at))) pointers.push_back(tasks.pointer(i, *at));
    }
    std::sort(pointers.begin(), pointers.end());
    pointers.erase(std::unique(pointers.begin(), pointers.end()), pointers.end());
    return pointers;
}

namespace {

RecoveredLayout attempt(const AddressSpace& space, const KernelSymbols& symbols) {
    Recovery r{space, symbols, {}, {}, {}, {}, {}};
    if (recover_task_list(r)) {
        recover_identity(r);
        recover_memory(r);
        recover_owned_objects(r);
        recover_signal(r);
        recover_pid(r);
        recover_cred(r);
        recover_scheduling(r);
        recover_kthread(r);
    }
    recover_module(r);
    const bool usual = recover_order(r);
    return {std::move(r.layout), std::move(r.evidence), usual};
}

}  // namespace

RecoveredLayout recover_layout(const AddressSpace& space, const KernelSymbols& symbols) {
    // A running guest may tear what is looked at: rules then fail that hold. The attempt that found most is kept.
    constexpr unsigned kAttempts = 3;
    RecoveredLayout best;
    for (unsigned i = 0; i < kAttempts; ++i) {
        if (i != 0) space.new_generation();
        RecoveredLayout now = attempt(space, symbols);
        if (now.layout.present_count() > best.layout.present_count()) best = std::move(now);
        if (best.layout.missing_required().empty()) break;
    }
    return best;
}

}  // namespace vitrine::linux_os
