// Makes a proven kernel of a candidate image, or says which check refused it. A stale image of an earlier kernel, a copy of
// its read-only data, or tables made to look like one pass some of these checks; a running kernel passes all.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/large_buffer.h"
#include "os/linux/find/kernel_image.h"
#include "os/linux/find/liveness.h"
#include "os/linux/find/patience.h"
#include "os/linux/kernel_symbols.h"
#include "os/linux/layout.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/symbols/kallsyms.h"
#include "vitrine/types/catalog.h"

namespace vitrine::linux_os {

// A copy of a piece of the kernel's image, parsed instead of the guest's memory.
struct ImageRegion {
    Gva va;
    LargeBuffer bytes;
    [[nodiscard]] bool contains(Gva address, std::uint64_t size) const {
        return address >= va && address.value - va.value <= bytes.size() &&
               size <= bytes.size() - (address.value - va.value);
    }
    [[nodiscard]] std::span<const std::byte> at(Gva address, std::uint64_t size) const {  // precondition: contains()
        return bytes.span().subspan(static_cast<std::size_t>(address.value - va.value), static_cast<std::size_t>(size));
    }
};

// Where the layout of structures came from.
enum class LayoutSource : std::uint8_t { btf, vmlinux, recovered, cache };

struct ProvenKernel {
    KernelImage image;
    Gpa root;  // init_top_pgt
    KernelSymbols symbols;
    Layout layout;
    LayoutSource layout_source = LayoutSource::btf;
    std::string layout_account;  // one line
    std::string banner;
    std::string build_id;
    Gva region_va;  // the read-only data that holds kallsyms
    std::uint64_t region_size = 0;
    KallsymsLayout kallsyms;
    std::optional<ImageRegion> region;         // kept when it was read on the way; empty from the cache
    std::optional<ImageRegion> btf_apart;      // the copy of the BTF that was parsed, where the region does not hold it
    std::shared_ptr<const TypeCatalog> types;  // when parsed on the way
    std::vector<std::string> checks;           // passed, in order
    Running running = Running::unknown;
    Pulse pulse;  // at the first look
    std::vector<AttachStep> steps;
};

struct ProveOptions {
    std::shared_ptr<const TypeCatalog> given_types;  // from --symbols FILE
    std::string given_types_from;
    std::string given_build_id;
    bool ignore_btf = false;
    const Patience* patience = nullptr;  // of the whole attach
    // Asked as soon as the image is known to be where it says it is, before anything outside it is followed: may refuse it.
    std::function<Result<void>(const ProvenKernel&)> accept_blocks{};
};

// Decodes and proves. Errors: not_found (no symbol table), inconsistent (a check refused it: the text names the check),
// unsupported (a kernel, but its structures are unknown).
Result<ProvenKernel> prove_kernel(PhysicalMemory& memory, KernelImage image, const ProveOptions& options);

// The two halves of what is checked again for a profile out of the cache; each appends to kernel.checks. check_image: banner,
// phys_base, the kernel's own page tables (sets kernel.root and kernel.banner). check_kernel: init_task and the task list.
Result<void> check_image(PhysicalMemory& memory, ProvenKernel& kernel);
Result<void> check_kernel(PhysicalMemory& memory, ProvenKernel& kernel);

// Is the proven kernel still where it was? Looks at its banner, phys_base and page tables again.
[[nodiscard]] bool same_kernel(PhysicalMemory& memory, const ProvenKernel& kernel);

// Copies a piece of the image by its physical address (it is physically contiguous).
Result<ImageRegion> read_region(PhysicalMemory& memory, const KernelImage& image, Gva va, std::uint64_t size);

}  // namespace vitrine::linux_os
