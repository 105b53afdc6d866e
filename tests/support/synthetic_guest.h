// A small but complete x86-64 Linux-like guest, made in memory: page tables, kernel image, kallsyms, BTF, tasks, modules.
//
//   SyntheticGuest made(GuestDescription{});
//   auto guest = Guest::attach(made.machine(), options);
//
// What lies where is chosen by the description; tests ask for symbols, offsets and tasks and may overwrite anything.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "support/kallsyms_encoder.h"
#include "support/page_table_builder.h"
#include "support/synthetic_guest_ram.h"
#include "support/synthetic_guest_types.h"

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

    explicit SyntheticGuest(GuestDescription description)
        : d(std::move(description)),
          types(d.types),
          ram(d.ram),
          text(kImageMap + 0x100'0000 + d.slide),
          heap_next_(d.heap_pa),
          direct_(d.levels == 5 ? 0xff11'0000'0000'0000 : 0xffff'8880'0000'0000) {
        place_variables();
        map_kernel();
        make_files();
        make_tasks();
        make_modules();
        make_read_only_data();
        make_machine_facts();
    }

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

    [[nodiscard]] Gva symbol(const std::string& name) const {
        const auto found = symbols_.find(name);
        if (found == symbols_.end()) throw std::logic_error("no symbol " + name);
        return found->second;
    }
    [[nodiscard]] Gpa physical(Gva va) const {
        if (va >= text && va.value - text.value < 3 * kPart) return Gpa{d.text_pa + (va.value - text.value)};
        if (va.value >= kModules) return Gpa{d.heap_pa + (va.value - kModules)};
        return Gpa{va.value - direct_};
    }
    [[nodiscard]] Gpa root() const { return physical(symbol("init_top_pgt")); }
    [[nodiscard]] PagingMode mode() const {
        return d.levels == 5 ? PagingMode::x86_64_5level : PagingMode::x86_64_4level;
    }
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

    Gva alloc(std::uint64_t size, std::uint64_t alignment = 64) {
        heap_next_ = (heap_next_ + alignment - 1) / alignment * alignment;
        const Gva at = direct(Gpa{heap_next_});
        heap_next_ += size;
        return at;
    }
    [[nodiscard]] Gpa heap_end() const { return Gpa{heap_next_}; }
    // The tables that map the kernel, for more mappings.
    [[nodiscard]] Tables& tables() { return *tables_; }

    // Of the node's pg_data_t, at the end of its memory.
    [[nodiscard]] Gva node_data(unsigned node) const {
        return direct(Gpa{d.ram.at(node).start.value + d.ram.at(node).size - 0x1'0000});
    }

    // One vCPU on the kernel's side of a process (or, in user mode under isolation, on the user's side).
    [[nodiscard]] std::vector<VcpuState> vcpus(std::size_t task = 1, bool user_side = false) const {
        VcpuState vcpu;
        vcpu.cr0 = 0x8005'0033;
        vcpu.cr3 = tasks.at(task).root.value + (user_side ? kPageSize : 0) + 5;  // 5: a PCID
        vcpu.cr4 = 0x6a0 | (d.levels == 5 ? 1u << 12 : 0);
        vcpu.efer = 0xd01;
        vcpu.cs = user_side ? 0x33 : 0x10;
        return {vcpu};
    }
    [[nodiscard]] std::shared_ptr<RamStore> store(bool mapped = false) const {
        constexpr std::uint64_t kFlat = 64u << 20;
        if (ram.size() > kFlat) return std::make_shared<SparseStore>(ram);
        return std::make_shared<vitrine::testing::VectorStore>(ram.flat(), mapped);
    }
    [[nodiscard]] std::unique_ptr<SyntheticMachine> machine(std::vector<VcpuState> states = {},
                                                            bool mapped = false) const {
        return machine_over(store(mapped), std::move(states));
    }
    [[nodiscard]] std::unique_ptr<SyntheticMachine> machine_over(std::shared_ptr<RamStore> over,
                                                                 std::vector<VcpuState> states = {}) const {
        return std::make_unique<SyntheticMachine>(std::move(over), std::vector{ram.layout()}, std::move(states));
    }
    [[nodiscard]] std::string banner() const {
        return "Linux version " + d.release + " (someone@somewhere) (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC made up\n";
    }
    [[nodiscard]] std::string build_id() const {
        std::string hex;
        for (int i = 0; i < 20; ++i) hex += fmt::format("{:02x}", d.build);
        return hex;
    }

private:
    Gva rodata() const { return text.wrap_plus(kPart); }
    Gva data() const { return text.wrap_plus(2 * kPart); }
    void name(const std::string& symbol, Gva at) { symbols_[symbol] = at; }
    std::uint64_t phys_base() const { return d.text_pa - (text.value - kImageMap); }

    void place_variables() {
        name("_text", text);
        name("_stext", text);
        name("entry_SYSCALL_64", text.wrap_plus(0x18'0040));
        name("_etext", text.wrap_plus(kPart - 0x1000));
        name("linux_banner", rodata().wrap_plus(0x40));
        name("sys_call_table", rodata().wrap_plus(0x400));
        // What follows the tables, which begin the data.
        std::uint64_t at = data().value + 0x10'0000;
        const auto variable = [&](const std::string& symbol, std::uint64_t size) {
            at = (at + 63) / 64 * 64;
            name(symbol, Gva{at});
            at += size;
        };
        name("init_top_pgt", data());
        if (d.phys_base_symbol) variable("phys_base", 8);
        for (const char* word :
             {"page_offset_base", "vmalloc_base", "vmemmap_base", "max_pfn", "e820_table", "nr_cpu_ids"})
            variable(word, 8);
        variable("__per_cpu_offset", 64);
        variable("init_task", types.size("task_struct"));
        variable("init_cred", types.size("cred"));
        variable("init_fs", types.size("fs_struct"));
        variable("init_signals", types.size("signal_struct"));
        variable("init_struct_pid", types.size("pid") + 4 * types.size("upid"));
        for (const char* other : {"init_files", "init_nsproxy", "init_sighand", "init_pid_ns", "idt_table"})
            variable(other, 256);
        variable("init_mm", types.size("mm_struct"));
        variable("modules", 16);
        variable("btf_modules", 16);
        variable("jiffies_64", 8);
        if (d.boot_clock) variable("tk_core", 512);
        if (d.nodes > 0) variable("node_data", kMaxNodes * 8);
        name("_edata", Gva{(at + 4095) / 4096 * 4096});
        name("_end", data().wrap_plus(kPart));
    }

    void map_kernel() {
        tables_ = std::make_unique<Tables>(ram, mode(), physical(data()));
        // With isolation the pair's second half is the user's.
        const Gpa user_half = tables_->allocate();
        const std::uint64_t page = d.small_pages ? kPageSize : kPart;
        constexpr std::uint64_t kNoExecute = Tables::kNoExecute, kWrite = Tables::kWrite;
        const std::uint64_t everything = kWrite;
        tables_->map_range(text, Gpa{d.text_pa}, kPart, page, d.permissions ? 0 : everything);
        tables_->map_range(rodata(), Gpa{d.text_pa + kPart}, kPart, page, d.permissions ? kNoExecute : everything);
        tables_->map_range(data(), Gpa{d.text_pa + 2 * kPart}, kPart, page,
                           d.permissions ? kWrite | kNoExecute : everything);
        const std::uint64_t heap = d.heap_pa / kPart * kPart;
        for (std::uint64_t at = 0; at < 8u << 20; at += kPart) {
            if (ram.contains(heap + at))
                tables_->map(direct(Gpa{heap + at}), Gpa{heap + at}, kPart, kWrite | kNoExecute);
        }
        tables_->map_range(direct(Gpa{d.text_pa}), Gpa{d.text_pa}, 3 * kPart, kPart, kWrite | kNoExecute);
        tables_->map_range(Gva{kModules}, Gpa{d.heap_pa}, 4u << 20, kPageSize, kWrite);
        if (d.isolation) map_user_half(user_half);
    }

    // The user's side maps the entry code and nothing writable of the kernel.
    void map_user_half(Gpa half) {
        const Gpa top = half;
        Gpa table = top;
        for (unsigned level = d.levels; level > 2; --level) {
            const Gpa next = tables_->allocate();
            ram.write_value(tables_->entry_address(table, text, level), next.value | 0x63);
            table = next;
        }
        ram.write_value(tables_->entry_address(table, text, 2), d.text_pa | 0x1e1);
        user_kernel_entry_ = *ram.read_value<std::uint64_t>(top.wrap_plus(511 * 8));
    }

    Gpa process_tables(Gpa arguments) {
        const Gva pair = alloc(2 * kPageSize, 2 * kPageSize);
        const Gpa top = physical(pair);
        for (std::uint64_t i = 256; i < 512; ++i)
            ram.write_value(top.wrap_plus(i * 8), *ram.read_value<std::uint64_t>(root().wrap_plus(i * 8)));
        Gpa table = top;
        for (unsigned level = d.levels; level > 1; --level) {
            const Gpa next = physical(alloc(kPageSize, kPageSize));
            ram.write_value(tables_->entry_address(table, kArguments, level), next.value | 0x67);
            if (level == d.levels && d.isolation)
                ram.write_value(tables_->entry_address(top.wrap_plus(kPageSize), kArguments, level), next.value | 0x67);
            table = next;
        }
        ram.write_value(tables_->entry_address(table, kArguments, 1), arguments.value | 0x67);
        if (d.isolation) ram.write_value(top.wrap_plus(kPageSize + 511 * 8), user_kernel_entry_);
        return top;
    }

    // A tree of directory entries under one mounted root.
    void make_files() {
        mount_ = alloc(types.size("mount"));
        root_dentry_ = new_dentry(Gva{}, "/");
        set(member(mount_, "mount.mnt"), "vfsmount.mnt_root", root_dentry_);
        set(mount_, "mount.mnt_parent", mount_);
        set(mount_, "mount.mnt_mountpoint", root_dentry_);
    }
    Gva new_dentry(Gva parent, const std::string& text_of) {
        const Gva at = alloc(types.size("dentry"));
        const Gva bytes = alloc(text_of.size() + 1, 8);
        put_string(bytes, text_of);
        set(at, "dentry.d_parent", parent.is_null() ? at : parent);
        set(member(at, "dentry.d_name"), "qstr.name", bytes);
        set32(member(at, "dentry.d_name"), "qstr.len", static_cast<std::uint32_t>(text_of.size()));
        set(member(at, "dentry.d_hash"), "hlist_bl_node.pprev", at);  // hashed: linked in its directory
        return at;
    }
    Gva dentry_of(const std::string& path) {
        if (path == "/") return root_dentry_;
        auto& known = dentries_[path];
        if (!known.is_null()) return known;
        const std::size_t slash = path.rfind('/');
        const Gva parent = dentry_of(slash == 0 ? "/" : path.substr(0, slash));
        return dentries_[path] = new_dentry(parent, path.substr(slash + 1));
    }
    void set_path(Gva path, const std::string& value) {
        set(path, "path.mnt", member(mount_, "mount.mnt"));
        set(path, "path.dentry", dentry_of(value));
    }

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

#include "support/synthetic_guest_objects.h"
