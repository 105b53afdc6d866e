// Address spaces: kernel threads have none. init_mm is filled with the kernel's own limits (setup_initial_init_mm).
#include <fmt/format.h>

#include <unordered_map>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kMmSpan = 1536;
constexpr std::uint32_t kKernelThread = 0x0020'0000;  // PF_KTHREAD
constexpr std::uint32_t kForkedOnly = 0x0000'0040;    // PF_FORKNOEXEC: a kernel thread never runs exec

// Where init_mm holds its page tables, every mm holds a page of its own.
bool lead_to_tables(const Recovery& r, std::uint32_t pointer_at, std::uint32_t table_at) {
    std::unordered_map<std::uint64_t, std::uint64_t> mm_of_table;
    for (std::size_t i = 0; i < r.tasks.count(); ++i) {
        const std::uint64_t mm = r.tasks.u64(i, pointer_at);
        if (mm == 0) continue;
        const auto table = r.space.read_pointer(Gva{mm}.wrap_plus(table_at));
        if (!table || !r.is_kernel_pointer(table->value) || table->offset_in(kPageSize) != 0) return false;
        const auto [it, is_new] = mm_of_table.emplace(table->value, mm);
        if (!is_new && it->second != mm) return false;
    }
    return true;
}

// Of init_mm; nullopt when it holds init_top_pgt nowhere, or twice.
std::optional<std::uint32_t> tables_of_init_mm(const Recovery& r) {
    const auto init_mm = r.symbol(SymbolId::init_mm);
    const auto table = r.symbol(SymbolId::init_top_pgt);
    if (!init_mm || !table) return std::nullopt;
    return only(Images(r.space, std::span(&*init_mm, 1), kMmSpan).hits(0, table->value));
}

void recover_mm_pointers(Recovery& r) {
    const auto table = tables_of_init_mm(r);
    const Images& t = r.tasks;
    std::vector<std::uint32_t> pairs = t.where(8, 16, [&](std::size_t i, std::uint32_t at) {
        const std::uint64_t mm = t.u64(i, at);
        if (i == 0) return mm == 0;
        if (mm == 0) return i != 1;  // the first process is a program
        return r.is_kernel_pointer(mm) && t.u64(i, at + 8) == mm;
    });
    std::erase_if(pairs, [&](std::uint32_t at) {  // kernel threads, kthreadd among them, have none
        std::size_t without = 0;
        for (std::size_t i = 1; i < t.count(); ++i) without += t.u64(i, at) == 0 ? 1u : 0u;
        return without < 2;
    });
    if (table) std::erase_if(pairs, [&](std::uint32_t at) { return !lead_to_tables(r, at, *table); });
    const auto at = only(pairs);
    if (!at) return;
    r.found(FieldId::task_mm, *at, 8,
            "null in swapper and kernel threads, else equal to the next word, leads to page tables of its own");
    r.found(FieldId::task_active_mm, *at + 8, 8, "equal to mm in programs");
}

// By kinship: swapper, kthreadd (2) and its children.
std::vector<char> kernel_threads(const Recovery& r) {
    const Images& t = r.tasks;
    const std::uint32_t pid = r.layout.at(FieldId::task_pid);
    const std::uint32_t parent = r.layout.at(FieldId::task_real_parent);
    std::optional<Gva> kthreadd;
    for (std::size_t i = 0; i < t.count(); ++i) {
        if (t.u32(i, pid) == 2) kthreadd = t.address(i);
    }
    std::vector<char> is_one(t.count());
    for (std::size_t i = 0; i < t.count(); ++i) {
        is_one[i] = i == 0 || (kthreadd && (t.address(i) == *kthreadd || t.pointer(i, parent) == *kthreadd)) ? 1 : 0;
    }
    return is_one;
}

void recover_flags(Recovery& r) {
    if (!r.layout.has(FieldId::task_real_parent) || !r.layout.has(FieldId::task_pid)) return;
    const Images& t = r.tasks;
    std::vector<char> is_one = kernel_threads(r);
    const auto at = only(t.where(4, 4, [&](std::size_t i, std::uint32_t offset) {
        const std::uint32_t flags = t.u32(i, offset);
        if (((flags & kKernelThread) != 0) != (is_one[i] != 0)) return false;
        // Not one half of a pointer.
        if (r.is_kernel_pointer(t.u64(i, offset & ~7u))) return false;
        return i == 0 || is_one[i] == 0 || (flags & kForkedOnly) != 0;
    }));
    if (!at) return;
    r.is_kernel_thread = std::move(is_one);
    r.found(FieldId::task_flags, *at, 4, "PF_KTHREAD set in swapper, kthreadd and its children, clear in all others");
}

// mm_struct: start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start,
// env_end, saved_auxv, in this order since 2.6.
void recover_limits(Recovery& r, const Images& kernel, const Images& user) {
    const auto text = r.symbol(SymbolId::text);
    const auto etext = r.symbol(SymbolId::etext);
    const auto edata = r.symbol(SymbolId::edata);
    if (!text || !etext || !edata) return;
    const auto at = only(kernel.where(8, 96, [&](std::size_t, std::uint32_t o) {
        return kernel.u64(0, o) == text->value && kernel.u64(0, o + 8) == etext->value &&
               kernel.u64(0, o + 24) == edata->value;
    }));
    if (!at) return;
    constexpr std::uint64_t kMaxAuxKey = 64;
    std::size_t with_auxv = 0;
    for (std::size_t i = 0; i < user.count(); ++i) {
        // prctl(PR_SET_MM) lets a program move these, never out of order (validate_prctl_map_addr).
        for (const std::uint32_t pair : {0u, 16u, 32u, 56u, 72u}) {
            const std::uint64_t begin = user.u64(i, *at + pair), end = user.u64(i, *at + pair + 8);
            if (begin > end || !r.is_user_address(end)) return;
        }
        const std::uint64_t key = user.u64(i, *at + 88);
        with_auxv += key > 0 && key <= kMaxAuxKey ? 1u : 0u;
    }
    if (user.count() == 0 || with_auxv * 2 < user.count()) return;
    constexpr std::string_view kWhy =
        "init_mm holds _text, _etext, _edata there; in order in every program, the auxiliary vector behind";
    constexpr std::pair<FieldId, std::uint32_t> kMembers[] = {
        {FieldId::mm_start_code, 0}, {FieldId::mm_end_code, 8}, {FieldId::mm_end_data, 24},  {FieldId::mm_brk, 40},
        {FieldId::mm_arg_start, 56}, {FieldId::mm_arg_end, 64}, {FieldId::mm_env_start, 72}, {FieldId::mm_env_end, 80}};
    for (const auto& [id, from_start] : kMembers) r.found_by_order(id, *at + from_start, 8, kWhy);
}

void recover_mm_members(Recovery& r) {
    const auto init_mm = r.symbol(SymbolId::init_mm);
    if (!init_mm || !r.layout.has(FieldId::task_mm)) return;
    const Images kernel(r.space, std::span(&*init_mm, 1), kMmSpan);
    const Images user(r.space, r.distinct_pointers(FieldId::task_mm), kMmSpan);
    if (kernel.count() != 1) return;
    if (const auto at = tables_of_init_mm(r)) {  // every mm was looked at when task_mm was found
        r.found(FieldId::mm_pgd, *at, 8, "init_mm holds init_top_pgt there; a page of its own in every program");
    }
    recover_limits(r, kernel, user);
}

}  // namespace

void recover_memory(Recovery& r) {
    recover_mm_pointers(r);
    recover_flags(r);
    recover_mm_members(r);
}

}  // namespace vitrine::linux_os
