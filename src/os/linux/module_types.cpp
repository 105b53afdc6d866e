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

// A name lies in the strings, whole. Without it the module cannot have such a type, and need not be parsed.
bool may_hold(std::span<const std::byte> blob, std::string_view name) {
    const std::string wanted = '\0' + std::string(name) + '\0';
    const auto bytes = std::as_bytes(std::span(wanted));
    return std::search(blob.begin(), blob.end(), bytes.begin(), bytes.end()) != blob.end();
}

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
    for (linux_os::ModuleBtf& module : listed.modules) {
        if (!is_wanted(module.module) || (!wanted.type.empty() && !may_hold(module.blob, wanted.type))) continue;
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
