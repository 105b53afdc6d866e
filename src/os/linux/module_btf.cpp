#include "os/linux/module_btf.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "os/linux/find/prove.h"
#include "os/linux/list_walk.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kNameMax = 64;           // MODULE_NAME_LEN
constexpr std::uint64_t kMaxBlob = 16u << 20;  // of one module; the largest have 2 MiB
constexpr std::uint64_t kMaxAll = 64u << 20;   // of all together
constexpr std::uint16_t kMagic = 0xeb9f;       // BTF_MAGIC
constexpr unsigned kRetries = 3;

std::string module_name(const LinuxGuest& guest, Gva module) {
    if (module.is_null()) return "?";
    auto name = guest.space().read_c_string(module.wrap_plus(guest.layout().at(FieldId::module_name)), kNameMax);
    return name ? std::move(name->bytes) : "?";
}

// Grown piece by piece, so that a claimed size costs memory only as far as there is memory behind it. What was read counts
// against `left` whether or not the rest can be read: a list of many that fail at their end must not cost more than good ones.
std::optional<std::vector<std::byte>> read_whole(const AddressSpace& space, Gva at, std::uint64_t size,
                                                 std::uint64_t& left) {
    constexpr std::uint64_t kPiece = 256 * 1024;
    std::vector<std::byte> bytes;
    while (bytes.size() < size) {
        const std::size_t have = bytes.size();
        const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, size - have));
        bytes.resize(have + want);
        left -= want;
        if (!space.read(at.wrap_plus(have), std::span(bytes).subspan(have, want))) return std::nullopt;
        if (have == 0 && load<std::uint16_t>(bytes.data()) != kMagic) return std::nullopt;
    }
    return bytes;
}

// struct btf.data: where the kernel put its copy, together with data_size since Linux commit 951bb64621b8 "bpf: Add in-kernel
// split BTF support" (v5.11).
std::optional<std::vector<std::byte>> read_blob(const LinuxGuest& guest, Gva btf, std::uint64_t& left) {
    const Layout& layout = guest.layout();
    const AddressSpace& space = guest.space();
    if (btf.is_null()) return std::nullopt;
    const auto data = space.read_pointer(btf.wrap_plus(layout.at(FieldId::btf_data)));
    const auto size = space.read_value<std::uint32_t>(btf.wrap_plus(layout.at(FieldId::btf_data_size)));
    if (!data || !size || *size < sizeof(kMagic) || *size > std::min(left, kMaxBlob)) return std::nullopt;
    return read_whole(space, *data, *size, left);
}

ModuleBtfSnapshot walk_once(const LinuxGuest& guest, Gva head, WalkBudget budget) {
    const Layout& layout = guest.layout();
    const std::uint32_t link = layout.at(FieldId::btf_module_list);
    ModuleBtfSnapshot snapshot;
    std::uint64_t left = kMaxAll;
    snapshot.report = walk_list(guest.space(), head, budget, [&](Gva node) {
        const Gva entry = node.wrap_minus(link);
        const auto pointer = [&](FieldId id) {
            const auto read = guest.space().read_pointer(entry.wrap_plus(layout.at(id)));
            return read ? *read : Gva{};
        };
        const Gva module = pointer(FieldId::btf_module_module), btf = pointer(FieldId::btf_module_btf);
        std::string name = module_name(guest, module);
        if (auto blob = read_blob(guest, btf, left)) {
            snapshot.modules.push_back({std::move(name), std::move(*blob), module, btf});
        } else {
            snapshot.unread.push_back(std::move(name));
        }
        return true;
    });
    return snapshot;
}

}  // namespace

Result<ModuleBtfSnapshot> list_module_btf(const LinuxGuest& guest, WalkBudget budget) {
    const auto head = guest.proven().symbols.get(SymbolId::btf_modules);
    if (!head)
        return Error::make(Errc::not_found, Origin::types,
                           "this kernel keeps no type information of modules (no symbol `btf_modules`)");
    for (const FieldId id : {FieldId::btf_module_list, FieldId::btf_module_module, FieldId::btf_module_btf,
                             FieldId::btf_data, FieldId::btf_data_size, FieldId::module_name}) {
        if (!guest.layout().has(id))
            return Error::make(Errc::not_found, Origin::types,
                               "this kernel does not tell where modules keep their type information");
    }
    for (unsigned attempt = 0;; ++attempt) {
        guest.new_generation();
        ModuleBtfSnapshot snapshot = walk_once(guest, *head, budget);
        snapshot.report.retries = attempt;
        const bool good = snapshot.report.end == WalkEnd::complete || snapshot.report.end == WalkEnd::budget;
        if (good || attempt == kRetries || !guest.machine().is_live()) return snapshot;
    }
}

Result<std::vector<std::byte>> kernel_btf(const LinuxGuest& guest) {
    const auto start = guest.proven().symbols.get(SymbolId::start_btf);
    const auto stop = guest.proven().symbols.get(SymbolId::stop_btf);
    if (!start || !stop || *stop <= *start)
        return Error::make(Errc::not_found, Origin::types, "this kernel carries no type information (BTF)");
    const ImageRegion region = VITRINE_TRY(
        read_region(guest.space().memory(), guest.proven().image, *start, stop->value - start->value));
    const auto bytes = region.at(*start, stop->value - start->value);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace vitrine::linux_os
