// struct module: {state, list, name[56], ...}. That the list is its second member is proved by the module's own kobject,
// which points back to the module's beginning.
#include <fmt/format.h>

#include <unordered_set>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kMaxModules = 4096;
constexpr std::uint32_t kModuleSpan = 1024;
constexpr std::uint32_t kNameSize = 56;   // MODULE_NAME_LEN
constexpr std::uint32_t kMaxBefore = 64;  // what may lie before the list
constexpr std::uint64_t kMaxModuleSize = 256u << 20;
constexpr std::uint64_t kImageSpace = 0xffff'ffff'8000'0000;  // kernel image and modules

// The links of all modules; empty when the list does not come round.
std::vector<Gva> module_links(const Recovery& r, Gva head) {
    std::vector<Gva> links;
    std::unordered_set<std::uint64_t> seen;
    Gva previous = head;
    auto at = r.space.read_pointer(head);
    while (at && *at != head) {
        const auto back = r.space.read_pointer(at->wrap_plus(8));
        if (!back || *back != previous || !seen.insert(at->value).second || links.size() == kMaxModules) return {};
        links.push_back(*at);
        previous = *at;
        at = r.space.read_pointer(*at);
    }
    return at ? links : std::vector<Gva>();
}

bool is_module_name(std::span<const std::byte> bytes) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const std::size_t length = ::strnlen(text, bytes.size());
    if (length == 0 || length == bytes.size()) return false;
    return std::all_of(text, text + length, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '.';
    });
}

// How far the list is from the module's beginning: the one distance at which some word of every module holds the beginning.
std::optional<std::uint32_t> list_offset(const Images& from_links) {
    std::vector<std::uint32_t> distances;
    for (std::uint32_t before = 8; before <= kMaxBefore; before += 8) {
        const auto places = from_links.where(8, 8, [&](std::size_t i, std::uint32_t at) {
            return from_links.u64(i, at) == from_links.address(i).value - before;
        });
        if (!places.empty()) distances.push_back(before);
    }
    return only(distances);
}

// core_layout {base, size}, before v6.4: holds the structure itself.
void recover_core_layout(Recovery& r, const Images& modules) {
    const auto at = only(modules.where(8, 12, [&](std::size_t i, std::uint32_t o) {
        const std::uint64_t base = modules.u64(i, o);
        const std::uint64_t size = modules.u32(i, o + 8);
        const std::uint64_t self = modules.address(i).value;
        return base >= kImageSpace && base % kPageSize == 0 && size != 0 && size % kPageSize == 0 &&
               size < kMaxModuleSize && base <= self && self - base < size;
    }));
    if (!at) return;
    // Since v6.4 the structure lies in one of several ranges (MOD_DATA), of which this would be one: then the range has no
    // executable beginning.
    for (std::size_t i = 0; i < modules.count(); ++i) {
        const auto first = r.space.translate(modules.pointer(i, *at));
        if (!first || !first->executable) return;
    }
    r.found(FieldId::module_core_base, *at, 8, "the executable range that holds the structure itself");
    r.found(FieldId::module_core_size, *at + 8, 4, "the size of that range");
}

}  // namespace

void recover_module(Recovery& r) {
    const auto head = r.symbol(SymbolId::modules);
    if (!head) return;
    const std::vector<Gva> links = module_links(r, *head);
    const Images from_links(r.space, links, kModuleSpan);
    if (links.size() < 2 || from_links.count() != links.size()) return;
    const auto before = list_offset(from_links);
    if (!before) return;
    std::vector<Gva> starts;
    for (const Gva link : links) starts.push_back(link.wrap_minus(*before));
    const Images modules(r.space, starts, kModuleSpan);
    if (modules.count() != links.size()) return;
    for (std::size_t i = 0; i < modules.count(); ++i) {
        if (!is_module_name(modules.bytes(i, *before + 16, kNameSize))) return;
        if (modules.u32(i, *before - 8) > 3) return;  // enum module_state
    }
    r.found(FieldId::module_list, *before, 16, "a word of each module holds the address that many bytes before");
    r.found(FieldId::module_name, *before + 16, kNameSize, "a module's name in every module");
    if (*before == 8)
        r.found_by_order(FieldId::module_state, 0, 4,
                         "all that is before the list; an enum module_state in every module");
    recover_core_layout(r, modules);
}

}  // namespace vitrine::linux_os
