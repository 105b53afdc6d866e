#include "os/linux/module_list.h"

#include <algorithm>

#include "os/linux/find/prove.h"
#include "os/linux/list_walk.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kNameMax = 64;  // MODULE_NAME_LEN: 64 - sizeof(unsigned long)
constexpr unsigned kRetries = 3;
constexpr std::size_t kMaxUsers = 1024;
constexpr std::size_t kMaxModules = 1u << 16;  // all of them lie in an area of 1 GiB

// Since v6.4 a module's memory is an array by type; enum mod_mem_type tells which entries outlive loading.
void read_memory_array(const AddressSpace& space, const Layout& layout, ModuleRecord& module) {
    const auto mem = layout.offset(FieldId::module_mem);
    const auto base = layout.offset(FieldId::module_mem_base);
    const auto size = layout.offset(FieldId::module_mem_size);
    const std::uint32_t stride = layout.struct_size(StructId::module_memory);
    if (!mem || !base || !size || stride == 0 || layout.module_core_memory_mask == 0) return;
    const auto text = space.read_pointer(module.address.wrap_plus(*mem + *base));  // the first entry: MOD_TEXT
    if (text) module.base = *text;
    module.base_known = text.has_value();
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < 32; ++i) {
        if ((layout.module_core_memory_mask >> i & 1) == 0) continue;
        const auto bytes = space.read_value<std::uint32_t>(
            module.address.wrap_plus(*mem + std::uint64_t{i} * stride + *size));
        if (!bytes) return;
        sum += *bytes;
    }
    module.size = sum;
}

void read_core_layout(const AddressSpace& space, const Layout& layout, ModuleRecord& module) {
    const auto base = space.read_pointer(module.address.wrap_plus(layout.at(FieldId::module_core_base)));
    const auto size = space.read_value<std::uint32_t>(module.address.wrap_plus(layout.at(FieldId::module_core_size)));
    if (base) module.base = *base;
    module.base_known = base.has_value();
    if (size) module.size = *size;
}

std::optional<std::string> read_name(const AddressSpace& space, const Layout& layout, Gva module) {
    auto name = space.read_c_string(module.wrap_plus(layout.at(FieldId::module_name)), kNameMax);
    // Cut short before its whole length only where the rest cannot be read.
    if (!name || (name->truncated && name->bytes.size() != kNameMax)) return std::nullopt;
    return std::move(name->bytes);
}

ModuleRecord read_module(const AddressSpace& space, const Layout& layout, Gva address) {
    ModuleRecord module;
    module.address = address;
    const auto name = read_name(space, layout, address);
    module.name = name.value_or("");
    module.name_known = name.has_value();
    if (layout.has(FieldId::module_core_base) && layout.has(FieldId::module_core_size))
        read_core_layout(space, layout, module);
    else read_memory_array(space, layout, module);
    if (const auto offset = layout.offset(FieldId::module_refcnt)) {
        // The list itself holds one reference (MODULE_REF_BASE, kernel/module/main.c).
        if (const auto count = space.read_value<std::int32_t>(address.wrap_plus(*offset)))
            module.references = std::int64_t{*count} - 1;
    }
    if (const auto offset = layout.offset(FieldId::module_state)) {
        if (const auto state = space.read_value<std::uint32_t>(address.wrap_plus(*offset))) module.state = *state;
    }
    if (const auto offset = layout.offset(FieldId::module_taints)) {
        if (const auto taints = space.read_value<std::uint64_t>(address.wrap_plus(*offset))) module.taints = *taints;
    }
    return module;
}

}  // namespace

Result<ModuleSnapshot> list_modules(const LinuxGuest& guest, WalkBudget budget) {
    const Layout& layout = guest.layout();
    const auto head = guest.proven().symbols.get(SymbolId::modules);
    if (!head || !layout.has(FieldId::module_list) || !layout.has(FieldId::module_name)) {
        return Error::with_text(
            Errc::not_found, Origin::guest,
            "this kernel does not tell how its modules are linked (no symbol `modules`, or no type `module`)",
            "give its vmlinux with debug information: --symbols FILE");
    }
    const std::uint32_t link = layout.at(FieldId::module_list);
    budget.nodes = std::min(budget.nodes, kMaxModules);
    ModuleSnapshot snapshot;
    for (unsigned attempt = 0;; ++attempt) {
        guest.new_generation();
        snapshot = {};
        snapshot.report = walk_list(guest.space(), *head, budget, [&](Gva node) {
            snapshot.modules.push_back(read_module(guest.space(), layout, node.wrap_minus(link)));
            return true;
        });
        snapshot.report.retries = attempt;
        const bool good = snapshot.report.end == WalkEnd::complete || snapshot.report.end == WalkEnd::budget;
        if (good || attempt == kRetries || !guest.machine().is_live()) return snapshot;
    }
}

std::optional<std::vector<std::string>> users_of(const LinuxGuest& guest, const ModuleRecord& module,
                                                 std::size_t& left) {
    const Layout& layout = guest.layout();
    const auto head = layout.offset(FieldId::module_source_list);
    const auto link = layout.offset(FieldId::module_use_source_list);
    const auto source = layout.offset(FieldId::module_use_source);
    if (!head || !link || !source) return std::nullopt;
    std::vector<std::string> names;
    const WalkBudget budget{std::min(kMaxUsers, left), std::chrono::milliseconds(1000)};
    const WalkReport report = walk_list(guest.space(), module.address.wrap_plus(*head), budget, [&](Gva node) {
        const auto user = guest.space().read_pointer(node.wrap_minus(*link).wrap_plus(*source));
        if (!user) return false;
        const auto name = read_name(guest.space(), layout, *user);
        if (name) names.push_back(*name);
        return name.has_value();
    });
    left -= std::min(left, report.nodes);
    if (report.end != WalkEnd::complete) return std::nullopt;
    return names;
}

}  // namespace vitrine::linux_os
