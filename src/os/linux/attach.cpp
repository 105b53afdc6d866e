#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "os/linux/find/liveness.h"
#include "os/linux/find/prove.h"
#include "os/linux/find/ram_map_check.h"
#include "os/linux/find/routes.h"
#include "os/linux/profile_cache.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/memory/page_cache.h"

namespace vitrine {

std::string_view to_string(FindRoute route) {
    switch (route) {
        case FindRoute::registers: return "vCPU registers";
        case FindRoute::page_tables: return "page tables";
        case FindRoute::vmcoreinfo: return "VMCOREINFO";
        case FindRoute::scan: return "full scan";
    }
    return "unknown";
}

namespace linux_os {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::microseconds since(Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
}

// After a reset the kernel of before still lies in memory, whole, until the next one overwrites it. A processor that runs Linux has
// paging on from its first line of C on. A CR0 of 0 is impossible (ET reads as 1): a source that cannot tell it.
bool runs_without_page_tables(const std::vector<VcpuState>& vcpus) {
    constexpr std::uint64_t kPaging = 1ull << 31;  // CR0.PG
    return !vcpus.empty() && std::all_of(vcpus.begin(), vcpus.end(), [](const VcpuState& vcpu) {
        return vcpu.cr0 != 0 && (vcpu.cr0 & kPaging) == 0;
    });
}

// One attempt to understand a machine: tries routes over candidate layouts until a kernel proves itself.
class Attach {
public:
    Attach(Machine& machine, PhysicalMemory& memory, const AttachOptions& options)
        : machine_(machine),
          memory_(memory),
          options_(options),
          cache_(options.cache_directory),
          patience_(options.patience) {}

    Result<void> prepare() {
        if (!options_.vmlinux) return {};
        const auto begin = Clock::now();
        DwarfImport import = VITRINE_TRY(import_dwarf(*options_.vmlinux));
        prove_.given_types = import.types;
        prove_.given_types_from = *options_.vmlinux;
        prove_.given_build_id = import.build_id;
        steps_.push_back(
            {"read types from " + *options_.vmlinux, since(begin), fmt::format("{} types", import.types->size())});
        return {};
    }

    bool run() {
        prove_.ignore_btf = options_.ignore_btf;
        prove_.patience = &patience_;
        return by_registers() || over_layouts(FindRoute::page_tables, find_by_page_tables) ||
               over_layouts(FindRoute::vmcoreinfo, find_by_vmcoreinfo) || over_layouts(FindRoute::scan, find_by_scan);
    }

    [[nodiscard]] ProvenKernel take() { return std::move(*found_); }
    [[nodiscard]] std::vector<AttachStep> steps() const { return steps_; }
    [[nodiscard]] std::vector<std::string> rejected() const { return rejected_; }

    [[nodiscard]] Error failure() const {
        if (machine_error_) return *machine_error_;
        if (unsupported_) return *unsupported_;
        std::string text = fmt::format("no Linux kernel found in {}. Tried: {}", machine_.info().name,
                                       fmt::join(accounts_, "; "));
        // One line: the first refusal says most, the rest is with `info --verbose`.
        if (!rejected_.empty()) text += fmt::format(". Refused: {}", rejected_.front());
        if (rejected_.size() > 1) text += fmt::format(" (and {} more)", rejected_.size() - 1);
        if (patience_.is_exhausted()) {
            text += fmt::format(". Gave up: the {} ms for following what looks like a kernel ran out",
                                options_.patience.count());
        }
        const char* hint =
            options_.vmlinux && !rejected_.empty()
                ? "the file given with --symbols may be of another kernel build; leave it out to use "
                  "the guest's own types"
            : machine_.info().kind == "ELF core"
                ? "the guest may not be 64-bit x86 Linux, or the core incomplete; if it is raw memory that "
                  "only begins like a core: raw:PATH"
                : "the guest may not have booted its kernel yet, may not be 64-bit x86 Linux, or the "
                  "image may be incomplete";
        return Error::with_text(Errc::not_found, Origin::guest, std::move(text), hint);
    }

private:
    [[nodiscard]] bool wanted(FindRoute route) const { return !options_.only_route || *options_.only_route == route; }

    bool by_registers() {
        VcpuRegisters* registers = machine_.registers();
        if (registers == nullptr || !options_.use_registers || !wanted(FindRoute::registers)) return false;
        const auto begin = Clock::now();
        const auto vcpus = registers->read_registers(RegisterSet::control);
        if (!vcpus) {
            accounts_.push_back(fmt::format("registers: {}", vcpus.error().to_string()));
            return false;
        }
        steps_.push_back(
            {"read registers", since(begin), fmt::format("{} vCPUs, {}", vcpus->size(), registers->route())});
        // An image of a machine in its firmware is worth reading for what lies in it.
        if (machine_.is_live() && runs_without_page_tables(*vcpus)) {
            machine_error_ = Error::with_text(Errc::not_found, Origin::guest,
                                              "the guest runs no kernel: all its processors are in real or unpaged "
                                              "mode, as firmware and boot loaders are",
                                              "try again when its kernel has started");
            return false;
        }
        return over_layouts(FindRoute::registers, [&](PhysicalMemory& memory, Patience&, TryImage try_image, Progress) {
            return find_by_registers(memory, *vcpus, patience_, try_image);
        });
    }

    template <class Find>
    bool over_layouts(FindRoute route, Find find) {
        if (!wanted(route) || found_ || machine_error_) return found_.has_value();
        RouteReport last;
        for (const MemoryLayout& layout : machine_.layouts()) {
            if (patience_.is_exhausted()) break;
            if (!(machine_.memory().layout().extents == layout.extents)) {
                machine_.memory().set_layout(layout);
                memory_.new_generation();
            }
            layout_ = &layout;
            const auto begin = Clock::now();
            const auto report = [&](double fraction) {
                if (options_.progress) (*options_.progress)(to_string(route).data(), fraction);
            };
            spent_proving_ = {};
            last = find(memory_, patience_, [&](KernelImage image) { return try_image(std::move(image)); }, report);
            if (last.accepted) {
                steps_.insert(steps_.begin() + static_cast<std::ptrdiff_t>(steps_before_proof_),
                              {fmt::format("find the kernel by {}", to_string(route)), since(begin) - spent_proving_,
                               found_->image.found_by});
                return true;
            }
            if (auto alive = machine_.check_alive(); !alive) {
                machine_error_ = alive.error();
                return false;
            }
        }
        if (!last.account.empty()) accounts_.push_back(last.account);
        return false;
    }

    bool try_image(KernelImage image) {
        const auto begin = Clock::now();
        steps_before_proof_ = steps_.size();
        const std::string where = fmt::format("kernel image at {:#x} (physical {:#x})", image.text_va.value,
                                              image.text_pa.value);
        auto kernel = prove(std::move(image));
        spent_proving_ += since(begin);
        if (!kernel) {
            if (kernel.error().code == Errc::unsupported || kernel.error().origin == Origin::user)
                unsupported_ = kernel.error();
            reject(where, kernel.error().to_string());
            return false;
        }
        if (!check_layout(*kernel, where)) return false;
        steps_.insert(steps_.end(), kernel->steps.begin(), kernel->steps.end());
        found_ = std::move(*kernel);
        return true;
    }

    Result<ProvenKernel> prove(KernelImage image) {
        const bool may_cache = options_.use_cache && !options_.vmlinux && !options_.ignore_btf;
        if (may_cache) {
            const auto begin = Clock::now();
            auto cached = cache_.load(memory_, image);
            if (cached) {
                cached->steps.push_back({"verify the cached profile", since(begin), "build-id " + cached->build_id});
                return std::move(*cached);
            }
        }
        ProvenKernel kernel = VITRINE_TRY(prove_kernel(memory_, std::move(image), prove_));
        if (may_cache) {
            const auto begin = Clock::now();
            const auto stored = cache_.store(kernel);
            kernel.steps.push_back({"keep the profile in the cache", since(begin),
                                    stored ? cache_.directory() : stored.error().to_string()});
        }
        return kernel;
    }

    // A layout told by the monitor or by the file is not judged by what a guest claims; a disagreement is noted.
    bool check_layout(ProvenKernel& kernel, const std::string& where) {
        const auto map = read_ram_map(memory_, kernel);
        const std::string odd = map ? disagreement(*map, *layout_)
                                    : std::string("the guest's memory map could not be read");
        if (odd.empty()) {
            kernel.checks.push_back(
                fmt::format("the guest's {} agrees with the memory layout ({})", map->source, layout_->name));
            return true;
        }
        if (layout_->certain || machine_.layouts().size() == 1) {
            kernel.checks.push_back(fmt::format("NOTE: {}", odd));
            return true;
        }
        reject(where, fmt::format("{} ({})", odd, layout_->name));
        return false;
    }

    void reject(const std::string& where, const std::string& why) {
        constexpr std::size_t kKept = 32;
        std::string line = fmt::format("{}: {}", where, why);
        const bool known = std::find(rejected_.begin(), rejected_.end(), line) != rejected_.end();
        if (rejected_.size() < kKept && !known) rejected_.push_back(std::move(line));
    }

    Machine& machine_;
    PhysicalMemory& memory_;
    const AttachOptions& options_;
    ProfileCache cache_;
    Patience patience_;
    ProveOptions prove_;
    const MemoryLayout* layout_ = nullptr;
    std::optional<ProvenKernel> found_;
    std::optional<Error> unsupported_;
    std::optional<Error> machine_error_;
    std::vector<AttachStep> steps_;
    std::size_t steps_before_proof_ = 0;
    std::chrono::microseconds spent_proving_{};
    std::vector<std::string> accounts_;
    std::vector<std::string> rejected_;
};

// "Linux version 6.1.0-56-cloud-amd64 (debian-kernel@...) ..." -> the third word.
std::string release_of(std::string_view banner) {
    constexpr std::string_view kPrefix = "Linux version ";
    banner.remove_prefix(std::min(kPrefix.size(), banner.size()));
    return std::string(banner.substr(0, banner.find(' ')));
}

// Page-table isolation: the user half of the kernel's own root pair holds entries of its own (init_top_pgt is then 8 KiB).
bool has_page_table_isolation(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const auto own = memory.read_value<std::uint64_t>(kernel.root.wrap_plus(511 * 8));
    const auto user = memory.read_value<std::uint64_t>(kernel.root.wrap_plus(kPageSize + 511 * 8));
    return own && user && (*user & 1) != 0 && (*user & kPteAddressMask) != 0 &&
           (*user & kPteAddressMask) != (*own & kPteAddressMask) && kernel.root.offset_in(2 * kPageSize) == 0;
}

KernelInfo describe(PhysicalMemory& memory, const ProvenKernel& kernel, const MemoryLayout& layout) {
    KernelInfo info;
    info.banner = kernel.banner;
    info.release = release_of(kernel.banner);
    info.build_id = kernel.build_id;
    info.text_va = kernel.image.text_va;
    info.text_pa = kernel.image.text_pa;
    info.kaslr_slide = kernel.image.text_va.value - kLowestText;
    info.paging = kernel.image.paging;
    info.page_table_isolation = has_page_table_isolation(memory, kernel);
    info.root = kernel.root;
    info.route = kernel.image.route;
    info.from_cache = kernel.layout_source == LayoutSource::cache;
    info.symbols_from = fmt::format("kallsyms: {} symbols, {}", kernel.kallsyms.num_syms,
                                    to_string(kernel.kallsyms.addressing));
    info.types_from = kernel.layout_account;
    info.memory_layout = layout.name;
    info.checks = kernel.checks;
    return info;
}

}  // namespace
}  // namespace linux_os

Result<std::unique_ptr<Guest>> Guest::attach(std::unique_ptr<Machine> machine, const AttachOptions& options) {
    std::unique_ptr<PhysicalMemory> cache;
    PhysicalMemory* memory = &machine->memory();
    // Where each read is a system call, pages are kept; a mapping needs no copy of a copy.
    if (machine->memory().method() == AccessMethod::copied) {
        cache = std::make_unique<PageCache>(machine->memory());
        memory = cache.get();
    }
    linux_os::Attach attach(*machine, *memory, options);
    VITRINE_CHECK(attach.prepare());
    if (!attach.run()) return attach.failure();
    auto proven = std::make_unique<linux_os::ProvenKernel>(attach.take());
    VITRINE_CHECK(linux_os::expect_running(*machine, *memory, *proven, options.use_registers));
    KernelInfo info = linux_os::describe(*memory, *proven, machine->memory().layout());
    info.steps = attach.steps();
    info.rejected = attach.rejected();
    return std::unique_ptr<Guest>(
        std::make_unique<LinuxGuest>(std::move(machine), std::move(cache), std::move(info), std::move(proven)));
}

}  // namespace vitrine
