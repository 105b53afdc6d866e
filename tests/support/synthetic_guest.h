// A small but complete x86-64 Linux-like guest, made in memory: page tables, kernel image, kallsyms, BTF, tasks, modules.
//
//   SyntheticGuest made(GuestDescription{});
//   auto guest = Guest::attach(made.machine(), options);
//
// What lies where is chosen by the description; tests ask for symbols, offsets and tasks and may overwrite anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/page_table_builder.h"
#include "support/synthetic_guest_ram.h"
#include "support/synthetic_guest_types.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine::test {

struct GuestDescription {
    unsigned levels = 4;
    bool isolation = false;      // page-table isolation
    std::string kallsyms = "B";  // A, B, C, D (addresses in front), D-after
    unsigned seqs = 3;           // bytes of an entry of kallsyms_seqs_of_names; 0: none
    unsigned markers = 4;
    bool uleb = true;
    bool absolute_percpu = false;
    bool permissions = true;     // false: the whole image is writable and executable
    bool small_pages = false;    // the image is mapped by 4 KiB pages
    std::string btf = "kernel";  // kernel, none, unnamed (no symbols for it)
    bool vmcoreinfo = true;
    bool phys_base_symbol = true;
    bool boot_clock = true;  // tk_core
    unsigned nodes = 0;      // NUMA nodes: the first ranges of RAM, one each; 0: a kernel that knows none
    std::uint64_t slide = 0x1a00'0000;
    std::uint64_t text_pa = 0x40'0000;
    std::uint64_t heap_pa = 0xa0'0000;
    std::vector<MemoryRange> ram{{Gpa{0}, 16u << 20}};
    unsigned tasks = 8;    // 0 is the idle task, 1 init, 2 kthreadd; user and kernel ones alternate
    unsigned threads = 3;  // of every third user process
    unsigned modules = 3;
    TypeOptions types;
    std::string release = "6.1.0-77-made-amd64";
    std::uint8_t build = 0x5a;                        // fills the build-id
    std::int64_t booted = 1'700'000'000'000'000'000;  // nanoseconds since the epoch
};

struct SyntheticTask {
    Gva address, signal, mm, cred, thread_pid, exe_file;
    std::int32_t pid = 0, tgid = 0, parent = 0;
    std::uint32_t uid = 0;
    bool kernel = false;
    std::string comm, full_name, path, cwd, cmdline;
    std::uint64_t start = 0;
    Gpa root;                           // page tables of a user process
    std::vector<std::int32_t> threads;  // of leaders: all, the leader included
};

struct SyntheticModule {
    Gva address, base, kallsyms;
    std::uint64_t size = 0;
    std::string name, used_by;
    std::vector<std::string> symbols;
};

class SyntheticGuest {
public:
    using Tables = vitrine::testing::PageTableBuilder;
    static constexpr std::uint64_t kImageMap = 0xffff'ffff'8000'0000;
    static constexpr std::uint64_t kPart = 2u << 20;  // text, read-only data, data: 2 MiB each
    static constexpr std::uint64_t kModules = 0xffff'ffff'c000'0000;
    static constexpr unsigned kMaxNodes = 64;
    static constexpr Gva kArguments{0x7ffd'0000'1000};

    explicit SyntheticGuest(GuestDescription description);
    ~SyntheticGuest();

    const GuestDescription d;
    const SyntheticTypes types;
    GuestRam ram;
    const Gva text;
    std::vector<SyntheticTask> tasks;  // [0] is the idle task; leaders only
    std::vector<SyntheticModule> modules;
    Gva btf;
    std::uint64_t btf_size = 0;
    Gva kallsyms_region;
    KallsymsLayout kallsyms_layout;
    std::uint64_t kallsyms_size = 0;
    std::size_t symbol_count = 0;
    Gpa vmcoreinfo_page;
    Gva e820;

    [[nodiscard]] Gva symbol(const std::string& name) const;
    [[nodiscard]] Gpa physical(Gva va) const;
    [[nodiscard]] Gpa root() const { return physical(symbol("init_top_pgt")); }
    [[nodiscard]] PagingMode mode() const;
    [[nodiscard]] Gva direct(Gpa at) const { return Gva{direct_ + at.value}; }
    [[nodiscard]] Gva member(Gva object, const std::string& name) const { return object.wrap_plus(types.offset(name)); }

    template <GuestScalar T>
    void put(Gva at, T value) {
        ram.write_value(physical(at), value);
    }
    void put(Gva at, Gva pointer) { put(at, pointer.value); }
    void put_text(Gva at, std::string_view value) { ram.write(physical(at), std::as_bytes(std::span(value))); }
    void put_string(Gva at, std::string value) { put_text(at, std::string_view(value.c_str(), value.size() + 1)); }
    void set(Gva object, const std::string& name, std::uint64_t value) { put(member(object, name), value); }
    void set(Gva object, const std::string& name, Gva value) { put(member(object, name), value.value); }
    void set32(Gva object, const std::string& name, std::uint32_t value) { put(member(object, name), value); }
    template <GuestScalar T>
    [[nodiscard]] T get(Gva at) const {
        return *ram.read_value<T>(physical(at));
    }

    Gva alloc(std::uint64_t size, std::uint64_t alignment = 64);
    [[nodiscard]] Gpa heap_end() const { return Gpa{heap_next_}; }
    // The tables that map the kernel, for more mappings.
    [[nodiscard]] Tables& tables() { return *tables_; }

    // Of the node's pg_data_t, at the end of its memory.
    [[nodiscard]] Gva node_data(unsigned node) const;

    // One vCPU on the kernel's side of a process (or, in user mode under isolation, on the user's side).
    [[nodiscard]] std::vector<VcpuState> vcpus(std::size_t task = 1, bool user_side = false) const;
    [[nodiscard]] std::shared_ptr<RamStore> store(bool mapped = false) const;
    [[nodiscard]] std::unique_ptr<SyntheticMachine> machine(std::vector<VcpuState> states = {},
                                                            bool mapped = false) const;
    [[nodiscard]] std::unique_ptr<SyntheticMachine> machine_over(std::shared_ptr<RamStore> over,
                                                                 std::vector<VcpuState> states = {}) const;
    [[nodiscard]] std::string banner() const;
    [[nodiscard]] std::string build_id() const;

private:
    Gva rodata() const { return text.wrap_plus(kPart); }
    Gva data() const { return text.wrap_plus(2 * kPart); }
    void name(const std::string& symbol, Gva at) { symbols_[symbol] = at; }
    std::uint64_t phys_base() const { return d.text_pa - (text.value - kImageMap); }

    void place_variables();
    void map_kernel();
    // The user's side maps the entry code and nothing writable of the kernel.
    void map_user_half(Gpa half);
    Gpa process_tables(Gpa arguments);

    // A tree of directory entries under one mounted root.
    void make_files();
    Gva new_dentry(Gva parent, const std::string& text_of);
    Gva dentry_of(const std::string& path);
    void set_path(Gva path, const std::string& value);

    void make_tasks();
    SyntheticTask new_task(std::int32_t pid, std::int32_t tgid, std::int32_t parent, bool kernel, Gva at);
    void fill_identity(SyntheticTask& task);
    void fill_user(SyntheticTask& task);
    void link(const std::vector<Gva>& nodes);
    void make_modules();
    void make_module_symbols(SyntheticModule& module);
    void make_read_only_data();
    void make_symbol_table(Gva at);
    void make_machine_facts();

    std::uint64_t heap_next_;
    std::uint64_t direct_;
    std::uint64_t user_kernel_entry_ = 0;
    std::map<std::string, Gva> symbols_;
    std::unique_ptr<Tables> tables_;
    Gva mount_, root_dentry_;
    std::map<std::string, Gva> dentries_;
};

}  // namespace vitrine::test
