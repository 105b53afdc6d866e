// LinuxGuest's view of the types of its kernel and modules: each module's are parsed over the kernel's, which they share.
#include <algorithm>

#include <fmt/format.h>

#include "os/linux/find/prove.h"
#include "os/linux/module_type_cache.h"
#include "vitrine/guest/linux_guest.h"

namespace vitrine {
namespace {

// Sections of a blob; empty where its header does not hold. include/uapi/linux/btf.h, struct btf_header.
ByteView section(ByteView blob, std::uint64_t offset_at) {
    const auto header = blob.u32(4), offset = blob.u32(offset_at), size = blob.u32(offset_at + 4);
    if (!header || !offset || !size) return {};
    return blob.sub(std::uint64_t{*header} + *offset, *size).value_or(ByteView());
}
ByteView records(ByteView blob) { return section(blob, 8); }
ByteView strings(ByteView blob) { return section(blob, 16); }

// Tells modules that cannot have a type of a name from those that may, which are to be parsed: its text is in the
// module's own strings, or a record refers to where the kernel's have it.
class NameFilter {
public:
    NameFilter(const TypeCatalog& kernel, std::string_view name) : wanted_(std::string(name) + '\0') {
        const auto text = std::as_bytes(kernel.own_names());
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

bool has_own(const TypeCatalog& types, std::string_view name) {
    const std::vector<TypeId> found = types.all_named(name);
    return !found.empty() && found.back() >= types.first_own();
}

// It was read, and makes no sense: then those of modules make none either.
bool is_unusable(const Error& error) {
    return error.code == Errc::malformed || error.code == Errc::unsupported || error.code == Errc::limit;
}

}  // namespace

// From the copy that was parsed before if it was kept, so that it is not read (nor shown differently) once more.
Result<std::shared_ptr<const TypeCatalog>> LinuxGuest::btf_types() const {
    if (btf_types_) return btf_types_;
    const auto start = proven_->symbols.get(linux_os::SymbolId::start_btf);
    const auto stop = proven_->symbols.get(linux_os::SymbolId::stop_btf);
    if (!start || !stop || *stop <= *start) {
        return Error::with_text(Errc::not_found, Origin::types, "this kernel carries no type information (BTF)",
                                "give its vmlinux with debug information: --symbols FILE");
    }
    const std::uint64_t size = stop->value - start->value;
    std::optional<linux_os::ImageRegion> read;
    const linux_os::ImageRegion* region = nullptr;
    for (const auto* kept : {&proven_->region, &proven_->btf_apart}) {
        if (*kept && (*kept)->contains(*start, size)) region = &**kept;
    }
    if (region == nullptr) {
        read = VITRINE_TRY(linux_os::read_region(space_->memory(), proven_->image, *start, size));
        region = &*read;
    }
    btf_types_ = VITRINE_TRY(parse_btf(region->at(*start, size), "BTF of the kernel"));
    return btf_types_;
}

// Walks the modules that are wanted; made for one question.
class LinuxGuest::ModuleTypesWalk {
public:
    ModuleTypesWalk(const LinuxGuest& guest, const ModuleTypesWanted& wanted, ModuleTypesReport& report)
        : guest_(guest), wanted_(wanted), report_(report) {}

    // False: stopped.
    Result<bool> visit(linux_os::ModuleBtf& module, FunctionRef<bool(const ModuleTypes&)> visit) {
        if (!base_) VITRINE_CHECK(begin());
        if (filter_ && !filter_->may_hold(ByteView(module.blob))) return true;
        const auto types = parsed(module);
        module.blob = {};
        if (!types) {
            report_.problems.push_back(fmt::format("types of module {}: {}", module.module, types.error().to_string()));
            return true;
        }
        if (!wanted_.type.empty() && !has_own(**types, wanted_.type)) return true;
        return visit({std::move(module.module), *types, (*types)->first_own()});
    }

private:
    Result<void> begin() {
        base_ = guest_.btf_types();
        if (!*base_ && !is_unusable(base_->error())) return base_->error();
        if (*base_ && !wanted_.type.empty()) filter_.emplace(***base_, wanted_.type);
        return {};
    }

    Result<std::shared_ptr<const TypeCatalog>> parsed(const linux_os::ModuleBtf& module) {
        if (!*base_) return base_->error();
        linux_os::ModuleTypeCache& cache = *guest_.module_types_;
        auto print = cache.print_of(module);
        if (auto known = cache.find(module, print)) return known;
        auto types = VITRINE_TRY(parse_split_btf(**base_, module.blob, fmt::format("BTF of module {}", module.module)));
        cache.keep(module, std::move(print), types);
        return types;
    }

    const LinuxGuest& guest_;
    const ModuleTypesWanted& wanted_;
    ModuleTypesReport& report_;
    std::optional<Result<std::shared_ptr<const TypeCatalog>>> base_;
    std::optional<NameFilter> filter_;
};

Result<ModuleTypesReport> LinuxGuest::for_each_module_types(const ModuleTypesWanted& wanted, WalkBudget budget,
                                                            FunctionRef<bool(const ModuleTypes&)> visit) const {
    Deadline deadline(budget.time);
    linux_os::ModuleBtfSnapshot listed = VITRINE_TRY(linux_os::list_module_btf(*this, budget));
    ModuleTypesReport report{listed.report, {}};
    module_types_->forget_others(listed.modules);
    const auto is_wanted = [&](const std::string& module) { return wanted.module.empty() || module == wanted.module; };
    for (const std::string& module : listed.unread) {
        if (is_wanted(module)) report.problems.push_back(fmt::format("types of module {} cannot be read", module));
    }
    ModuleTypesWalk walk(*this, wanted, report);
    for (linux_os::ModuleBtf& module : listed.modules) {
        if (!is_wanted(module.module)) continue;
        if (deadline.passed_now()) {
            report.walk.end = WalkEnd::budget;
            break;
        }
        if (!VITRINE_TRY(walk.visit(module, visit))) {
            report.walk.end = WalkEnd::stopped;
            break;
        }
    }
    return report;
}

}  // namespace vitrine
