#include "os/linux/find/take_layout.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "os/linux/find/step_timer.h"
#include "os/linux/recover/recover_layout.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kMaxBtf = 64u << 20;

struct BtfPlace {
    Gva start;
    std::uint64_t size = 0;
};

// What begins like BTF in the read-only data and would fit there, the largest first. Some of it will be chance: only parsing tells.
std::vector<BtfPlace> places_like_btf(const ImageRegion& region) {
    constexpr std::string_view kMagic("\x9f\xeb\x01\x00", 4);
    constexpr std::size_t kMost = 4;
    std::vector<BtfPlace> found;
    const std::span<const std::byte> bytes = region.bytes.span();
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        const void* hit = memmem(bytes.data() + at, bytes.size() - at, kMagic.data(), kMagic.size());
        if (hit == nullptr) break;
        at = static_cast<std::size_t>(static_cast<const std::byte*>(hit) - bytes.data());
        const auto extent = btf_extent(bytes.subspan(at));
        if (!extent || extent->type_bytes == 0 || extent->size > bytes.size() - at) continue;
        found.push_back({region.va.wrap_plus(at), extent->size});
        std::sort(found.begin(), found.end(), [](const BtfPlace& a, const BtfPlace& b) { return a.size > b.size; });
        if (found.size() > kMost) found.pop_back();
    }
    return found;
}

// Where the symbols name it, or, in kernels whose symbols have no data, wherever it lies.
std::vector<BtfPlace> btf_places(const ProvenKernel& kernel) {
    const auto start = kernel.symbols.get(SymbolId::start_btf);
    const auto stop = kernel.symbols.get(SymbolId::stop_btf);
    if (start && stop && *stop > *start) return {{*start, stop->value - start->value}};
    if (start || stop || !kernel.region) return {};
    return places_like_btf(*kernel.region);
}

Result<void> take_btf_at(PhysicalMemory& memory, ProvenKernel& kernel, const BtfPlace& place) {
    const auto [start, size] = place;
    if (size > kMaxBtf) return Error::make(Errc::limit, Origin::types, "the kernel's BTF is too large");
    StepTimer step(kernel.steps, "decode the types (BTF)");
    if (!kernel.region || !kernel.region->contains(start, size))
        kernel.btf_apart = VITRINE_TRY(read_region(memory, kernel.image, start, size));
    const auto blob = (kernel.btf_apart ? *kernel.btf_apart : *kernel.region).at(start, size);
    kernel.types = VITRINE_TRY(parse_btf(blob, "BTF of the kernel"));
    kernel.layout = resolve_layout(*kernel.types);
    kernel.layout_source = LayoutSource::btf;
    kernel.layout_account = fmt::format("BTF of the kernel: {} types, {} bytes", kernel.types->size(), size);
    kernel.checks.push_back("BTF parses to its end");
    kernel.symbols.set(SymbolId::start_btf, start);
    kernel.symbols.set(SymbolId::stop_btf, start.wrap_plus(size));
    step.done(fmt::format("{} types", kernel.types->size()));
    return {};
}

Result<void> take_btf(PhysicalMemory& memory, ProvenKernel& kernel) {
    Error last = Error::make(Errc::not_found, Origin::types, "the kernel has no BTF");
    for (const BtfPlace& place : btf_places(kernel)) {
        auto taken = take_btf_at(memory, kernel, place);
        if (taken) return {};
        last = taken.error();
    }
    return last;
}

Result<void> take_given_types(ProvenKernel& kernel, const ProveOptions& options) {
    if (!options.given_build_id.empty() && !kernel.build_id.empty() && options.given_build_id != kernel.build_id) {
        return Error::with_text(
            Errc::inconsistent, Origin::user,
            fmt::format("{} is of another build: its build-id is {}, the guest's {}", options.given_types_from,
                        options.given_build_id, kernel.build_id),
            "give the vmlinux of this very kernel, or none: the types are usually in the guest's memory");
    }
    kernel.types = options.given_types;
    kernel.layout = resolve_layout(*kernel.types);
    kernel.layout_source = LayoutSource::vmlinux;
    kernel.layout_account = fmt::format("{}: {} types", kernel.types->origin(), kernel.types->size());
    return {};
}

Result<void> take_recovered(PhysicalMemory& memory, ProvenKernel& kernel, const std::string& why) {
    StepTimer step(kernel.steps, "recover offsets without types");
    const AddressSpace space(memory, kernel.image.paging, kernel.root);
    RecoveredLayout recovered = recover_layout(space, kernel.symbols);
    kernel.layout = recovered.layout;
    kernel.layout_source = LayoutSource::recovered;
    kernel.layout_account = fmt::format("recovered from symbols and invariants: {} members ({})",
                                        kernel.layout.present_count(), why);
    step.done(fmt::format("{} members", kernel.layout.present_count()));
    return {};
}

}  // namespace

Result<void> take_layout(PhysicalMemory& memory, ProvenKernel& kernel, const ProveOptions& options) {
    if (options.given_types) {
        VITRINE_CHECK(take_given_types(kernel, options));
    } else {
        auto btf = options.ignore_btf
                       ? Result<void>(Error::make(Errc::not_found, Origin::types, "BTF is left out on request"))
                       : take_btf(memory, kernel);
        if (!btf) VITRINE_CHECK(take_recovered(memory, kernel, btf.error().to_string()));
    }
    const auto missing = kernel.layout.missing_required();
    if (missing.empty()) return {};
    return Error::with_text(
        Errc::unsupported, Origin::types,
        fmt::format("this kernel's types do not tell {} (from {})", fmt::join(missing, ", "), kernel.layout_account),
        "give its vmlinux with debug information: --symbols FILE");
}

}  // namespace vitrine::linux_os
