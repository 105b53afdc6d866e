#include "support/synthetic_guest.h"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "support/vector_store.h"

namespace vitrine::test {

SyntheticGuest::SyntheticGuest(GuestDescription description)
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
SyntheticGuest::~SyntheticGuest() = default;

Gva SyntheticGuest::symbol(const std::string& name) const {
    const auto found = symbols_.find(name);
    if (found == symbols_.end()) throw std::logic_error("no symbol " + name);
    return found->second;
}

Gpa SyntheticGuest::physical(Gva va) const {
    if (va >= text && va.value - text.value < 3 * kPart) return Gpa{d.text_pa + (va.value - text.value)};
    if (va.value >= kModules) return Gpa{d.heap_pa + (va.value - kModules)};
    return Gpa{va.value - direct_};
}

PagingMode SyntheticGuest::mode() const {
    return d.levels == 5 ? PagingMode::x86_64_5level : PagingMode::x86_64_4level;
}

Gva SyntheticGuest::alloc(std::uint64_t size, std::uint64_t alignment) {
    heap_next_ = (heap_next_ + alignment - 1) / alignment * alignment;
    const Gva at = direct(Gpa{heap_next_});
    heap_next_ += size;
    return at;
}

Gva SyntheticGuest::node_data(unsigned node) const {
    return direct(Gpa{d.ram.at(node).start.value + d.ram.at(node).size - 0x1'0000});
}

std::vector<VcpuState> SyntheticGuest::vcpus(std::size_t task, bool user_side) const {
    VcpuState vcpu;
    vcpu.cr0 = 0x8005'0033;
    vcpu.cr3 = tasks.at(task).root.value + (user_side ? kPageSize : 0) + 5;  // 5: a PCID
    vcpu.cr4 = 0x6a0 | (d.levels == 5 ? 1u << 12 : 0);
    vcpu.efer = 0xd01;
    vcpu.cs = user_side ? 0x33 : 0x10;
    return {vcpu};
}

std::shared_ptr<RamStore> SyntheticGuest::store(bool mapped) const {
    constexpr std::uint64_t kFlat = 64u << 20;
    if (ram.size() > kFlat) return std::make_shared<SparseStore>(ram);
    return std::make_shared<vitrine::testing::VectorStore>(ram.flat(), mapped);
}

std::unique_ptr<SyntheticMachine> SyntheticGuest::machine(std::vector<VcpuState> states, bool mapped) const {
    return machine_over(store(mapped), std::move(states));
}

std::unique_ptr<SyntheticMachine> SyntheticGuest::machine_over(std::shared_ptr<RamStore> over,
                                                               std::vector<VcpuState> states) const {
    return std::make_unique<SyntheticMachine>(std::move(over), std::vector{ram.layout()}, std::move(states));
}

std::string SyntheticGuest::banner() const {
    return "Linux version " + d.release + " (someone@somewhere) (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC made up\n";
}

std::string SyntheticGuest::build_id() const {
    std::string hex;
    for (int i = 0; i < 20; ++i) hex += fmt::format("{:02x}", d.build);
    return hex;
}

void SyntheticGuest::place_variables() {
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
    for (const char* word : {"page_offset_base", "vmalloc_base", "vmemmap_base", "max_pfn", "e820_table", "nr_cpu_ids"})
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

void SyntheticGuest::map_kernel() {
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
        if (ram.contains(heap + at)) tables_->map(direct(Gpa{heap + at}), Gpa{heap + at}, kPart, kWrite | kNoExecute);
    }
    tables_->map_range(direct(Gpa{d.text_pa}), Gpa{d.text_pa}, 3 * kPart, kPart, kWrite | kNoExecute);
    tables_->map_range(Gva{kModules}, Gpa{d.heap_pa}, 4u << 20, kPageSize, kWrite);
    if (d.isolation) map_user_half(user_half);
}

void SyntheticGuest::map_user_half(Gpa half) {
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

Gpa SyntheticGuest::process_tables(Gpa arguments) {
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

void SyntheticGuest::make_files() {
    mount_ = alloc(types.size("mount"));
    root_dentry_ = new_dentry(Gva{}, "/");
    set(member(mount_, "mount.mnt"), "vfsmount.mnt_root", root_dentry_);
    set(mount_, "mount.mnt_parent", mount_);
    set(mount_, "mount.mnt_mountpoint", root_dentry_);
}

Gva SyntheticGuest::new_dentry(Gva parent, const std::string& text_of) {
    const Gva at = alloc(types.size("dentry"));
    const Gva bytes = alloc(text_of.size() + 1, 8);
    put_string(bytes, text_of);
    set(at, "dentry.d_parent", parent.is_null() ? at : parent);
    set(member(at, "dentry.d_name"), "qstr.name", bytes);
    set32(member(at, "dentry.d_name"), "qstr.len", static_cast<std::uint32_t>(text_of.size()));
    set(member(at, "dentry.d_hash"), "hlist_bl_node.pprev", at);  // hashed: linked in its directory
    return at;
}

Gva SyntheticGuest::dentry_of(const std::string& path) {
    if (path == "/") return root_dentry_;
    auto& known = dentries_[path];
    if (!known.is_null()) return known;
    const std::size_t slash = path.rfind('/');
    const Gva parent = dentry_of(slash == 0 ? "/" : path.substr(0, slash));
    return dentries_[path] = new_dentry(parent, path.substr(slash + 1));
}

void SyntheticGuest::set_path(Gva path, const std::string& value) {
    set(path, "path.mnt", member(mount_, "mount.mnt"));
    set(path, "path.dentry", dentry_of(value));
}

}  // namespace vitrine::test
