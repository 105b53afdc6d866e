// LinuxGuest's view of the types of its modules: one module at a time, for each is parsed over the kernel's own.
#include <algorithm>

#include <fmt/format.h>

#include "os/linux/find/prove.h"
#include "os/linux/module_btf.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {
namespace {

// The kernel's blob: the copy that was parsed if it was kept, so that it is not read (nor shown differently) once more.
struct KernelBlob {
    std::span<const std::byte> bytes;
    std::vector<std::byte> own;
};

Result<KernelBlob> kernel_blob(const LinuxGuest& guest) {
    const linux_os::ProvenKernel& proven = guest.proven();
    const auto start = proven.symbols.get(linux_os::SymbolId::start_btf);
    const auto stop = proven.symbols.get(linux_os::SymbolId::stop_btf);
    KernelBlob blob;
    for (const auto* kept : {&proven.region, &proven.btf_apart}) {
        if (!start || !stop || *stop <= *start || !*kept || !(*kept)->contains(*start, stop->value - start->value))
            continue;
        blob.bytes = (*kept)->at(*start, stop->value - start->value);
        return blob;
    }
    blob.own = VITRINE_TRY(linux_os::kernel_btf(guest));
    blob.bytes = blob.own;
    return blob;
}

// Sections of a blob; empty where its header does not hold. include/uapi/linux/btf.h, struct btf_header.
ByteView section(ByteView blob, std::uint64_t offset_at) {
    const auto header = blob.u32(4), offset = blob.u32(offset_at), size = blob.u32(offset_at + 4);
    if (!header || !offset || !size) return {};
    return blob.sub(std::uint64_t{*header} + *offset, *size).value_or(ByteView());
}
ByteView records(ByteView blob) { return section(blob, 8); }
ByteView strings(ByteView blob) { return section(blob, 16); }

// Tells modules that cannot have a type of a name from those that may, which are to be parsed: its text is in the module's own strings, or a
// record refers to where the kernel's have it.
class NameFilter {
public:
    NameFilter(ByteView kernel, std::string_view name) : wanted_(std::string(name) + '\0') {
        const auto text = strings(kernel).span();
        const auto bytes = std::as_bytes(std::span(wanted_));
        for (auto at = text.begin(); places_.size() <= kMostPlaces; ++at) {
            at = std::search(at, text.end(), bytes.begin(), bytes.end());
            if (at == text.end()) break;
            places_.push_back(static_cast<std::uint32_t>(at - text.begin()));
        }
    }

    [[nodiscard]] bool may_hold(ByteView module) const {
        if (places_.size() > kMostPlaces) return true;
        const auto text = strings(module).span();
        const auto bytes = std::as_bytes(std::span(wanted_));
        if (std::search(text.begin(), text.end(), bytes.begin(), bytes.end()) != text.end()) return true;
        // Any word that looks like a reference: one too many costs time, and nothing else.
        const ByteView words = records(module);
        for (std::uint64_t at = 0; at + 4 <= words.size(); at += 4) {
            if (std::find(places_.begin(), places_.end(), *words.u32(at)) != places_.end()) return true;
        }
        return false;
    }

private:
    static constexpr std::size_t kMostPlaces = 64;  // as the end of longer names, too
    std::string wanted_;
    std::vector<std::uint32_t> places_;
};

}  // namespace

Result<ModuleTypesReport> LinuxGuest::for_each_module_types(const ModuleTypesWanted& wanted, WalkBudget budget,
                                                            FunctionRef<bool(const ModuleTypes&)> visit) const {
    Deadline deadline(budget.time);
    linux_os::ModuleBtfSnapshot listed = VITRINE_TRY(linux_os::list_module_btf(*this, budget));
    ModuleTypesReport report{listed.report, {}};
    const auto is_wanted = [&](const std::string& module) { return wanted.module.empty() || module == wanted.module; };
    for (const std::string& module : listed.unread) {
        if (is_wanted(module)) report.problems.push_back(fmt::format("types of module {} cannot be read", module));
    }
    std::optional<KernelBlob> kernel;
    std::optional<NameFilter> filter;
    if (!listed.modules.empty() && !wanted.type.empty()) {
        kernel = VITRINE_TRY(kernel_blob(*this));
        filter.emplace(kernel->bytes, wanted.type);
    }
    for (linux_os::ModuleBtf& module : listed.modules) {
        if (!is_wanted(module.module) || (filter && !filter->may_hold(ByteView(module.blob)))) continue;
        if (deadline.passed_now()) {
            report.walk.end = WalkEnd::budget;
            break;
        }
        if (!kernel) kernel = VITRINE_TRY(kernel_blob(*this));
        auto types = parse_split_btf(kernel->bytes, module.blob, fmt::format("BTF of module {}", module.module));
        module.blob = {};
        if (!types) {
            report.problems.push_back(fmt::format("types of module {}: {}", module.module, types.error().to_string()));
            continue;
        }
        if (!visit({std::move(module.module), *types, (*types)->first_own()})) {
            report.walk.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

}  // namespace vitrine
