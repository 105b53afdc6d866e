// What each task owns or shares. init_task is initialised with pointers to objects that have symbols (init/init_task.c).
#include <fmt/format.h>

#include <bit>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

// Offsets at which init_task points to the symbol and every task to a kernel object, or to none.
std::vector<std::uint32_t> anchored(const Recovery& r, SymbolId id) {
    const auto symbol = r.symbol(id);
    if (!symbol) return {};
    std::vector<std::uint32_t> hits = r.tasks.hits(0, symbol->value);
    std::erase_if(hits, [&](std::uint32_t at) {
        for (std::size_t i = 1; i < r.tasks.count(); ++i) {
            const std::uint64_t value = r.tasks.u64(i, at);
            if (value != 0 && !r.is_kernel_pointer(value)) return true;
        }
        return false;
    });
    return hits;
}

void recover_anchored(Recovery& r, FieldId field, SymbolId symbol) {
    const auto at = only(anchored(r, symbol));
    if (!at) return;
    r.found(field, *at, 8,
            fmt::format("init_task holds &{} there, every task a kernel pointer or null",
                        kSymbolNames[static_cast<std::size_t>(symbol)]));
}

bool always_equal(const Images& t, std::uint32_t a, std::uint32_t b) {
    for (std::size_t i = 0; i < t.count(); ++i) {
        if (t.u64(i, a) != t.u64(i, b)) return false;
    }
    return true;
}

void recover_credentials(Recovery& r) {
    const auto hits = anchored(r, SymbolId::init_cred);
    if (hits.size() != 2 || hits[1] != hits[0] + 8) return;
    r.found_by_order(FieldId::task_real_cred, hits[0], 8,
                     "the first of the two words in init_task that hold &init_cred");
    r.found_by_order(FieldId::task_cred, hits[1], 8, "the second of the two words in init_task that hold &init_cred");
}

// Linux 7.3 keeps real_fs before fs, as real_cred before cred; they hold the same but while a kernel thread borrows another's.
void recover_fs(Recovery& r) {
    const auto hits = anchored(r, SymbolId::init_fs);
    if (const auto at = only(hits)) {
        r.found(FieldId::task_fs, *at, 8, "init_task holds &init_fs there, every task a kernel pointer or null");
        return;
    }
    if (hits.size() != 2 || hits[1] != hits[0] + 8 || !always_equal(r.tasks, hits[0], hits[1])) return;
    r.found_by_order(FieldId::task_fs, hits[1], 8,
                     "the second of the two words that hold &init_fs in init_task and are equal in every task");
}

constexpr std::uint32_t kCredSpan = 192;

bool is_full_set(std::uint64_t capabilities) {
    const auto ones = static_cast<unsigned>(std::countr_one(capabilities));
    return ones >= 32 && (ones == 64 || capabilities >> ones == 0);
}

// cap_inheritable (none), cap_permitted, cap_effective, cap_bset (all), cap_ambient (none) of init_cred.
std::optional<std::uint32_t> capabilities_at(const Images& kernel) {
    return only(kernel.where(4, 40, [&](std::size_t i, std::uint32_t at) {
        return kernel.u64(i, at) == 0 && is_full_set(kernel.u64(i, at + 8)) && is_full_set(kernel.u64(i, at + 16)) &&
               is_full_set(kernel.u64(i, at + 24)) && kernel.u64(i, at + 32) == 0;
    }));
}

}  // namespace

void recover_owned_objects(Recovery& r) {
    recover_credentials(r);
    recover_fs(r);
    recover_anchored(r, FieldId::task_files, SymbolId::init_files);
    recover_anchored(r, FieldId::task_nsproxy, SymbolId::init_nsproxy);
    recover_anchored(r, FieldId::task_signal, SymbolId::init_signals);
    recover_anchored(r, FieldId::task_sighand, SymbolId::init_sighand);
    recover_anchored(r, FieldId::task_thread_pid, SymbolId::init_struct_pid);
}

// struct cred: usage (4 bytes, 8 since v6.7 and its backports), eight ids, securebits, the capability sets
// (include/linux/cred.h; aligned to 4 bytes before v6.3, to 8 since). Where the sets begin tells the size of the use count:
// 4 + 32 + 4 = 40; 8 + 32 + 4 = 44, or 48 aligned.
void recover_cred(Recovery& r) {
    const auto init_cred = r.symbol(SymbolId::init_cred);
    if (!init_cred || !r.layout.has(FieldId::task_cred)) return;
    const Images kernel(r.space, std::span(&*init_cred, 1), kCredSpan);
    const Images all(r.space, r.distinct_pointers(FieldId::task_cred), kCredSpan);
    const auto sets = kernel.count() == 1 ? capabilities_at(kernel) : std::nullopt;
    if (!sets) return;
    const std::uint32_t ids = *sets == 40 ? 4 : 8;
    if (*sets != 40 && *sets != 44 && *sets != 48) return;
    // Somebody must have an id, or nothing has been seen; for all, what is before the ids is a count of users.
    bool anybody = false;
    for (std::size_t i = 0; i < all.count(); ++i) {
        const std::uint64_t usage = ids == 8 ? all.u64(i, 0) : all.u32(i, 0);
        if (usage == 0 || usage > (1u << 24)) return;
        anybody = anybody || (all.u32(i, ids) != 0 && all.u32(i, ids + 4) != 0 && all.u32(i, ids + 8) != 0 &&
                              all.u32(i, ids + 12) != 0);
    }
    if (!anybody) return;
    constexpr FieldId kFields[] = {FieldId::cred_uid,  FieldId::cred_gid,  FieldId::cred_suid,
                                   FieldId::cred_sgid, FieldId::cred_euid, FieldId::cred_egid};
    std::uint32_t at = ids;
    for (const FieldId field : kFields) {
        r.found_by_order(field, at, 4,
                         fmt::format("behind the use count, before the capability sets of init_cred at {:#x}", *sets));
        at += 4;
    }
}

}  // namespace vitrine::linux_os
