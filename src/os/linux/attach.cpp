#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "os/linux/find/block_order.h"
#include "os/linux/find/candidate_layouts.h"
#include "os/linux/find/describe.h"
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
          patience_(options.patience),
          layouts_(machine.layouts()) {}

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
        if (!machine_.interchangeable().empty())
            prove_.accept_blocks = [this](const ProvenKernel& kernel) { return accept_blocks(kernel); };
        return by_registers() || over_layouts(FindRoute::page_tables, find_by_page_tables) ||
               over_layouts(FindRoute::vmcoreinfo, find_by_vmcoreinfo) || over_layouts(FindRoute::scan, find_by_scan);
    }

    [[nodiscard]] ProvenKernel take() { return std::move(*found_); }
    [[nodiscard]] bool order_is_proven() const { return order_is_proven_; }
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
        for (layouts_.restart(); layouts_.has_current() && !patience_.is_exhausted(); layouts_.advance()) {
            if (!(machine_.memory().layout().extents == layouts_.current().extents)) {
                machine_.memory().set_layout(layouts_.current());
                memory_.new_generation();
            }
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
        if (!order_account_.empty()) kernel->checks.push_back(order_account_);
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
                if (prove_.accept_blocks) VITRINE_CHECK(prove_.accept_blocks(*cached));
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
        const std::string odd = map ? disagreement(*map, layouts_.current())
                                    : std::string("the guest's memory map could not be read");
        if (odd.empty()) {
            kernel.checks.push_back(
                fmt::format("the guest's {} agrees with the memory layout ({})", map->source, layouts_.current().name));
            return true;
        }
        if (layouts_.current().certain || machine_.layouts().size() == 1) {
            kernel.checks.push_back(fmt::format("NOTE: {}", odd));
            return true;
        }
        reject(where, fmt::format("{} ({})", odd, layouts_.current().name));
        return false;
    }

    // Blocks that the monitor could not tell apart: in the order of the layout in force, or the kernel is refused in favour of the order
    // that it tells itself.
    Result<void> accept_blocks(const ProvenKernel& kernel) {
        BlockOrder order = find_block_order(memory_, machine_.memory(), machine_.interchangeable(), kernel);
        const bool as_laid_out = order.layout.extents == layouts_.current().extents;
        if (!as_laid_out && layouts_.propose(std::move(order.layout))) {
            return Error::with_text(Errc::inconsistent, Origin::guest,
                                    "the kernel's nodes (node_data) lie in other blocks than this layout has them in");
        }
        order_is_proven_ = as_laid_out && order.is_proven();
        order_account_ = fmt::format(
            "{}{} of {} blocks of equal size are where the kernel and its nodes (node_data) lie",
            order_is_proven_ ? "" : "NOTE: only ", as_laid_out ? order.proven : 0, order.blocks);
        return {};
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
    CandidateLayouts layouts_;
    bool order_is_proven_ = false;
    std::string order_account_;
    std::optional<ProvenKernel> found_;
    std::optional<Error> unsupported_;
    std::optional<Error> machine_error_;
    std::vector<AttachStep> steps_;
    std::size_t steps_before_proof_ = 0;
    std::chrono::microseconds spent_proving_{};
    std::vector<std::string> accounts_;
    std::vector<std::string> rejected_;
};

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
    if (attach.order_is_proven()) machine->take_order_as_proven();
    KernelInfo info = linux_os::describe(*memory, *proven, machine->memory().layout());
    info.steps = attach.steps();
    info.rejected = attach.rejected();
    return std::unique_ptr<Guest>(
        std::make_unique<LinuxGuest>(std::move(machine), std::move(cache), std::move(info), std::move(proven)));
}

}  // namespace vitrine
