// A whole guest with some of its memory changed: found, understood, and asked for its tables. Nothing may crash, hang
// or grow without bound, whatever the memory holds.
//
// The input: one byte that chooses a base image and the route by which the kernel is found, one of flags (see Manner),
// then changes of 4 + n bytes: which part of memory (1), where in it (2), how many bytes (1, at most 16), and the
// bytes. VITRINE_FUZZ_IMAGE=FILE takes a raw image of a real guest instead.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "os/linux/find/prove.h"
#include "os/linux/module_btf.h"
#include "support/synthetic_guest.h"
#include "support/vector_store.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/query/table.h"

namespace {

using namespace vitrine;
using vitrine::test::GuestDescription;
using vitrine::test::SyntheticGuest;
using vitrine::test::SyntheticMachine;

void require(bool holds) {
    if (!holds) __builtin_trap();
}

// A part of memory that the reader looks at; changes elsewhere would mostly be in vain.
struct Part {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

struct Base {
    std::shared_ptr<vitrine::testing::VectorStore> store;
    MemoryLayout layout;
    std::vector<VcpuState> vcpus;
    std::vector<Part> parts;
};

Base make_base(GuestDescription description) {
    const SyntheticGuest made(std::move(description));
    Base base;
    base.store = std::make_shared<vitrine::testing::VectorStore>(made.ram.flat(), true);
    base.layout = made.ram.layout();
    base.vcpus = made.vcpus();
    const auto part = [&](Gva at, std::uint64_t size) {
        if (const auto offset = made.ram.offset_of(made.physical(at).value)) base.parts.push_back({*offset, size});
    };
    part(made.symbol("init_top_pgt"), 16 * kPageSize);
    part(made.kallsyms_region.wrap_plus(made.kallsyms_layout.names), 4096);
    part(made.kallsyms_region.wrap_plus(made.kallsyms_layout.token_table), 2048);
    part(made.kallsyms_region.wrap_plus(made.kallsyms_layout.addresses), 8192);
    part(made.kallsyms_region.wrap_plus(made.kallsyms_layout.markers), 64);
    part(made.btf, made.btf_size);
    part(made.symbol("linux_banner"), 64);
    part(made.symbol("__start_notes"), 48);
    part(made.symbol("phys_base"), 8192);
    part(made.direct(Gpa{made.d.heap_pa}), made.heap_end().value - made.d.heap_pa);
    part(made.direct(made.vmcoreinfo_page), 256);
    for (const auto& task : made.tasks) {
        part(task.address, made.types.size("task_struct"));
        part(task.signal, made.types.size("signal_struct"));
        if (!task.mm.is_null()) part(task.mm, made.types.size("mm_struct"));
        if (!task.root.is_null()) part(made.direct(task.root), kPageSize);
    }
    for (const auto& module : made.modules) part(module.address, made.types.size("module"));
    return base;
}

// A raw file of one block; all of it can be changed.
std::optional<Base> load_base(const char* path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts{};
    if (fd < 0 || fstat(fd, &facts) != 0 || facts.st_size <= 0 || facts.st_size > (1ll << 30)) return std::nullopt;
    std::vector<std::byte> bytes(static_cast<std::size_t>(facts.st_size));
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t n = read(fd, bytes.data() + done, bytes.size() - done);
        if (n <= 0) return std::nullopt;
        done += static_cast<std::size_t>(n);
    }
    close(fd);
    const std::uint64_t size = bytes.size();
    Base base;
    base.store = std::make_shared<vitrine::testing::VectorStore>(std::move(bytes), true);
    base.layout = MemoryLayout::with_hole(size, size, "flat");
    base.layout.certain = true;
    AttachOptions options;
    options.use_cache = false;
    const auto guest = Guest::attach(std::make_unique<SyntheticMachine>(base.store, std::vector{base.layout}), options);
    if (!guest) return std::nullopt;
    const auto* linux_guest = (*guest)->as_linux();
    const auto& proven = linux_guest->proven();
    VcpuState vcpu;
    vcpu.cr0 = 0x8005'0033;
    vcpu.cr3 = proven.root.value;
    vcpu.cr4 = 0x6a0 | (proven.image.paging == PagingMode::x86_64_5level ? 1u << 12 : 0);
    vcpu.efer = 0xd01;
    base.vcpus = {vcpu};
    base.parts.push_back({proven.root.value, 8 * kPageSize});
    const auto part = [&](Gva at, std::uint64_t length) {
        const auto where = linux_guest->space().translate(at);
        if (where && where->address.value + length <= size) base.parts.push_back({where->address.value, length});
    };
    part(proven.region_va.wrap_plus(proven.kallsyms.token_table), 2048);
    part(proven.region_va.wrap_plus(proven.kallsyms.markers), 4096);
    part(proven.region_va.wrap_plus(proven.kallsyms.names), 65536);
    part(proven.region_va.wrap_plus(proven.kallsyms.addresses), 65536);
    using linux_os::SymbolId;
    for (const SymbolId id :
         {SymbolId::linux_banner, SymbolId::phys_base, SymbolId::init_task, SymbolId::modules, SymbolId::start_notes}) {
        if (const auto at = proven.symbols.get(id)) part(*at, 4096);
    }
    if (const auto at = proven.symbols.get(SymbolId::start_btf)) part(*at, 65536);
    for (const TaskKey& task : linux_guest->processes().tasks) part(task.address, 4096);
    return base;
}

std::vector<Base> make_bases() {
    if (const char* path = std::getenv("VITRINE_FUZZ_IMAGE"); path != nullptr && *path != '\0') {
        auto base = load_base(path);
        require(base.has_value());  // the file is no raw image of a guest that can be attached to
        std::vector<Base> one;
        one.push_back(std::move(*base));
        return one;
    }
    std::vector<Base> bases;
    GuestDescription d;
    d.ram = {{Gpa{0}, 12u << 20}};
    bases.push_back(make_base(d));
    d.levels = 5;
    d.isolation = true;
    d.kallsyms = "C";
    d.types.seed = 2;
    bases.push_back(make_base(d));
    d = GuestDescription{};
    d.ram = {{Gpa{0}, 12u << 20}};
    d.kallsyms = "A";
    d.absolute_percpu = true;
    d.types.seed = 3;
    d.types.module_memory = false;
    d.types.percpu_rss = false;
    bases.push_back(make_base(d));
    return bases;
}

// Changes bytes and puts them back.
class Changes {
public:
    Changes(Base& base, std::span<const std::uint8_t> input) : bytes_(base.store->bytes) {
        while (input.size() >= 5 && saved_.size() < 64) {
            const Part& part = base.parts[input[0] % base.parts.size()];
            const std::uint64_t where = input[1] | std::uint64_t{input[2]} << 8;
            // Structures begin at multiples of 4.
            const std::uint64_t at = part.offset + where * 4 % part.size;
            const std::size_t count = std::min<std::size_t>(
                {std::size_t{input[3]} % 16 + 1, input.size() - 4, static_cast<std::size_t>(bytes_.size() - at)});
            Saved saved{at, count, {}};
            for (std::size_t i = 0; i < count; ++i) {
                saved.bytes[i] = bytes_[at + i];
                bytes_[at + i] = static_cast<std::byte>(input[4 + i]);
            }
            saved_.push_back(saved);
            input = input.subspan(4 + count);
        }
    }
    Changes(const Changes&) = delete;
    Changes& operator=(const Changes&) = delete;
    ~Changes() {
        while (!saved_.empty()) {
            const Saved& saved = saved_.back();
            for (std::size_t i = 0; i < saved.count; ++i) bytes_[saved.at + i] = saved.bytes[i];
            saved_.pop_back();
        }
    }

private:
    struct Saved {
        std::uint64_t at = 0;
        std::size_t count = 0;
        std::array<std::byte, 16> bytes{};
    };
    std::vector<std::byte>& bytes_;
    std::vector<Saved> saved_;
};

struct Sink final : RowSink {
    explicit Sink(std::size_t width) : columns(width) {}
    bool row(std::span<const Value> values) override {
        require(values.size() == columns);
        for (const Value& value : values) {
            if (const auto* text = std::get_if<std::string>(&value)) require(text->size() < (1u << 20));
        }
        return ++rows < 5000;
    }
    void diagnostic(Diagnostic diagnostic) override { require(diagnostic.text.size() < (1u << 16)); }
    std::size_t columns;
    std::size_t rows = 0;
};

// How the guest is read, from the input's second byte.
struct Manner {
    bool live = false;    // a machine that runs
    bool cached = false;  // attached to twice, with a cache of profiles between
    bool module_types = false;
    bool two_layouts = false;     // a wrong layout is offered first
    std::size_t still_reads = 0;  // after so many its memory changes under the reader; 0: never

    explicit Manner(std::uint8_t byte)
        : live((byte & 1) != 0),
          cached((byte & 2) != 0),
          module_types((byte & 4) != 0),
          two_layouts((byte & 8) != 0),
          still_reads((byte >> 4) == 0 ? 0 : std::size_t{1} << (byte >> 4)) {}
};

// Empty at the beginning of each run.
class CacheFolder {
public:
    CacheFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "vitrine-fuzz-XXXXXX").string();
        require(mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    CacheFolder(const CacheFolder&) = delete;
    CacheFolder& operator=(const CacheFolder&) = delete;
    ~CacheFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

std::unique_ptr<SyntheticMachine> make_machine(const Base& base, const Manner& manner, FindRoute route) {
    std::shared_ptr<RamStore> store = base.store;
    if (manner.still_reads != 0) {
        auto filter = std::make_shared<vitrine::test::StoreFilter>(store);
        filter->alter = [after = manner.still_reads](std::size_t number, StoreReadOp& op) {
            if (number < after || op.out.empty()) return;
            op.out[number * 0x9e37 % op.out.size()] ^= static_cast<std::byte>(1u << number % 8);
        };
        store = filter;
    }
    std::vector<MemoryLayout> layouts{base.layout};
    if (manner.two_layouts) {
        const std::uint64_t size = store->size();
        MemoryLayout wrong = MemoryLayout::with_hole(size, size / 2 / kPageSize * kPageSize, "wrong");
        wrong.certain = layouts.front().certain = false;
        layouts.insert(layouts.begin(), std::move(wrong));
    }
    auto machine = std::make_unique<SyntheticMachine>(
        std::move(store), std::move(layouts), route == FindRoute::registers ? base.vcpus : std::vector<VcpuState>{});
    machine->live = manner.live;
    return machine;
}

void ask_everything(Guest& guest, const Manner& manner, bool symbols) {
    for (const Table* asked : all_tables()) {
        const Table& table = *asked;
        // Decoding all symbols and types is what other targets do; here it would take all the time.
        const std::string_view name = table.spec.name;
        if (name == "symbols" || name == "types" || name == "type_members") continue;
        QueryContext context;
        context.budget = {4096, std::chrono::milliseconds(500)};
        Sink sink(table.spec.columns.size());
        (void)run_table(table, guest, context, sink);
    }
    if (manner.module_types) (void)linux_os::list_module_btf(*guest.as_linux(), {64, std::chrono::milliseconds(500)});
    if (manner.live) (void)guest.verify();
    if (symbols) (void)guest.symbols();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static std::vector<Base> bases = make_bases();
    if (size < 2) return 0;
    Base& base = bases[data[0] % bases.size()];
    const Manner manner(data[1]);
    const Changes changes(base, std::span(data, size).subspan(2));
    constexpr std::array kRoutes = {FindRoute::registers, FindRoute::page_tables, FindRoute::vmcoreinfo,
                                    FindRoute::scan};
    const FindRoute route = kRoutes[data[0] / 64];
    std::optional<CacheFolder> cache;
    if (manner.cached) cache.emplace();
    AttachOptions options;
    options.use_cache = manner.cached;
    if (cache) options.cache_directory = cache->path();
    options.only_route = route;
    options.patience = std::chrono::milliseconds(5000);
    for (int attempt = 0; attempt < (manner.cached ? 2 : 1); ++attempt) {
        const auto guest = Guest::attach(make_machine(base, manner, route), options);
        if (guest) ask_everything(**guest, manner, size % 8 == 0);
        else require(!guest.error().to_string().empty());
    }
    return 0;
}
