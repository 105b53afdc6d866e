#include "os/linux/find/prove.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "os/linux/find/build_id.h"
#include "os/linux/find/step_timer.h"
#include "os/linux/find/take_layout.h"
#include "os/linux/task_list.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kMaxRegion =
    48u << 20;  // read-only data has some 14 MiB; in whole images it begins after some 20 MiB of text
constexpr std::size_t kBannerMax = 1024;
constexpr std::string_view kBannerStart = "Linux version ";

Error refused(std::string text) { return Error::with_text(Errc::inconsistent, Origin::guest, std::move(text)); }

Gpa physical(const KernelImage& image, Gva va) { return Gpa{va.value + image.virtual_to_physical()}; }

// The image's whole span as one region, where no run looks like read-only data (kernels before mark_rodata_ro, or without
// STRICT_KERNEL_RWX).
MappedRun whole_image(const KernelImage& image) {
    MappedRun all = image.runs.front();
    all.size = image.runs.back().va.value + image.runs.back().size - all.va.value;
    all.size = std::min(all.size, kMaxRegion);
    return all;
}

KernelSymbols look_up_symbols(const ImageRegion& region, const KallsymsLayout& layout) {
    const auto found = lookup_kallsyms(region.bytes, region.va, layout, kSymbolNames);
    KernelSymbols symbols;
    for (std::size_t i = 0; i < kSymbolCount && i < found.size(); ++i) symbols.set(static_cast<SymbolId>(i), found[i]);
    return symbols;
}

bool is_out_of_patience(const ProveOptions& options) {
    return options.patience != nullptr && options.patience->is_exhausted();
}

// Finds the symbol table whose _text is the image's own first page.
Result<void> take_symbols(PhysicalMemory& memory, ProvenKernel& kernel, const ProveOptions& options,
                          std::vector<MappedRun> places) {
    Error last = Error::with_text(Errc::not_found, Origin::symbols,
                                  "no kernel symbol table (kallsyms) in the image's data");
    for (const MappedRun& place : places) {
        if (is_out_of_patience(options)) break;
        StepTimer read_step(kernel.steps, "read the kernel's read-only data");
        auto region = read_region(memory, kernel.image, place.va, std::min(place.size, kMaxRegion));
        if (!region) {
            last = region.error();
            continue;
        }
        read_step.done(
            fmt::format("{:.1f} MiB at {:#x}", static_cast<double>(region->bytes.size()) / (1 << 20), place.va.value));
        StepTimer find_step(kernel.steps, "find the symbol table");
        const auto layouts = find_kallsyms(region->bytes, region->va);
        if (!layouts) {
            last = layouts.error();
            continue;
        }
        for (const KallsymsLayout& layout : *layouts) {
            if (is_out_of_patience(options)) break;
            KernelSymbols symbols = look_up_symbols(*region, layout);
            if (symbols.get(SymbolId::text) != kernel.image.text_va) {
                last = refused(fmt::format("the symbol table at {:#x} belongs to another image: its _text is not {:#x}",
                                           region->va.value + layout.token_table, kernel.image.text_va.value));
                continue;
            }
            find_step.done(fmt::format("{} symbols, layout {}", layout.num_syms, to_string(layout.addressing)));
            kernel.symbols = symbols;
            kernel.kallsyms = layout;
            kernel.region_va = region->va;
            kernel.region_size = region->bytes.size();
            kernel.region = std::move(*region);
            return {};
        }
    }
    return last;
}

Result<void> check_banner(PhysicalMemory& memory, ProvenKernel& kernel) {
    const auto at = kernel.symbols.get(SymbolId::linux_banner);
    if (!at) return refused("the symbol table has no linux_banner");
    std::vector<std::byte> bytes(kBannerMax);
    auto read = memory.read(physical(kernel.image, *at), bytes);
    if (!read) return refused("linux_banner lies outside memory");
    const auto text = ByteView(bytes).c_string(0, kBannerMax);
    if (!text || !text->starts_with(kBannerStart)) return refused("linux_banner does not begin with \"Linux version\"");
    kernel.banner = std::string(text->substr(0, text->find('\n')));
    kernel.checks.push_back("linux_banner is where the symbols say");
    return {};
}

// phys_base is what the kernel itself adds to turn image addresses into physical ones (__phys_addr, arch/x86/mm/physaddr.c).
Result<void> check_phys_base(PhysicalMemory& memory, ProvenKernel& kernel) {
    const auto at = kernel.symbols.get(SymbolId::phys_base);
    if (!at) return {};  // kernels built without relocation have none
    const auto value = memory.read_value<std::uint64_t>(physical(kernel.image, *at));
    if (!value) return refused("phys_base lies outside memory");
    if (kernel.image.text_va.value - kStartKernelMap + *value != kernel.image.text_pa.value) {
        return refused(fmt::format("phys_base is {:#x}, which does not lead from _text to physical {:#x}", *value,
                                   kernel.image.text_pa.value));
    }
    kernel.checks.push_back("phys_base leads from virtual to physical addresses");
    return {};
}

Result<void> check_root(PhysicalMemory& memory, ProvenKernel& kernel) {
    const auto table = kernel.symbols.get(SymbolId::init_top_pgt);
    if (!table) return refused("the symbol table has no init_top_pgt");
    kernel.root = physical(kernel.image, *table);
    const Gva banner = *kernel.symbols.get(SymbolId::linux_banner);
    const auto walked = translate(memory, kernel.image.paging, kernel.root, banner);
    if (!walked || walked->address != physical(kernel.image, banner)) {
        return refused(fmt::format("the kernel's own page tables at {:#x} do not map the image", kernel.root.value));
    }
    kernel.checks.push_back(fmt::format("init_top_pgt maps the image ({})", to_string(kernel.image.paging)));
    return {};
}

Result<void> check_init_task(const AddressSpace& space, ProvenKernel& kernel) {
    const auto task = kernel.symbols.get(SymbolId::init_task);
    if (!task) return refused("the symbol table has no init_task");
    const auto comm = space.read_c_string(task->wrap_plus(kernel.layout.at(FieldId::task_comm)), 16);
    if (!comm || !comm->bytes.starts_with("swapper")) return refused("init_task is not named swapper");
    kernel.checks.push_back("init_task is the idle task");
    return {};
}

Result<void> check_task_list(const AddressSpace& space, ProvenKernel& kernel) {
    const TaskList list(space, *kernel.symbols.get(SymbolId::init_task), kernel.layout);
    constexpr std::size_t kEnough = 4096;  // tasks whose links are looked at; more prove nothing more
    WalkReport report;
    for (unsigned attempt = 0; attempt < 4; ++attempt) {
        report = list.for_each({kEnough, std::chrono::milliseconds(2000)}, [](const TaskKey&) { return true; });
        if (report.end == WalkEnd::complete || report.end == WalkEnd::budget) break;
        space.new_generation();  // a running guest may have torn it
    }
    const bool good = (report.end == WalkEnd::complete || report.end == WalkEnd::budget) && report.nodes > 0;
    if (good) {
        kernel.checks.push_back(fmt::format("the task list is a circle of {}{} tasks whose links agree",
                                            report.end == WalkEnd::budget ? "more than " : "", report.nodes));
        return {};
    }
    const std::string what = report.nodes == 0 && report.end == WalkEnd::complete
                                 ? std::string("the task list is empty")
                                 : fmt::format("the task list is {} after {} tasks", to_string(report.end),
                                               report.nodes);
    // A CPU that runs on these page tables is proof enough that this is the kernel; then the list itself is what is wrong,
    // and the answer about processes will say so.
    if (kernel.image.route != FindRoute::registers) return refused(what);
    kernel.checks.push_back("NOT PASSED: " + what);
    return {};
}

}  // namespace

Result<ImageRegion> read_region(PhysicalMemory& memory, const KernelImage& image, Gva va, std::uint64_t size) {
    ImageRegion region;
    region.va = va;
    if (size == 0 || size > kMaxRegion)
        return Error::make_at(Errc::limit, Origin::guest, va.value, "piece of the kernel image");
    // Bounded by what memory there is, whatever the guest's tables claim.
    if (size > memory.total_size())
        return Error::make_at(Errc::fault, Origin::guest, va.value, "piece of the kernel image");
    region.bytes = LargeBuffer(static_cast<std::size_t>(size));
    if (region.bytes.size() != size)
        return Error::make(Errc::limit, Origin::source, "memory for a copy of the kernel image");
    auto read = memory.read(physical(image, va), region.bytes.span());
    if (read) return region;
    // A hole inside (freed init memory that was ballooned away, say) leaves zeros; the checks decide whether that matters.
    std::vector<ReadOp> pages;
    for (std::uint64_t at = 0; at < size; at += kPageSize) {
        const std::uint64_t n = std::min<std::uint64_t>(kPageSize, size - at);
        pages.push_back({physical(image, va).wrap_plus(at),
                         region.bytes.span().subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n))});
    }
    VITRINE_CHECK(memory.read(pages));
    for (const ReadOp& page : pages) {
        if (!page.ok) std::fill(page.out.begin(), page.out.end(), std::byte{0});
    }
    return region;
}

Result<void> check_kernel(PhysicalMemory& memory, ProvenKernel& kernel) {
    const AddressSpace space(memory, kernel.image.paging, kernel.root);
    VITRINE_CHECK(check_init_task(space, kernel));
    return check_task_list(space, kernel);
}

Result<void> check_image(PhysicalMemory& memory, ProvenKernel& kernel) {
    VITRINE_CHECK(check_banner(memory, kernel));
    VITRINE_CHECK(check_phys_base(memory, kernel));
    kernel.pulse = read_pulse(memory, kernel.image, kernel.symbols);
    return check_root(memory, kernel);
}

bool same_kernel(PhysicalMemory& memory, const ProvenKernel& kernel) {
    ProvenKernel again;
    again.image.paging = kernel.image.paging;
    again.image.text_va = kernel.image.text_va;
    again.image.text_pa = kernel.image.text_pa;
    again.symbols = kernel.symbols;
    return check_image(memory, again) && again.banner == kernel.banner && again.root == kernel.root;
}

Result<ProvenKernel> prove_kernel(PhysicalMemory& memory, KernelImage image, const ProveOptions& options) {
    ProvenKernel kernel;
    kernel.image = std::move(image);
    std::vector<MappedRun> places = kernel.image.read_only_data();
    std::sort(places.begin(), places.end(), [](const MappedRun& a, const MappedRun& b) { return a.size > b.size; });
    if (places.size() > 4) places.resize(4);
    places.push_back(whole_image(kernel.image));
    VITRINE_CHECK(take_symbols(memory, kernel, options, std::move(places)));
    kernel.checks.push_back(fmt::format("the symbol table is consistent: {} symbols, _text is the image's first page",
                                        kernel.kallsyms.num_syms));
    VITRINE_CHECK(check_image(memory, kernel));
    if (options.accept_blocks) VITRINE_CHECK(options.accept_blocks(kernel));
    kernel.build_id = read_build_id(memory, kernel);
    VITRINE_CHECK(take_layout(memory, kernel, options));
    VITRINE_CHECK(check_kernel(memory, kernel));
    return kernel;
}

}  // namespace vitrine::linux_os
