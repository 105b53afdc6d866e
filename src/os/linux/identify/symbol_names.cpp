#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "os/linux/find/prove.h"
#include "os/linux/module_list.h"
#include "vitrine/guest/identify.h"

namespace vitrine {
namespace {

using linux_os::FieldId;
using linux_os::Layout;
using linux_os::ModuleRecord;
using linux_os::StructId;
using linux_os::SymbolId;
using ModuleArea = SymbolNames::ModuleArea;

constexpr std::uint32_t kMostParts = 32;

// The area that modules are loaded to is smaller than 2 GiB (arch/x86/include/asm/pgtable_64_types.h, MODULES_LEN).
constexpr std::uint64_t kMostOfModule = std::uint64_t{1} << 31;

// Of the entries of module.mem[], looked up once: an enumeration may be long, and modules may be many.
std::array<std::string, kMostParts> part_names(const TypeCatalog* types) {
    std::array<std::string, kMostParts> names;
    for (std::size_t i = 0; i < kMostParts; ++i) names[i] = fmt::format("mem[{}]", i);
    const auto id = types == nullptr ? Result<TypeId>(TypeId{0}) : types->find("enum mod_mem_type");
    if (types == nullptr || !id) return names;
    for (const Enumerator& e : types->enumerators(*types->type(*id))) {
        if (e.value < 0 || e.value >= std::int64_t{kMostParts}) continue;
        names[static_cast<std::size_t>(e.value)] = types->name(e.name).substr(0, 64);
    }
    return names;
}

// False when some part could not be read.
bool add_areas(LinuxGuest& guest, std::span<const std::string> parts, const ModuleRecord& module,
               std::vector<ModuleArea>& areas) {
    const Layout& layout = guest.layout();
    const auto add = [&](std::string part, Gva base, std::uint64_t size) {
        if (!base.is_null() && size > 0 && size < kMostOfModule)
            areas.push_back({module.name, std::move(part), base, size});
    };
    if (layout.has(FieldId::module_core_base)) {
        if (!module.base_known || !module.size) return false;
        add("core", module.base, *module.size);
        return true;
    }
    const auto mem = layout.offset(FieldId::module_mem);
    const auto base = layout.offset(FieldId::module_mem_base);
    const auto size = layout.offset(FieldId::module_mem_size);
    const std::uint32_t stride = layout.struct_size(StructId::module_memory);
    if (!mem || !base || !size || stride == 0 || layout.module_core_memory_mask == 0) return false;
    bool all = true;
    for (std::uint32_t i = 0; i < kMostParts; ++i) {
        if ((layout.module_core_memory_mask >> i & 1) == 0) continue;
        const Gva entry = module.address.wrap_plus(*mem + std::uint64_t{i} * stride);
        const auto start = guest.space().read_pointer(entry.wrap_plus(*base));
        const auto bytes = guest.space().read_value<std::uint32_t>(entry.wrap_plus(*size));
        if (start && bytes) add(parts[i], *start, *bytes);
        else all = false;
    }
    return all;
}

}  // namespace

Result<SymbolNames> SymbolNames::load(LinuxGuest& guest) {
    SymbolNames names;
    names.table_ = VITRINE_TRY(guest.symbols());
    names.image_begin_ = guest.kernel().text_va;
    const auto end = guest.proven().symbols.get(SymbolId::end);
    names.image_end_ = end && *end > names.image_begin_ ? *end : names.image_begin_;
    const auto types = guest.types();
    const auto parts = part_names(types ? *types : nullptr);
    const auto modules = linux_os::list_modules(guest);
    if (!modules) {
        names.modules_missing_ = modules.error().to_string();
        return names;
    }
    if (modules->report.end != WalkEnd::complete)
        names.modules_missing_ = fmt::format("the list of modules: {}", to_string(modules->report.end));
    for (const ModuleRecord& module : modules->modules) {
        if (!add_areas(guest, parts, module, names.areas_) && names.modules_missing_.empty())
            names.modules_missing_ = fmt::format("the memory of module {} cannot be read", module.name);
    }
    std::stable_sort(names.areas_.begin(), names.areas_.end(),
                     [](const ModuleArea& a, const ModuleArea& b) { return a.base < b.base; });
    return names;
}

const ModuleArea* SymbolNames::module_area(Gva address) const {
    const auto after = std::upper_bound(areas_.begin(), areas_.end(), address,
                                        [](Gva at, const ModuleArea& area) { return at < area.base; });
    if (after == areas_.begin()) return nullptr;
    const ModuleArea& area = *(after - 1);
    return address.value - area.base.value < area.size ? &area : nullptr;
}

std::string SymbolNames::name(Gva address) const {
    const ModuleArea* area = in_kernel_image(address) ? nullptr : module_area(address);
    if (area == nullptr && !in_kernel_image(address)) return {};
    const auto nearest = table_->nearest(address);
    if (!nearest || nearest->symbol.module != (area == nullptr ? std::string_view() : area->module)) return {};
    std::string text(nearest->symbol.name);
    if (nearest->offset != 0) text += fmt::format("+{:#x}", nearest->offset);
    if (area != nullptr) text += fmt::format(" [{}]", area->module);
    // A symbol of another of the module's areas is not this one's.
    if (area != nullptr && nearest->symbol.address < area->base) return {};
    return text;
}

}  // namespace vitrine
