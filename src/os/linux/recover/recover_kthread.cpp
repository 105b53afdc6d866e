// struct kthread: where the names of kernel threads are that do not fit into the task.
#include <fmt/format.h>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kKthreadSpan = 192;
constexpr std::size_t kLongestName = 64;

bool is_text(const Recovery& r, std::uint64_t value) {
    return value >= r.symbol(SymbolId::text)->value && value < r.symbol(SymbolId::etext)->value;
}

// Modules' threads run code outside of the image.
bool is_code(const Recovery& r, std::uint64_t value) { return is_text(r, value) || value >= 0xffff'ffff'8000'0000; }

struct Kthreads {
    Images objects;
    std::vector<std::size_t> tasks;  // of each object
};

// The objects that kernel threads point to at this offset; empty when they are not each their own.
Kthreads kthreads_at(const Recovery& r, std::uint32_t at) {
    const Images& t = r.tasks;
    std::vector<Gva> addresses;
    Kthreads found;
    for (std::size_t i = 1; i < t.count(); ++i) {
        if (t.u32(i, r.layout.at(FieldId::task_pid)) == 2) continue;  // kthreadd has none before v5.17
        const std::uint64_t value = t.u64(i, at);
        if (r.is_kernel_thread[i] == 0) {
            // worker_private is null in programs, set_child_tid is theirs.
            if (!r.is_user_address(value)) return {};
            continue;
        }
        if (!r.is_kernel_pointer(value)) return {};
        addresses.push_back(Gva{value});
        found.tasks.push_back(i);
    }
    std::vector<Gva> sorted = addresses;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) return {};
    found.objects = Images(r.space, addresses, kKthreadSpan);
    if (found.objects.count() != addresses.size()) return {};
    return found;
}

// threadfn is the only member that points to code in all of them.
std::optional<std::uint32_t> function_at(const Recovery& r, const Images& objects) {
    if (objects.count() < 2) return std::nullopt;
    std::vector<std::uint32_t> places = objects.where(
        8, 16, [&](std::size_t i, std::uint32_t at) { return is_code(r, objects.u64(i, at)); });
    std::erase_if(places, [&](std::uint32_t at) {
        std::size_t text = 0;
        for (std::size_t i = 0; i < objects.count(); ++i) text += is_text(r, objects.u64(i, at)) ? 1u : 0u;
        return text * 2 < objects.count();
    });
    return only(places);
}

// full_name: null, or the name whole where the task has room for its beginning only.
void recover_full_name(Recovery& r, const Kthreads& all) {
    const std::uint32_t comm = r.layout.at(FieldId::task_comm);
    std::size_t long_names = 0;
    const auto places = all.objects.where(8, 8, [&](std::size_t i, std::uint32_t at) {
        const std::uint64_t value = all.objects.u64(i, at);
        if (value == 0) return true;
        if (!r.is_kernel_pointer(value)) return false;
        const auto* short_name = reinterpret_cast<const char*>(r.tasks.bytes(all.tasks[i], comm, 16).data());
        const auto name = r.space.read_c_string(Gva{value}, kLongestName);
        if (!name || name->bytes.size() < 15 || name->bytes.substr(0, 15) != std::string_view(short_name, 15))
            return false;
        ++long_names;
        return true;
    });
    std::vector<std::uint32_t> used;
    for (const std::uint32_t at : places) {
        for (std::size_t i = 0; i < all.objects.count(); ++i) {
            if (all.objects.u64(i, at) == 0) continue;
            used.push_back(at);
            break;
        }
    }
    if (const auto at = only(used))
        r.found(FieldId::kthread_full_name, *at, 8, "null, or a name that begins with the task's");
}

}  // namespace

void recover_kthread(Recovery& r) {
    if (r.is_kernel_thread.empty() || !r.symbol(SymbolId::text) || !r.symbol(SymbolId::etext)) return;
    std::optional<std::uint32_t> place;
    std::uint32_t function = 0;
    Kthreads all;
    for (std::uint32_t at = 0; at + 8 <= r.tasks.span(); at += 8) {
        Kthreads here = kthreads_at(r, at);
        const auto threadfn = function_at(r, here.objects);
        if (!threadfn) continue;
        if (place) return;  // several: no answer
        place = at;
        function = *threadfn;
        all = std::move(here);
    }
    if (!place) return;
    r.found(FieldId::task_kthread, *place, 8,
            fmt::format("every kernel thread's own object, with a function at {:#x}; not the kernel's in programs",
                        function));
    // The argument of the function is kept behind it (struct kthread, kernel/kthread.c).
    r.found_by_order(FieldId::kthread_data, function + 8, 8, "behind the thread's function");
    recover_full_name(r, all);
}

}  // namespace vitrine::linux_os
