#include "support/synthetic_guest_types.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace vitrine::test {

SyntheticTypes::SyntheticTypes(TypeOptions options) : options_(std::move(options)), random_(options_.seed) {
    basics();
    paths();
    modules();
    process();
    tasks();
    threads_and_time();
    if (!options_.pages.empty()) pages();
}
SyntheticTypes::~SyntheticTypes() = default;

std::uint32_t SyntheticTypes::offset(const std::string& member) const {
    const auto found = offsets_.find(member);
    if (found == offsets_.end()) throw std::logic_error("no member " + member);
    return found->second;
}

std::uint32_t SyntheticTypes::size(const std::string& structure) const {
    const auto found = sizes_.find(structure);
    if (found == sizes_.end()) throw std::logic_error("no structure " + structure);
    return found->second;
}

std::uint32_t SyntheticTypes::define(const std::string& name, std::vector<Part> parts, Order order) {
    if (order == shuffled) parts = shuffle(parts);
    std::vector<BtfWriter::Member> members;
    std::uint32_t at = 0;
    std::uint32_t align = 1;
    for (const Part& part : parts) {
        align = std::max(align, part.align);
        if (order == shuffled && !part.glued) at += static_cast<std::uint32_t>(random_() % 40);
        at = (at + part.align - 1) / part.align * part.align;
        const std::string full = name + "." + std::string(part.name);
        offsets_[full] = at;
        if (full != options_.leave_out) members.push_back({part.name, part.type, at * 8, 0});
        at += part.size;
    }
    sizes_[name] = (at + align - 1) / align * align;
    return btf_.structure(name, sizes_[name], members);
}

std::vector<SyntheticTypes::Part> SyntheticTypes::shuffle(const std::vector<Part>& parts) {
    std::vector<std::vector<Part>> blocks;
    for (const Part& part : parts) {
        if (!part.glued) blocks.emplace_back();
        blocks.back().push_back(part);
    }
    for (std::size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[random_() % i]);
    std::vector<Part> result;
    for (const auto& block : blocks) result.insert(result.end(), block.begin(), block.end());
    return result;
}

SyntheticTypes::Part SyntheticTypes::glue(Part part) {
    part.glued = true;
    return part;
}

SyntheticTypes::Part SyntheticTypes::embed(std::string_view name, const std::string& structure,
                                           std::uint32_t id) const {
    return {name, id, size(structure), 8};
}

void SyntheticTypes::basics() {
    u32_ = btf_.integer("unsigned int", 4);
    s32_ = btf_.integer("int", 4, true);
    u64_ = btf_.integer("unsigned long", 8);
    s64_ = btf_.integer("long long", 8, true);
    char_ = btf_.integer("char", 1, true);
    u16_ = btf_.integer("unsigned short", 2);
    byte_ = btf_.integer("unsigned char", 1);
    pointer_ = btf_.pointer(0);
    list_ = define("list_head", {pointer("next"), pointer("prev")}, as_written);
    atomic_ = define("atomic_t", {s32("counter")}, as_written);
    kuid_ = define("kuid_t", {u32("val")}, as_written);
    upid_ = define("upid", {s32("nr"), pointer("ns")});
    define("elf64_sym",
           {u32("st_name"),
            {"st_info", byte_, 1, 1},
            {"st_other", byte_, 1, 1},
            {"st_shndx", u16_, 2, 2},
            word("st_value"),
            word("st_size")},
           as_written);
    const auto numbers = btf_.array(upid_, 0);
    std::vector<Part> pid = {u32("level"), word("count")};
    if (random_() % 2 != 0) std::swap(pid[0], pid[1]);
    pid.push_back({"numbers", numbers, 0, 8});
    define("pid", pid, as_written);
}

void SyntheticTypes::paths() {
    const auto hash_node = define("hlist_bl_node", {pointer("next"), pointer("pprev")}, as_written);
    // struct qstr: { union { struct { u32 hash, len; }; u64 hash_len; }; const char *name; }
    const auto inner = btf_.structure("", 8, {{"hash", u32_, 0, 0}, {"len", u32_, 32, 0}});
    const auto either = btf_.union_("", 8, {{"", inner, 0, 0}, {"hash_len", u64_, 0, 0}});
    sizes_["qstr"] = 16;
    const auto qstr = btf_.structure("qstr", 16, {{"", either, 0, 0}, {"name", pointer_, 64, 0}});
    offsets_["qstr.len"] = 4;
    offsets_["qstr.name"] = 8;
    path_ = define("path", {pointer("mnt"), pointer("dentry")});
    define("fs_struct", {embed("root", "path", path_), embed("pwd", "path", path_), s32("users")});
    define("file", {embed("f_path", "path", path_), word("f_inode"), u32("f_flags")});
    const auto vfsmount = define("vfsmount", {pointer("mnt_root"), pointer("mnt_sb"), s32("mnt_flags")});
    define("mount",
           {embed("mnt", "vfsmount", vfsmount), pointer("mnt_parent"), pointer("mnt_mountpoint"), s32("mnt_id")});
    define("dentry", {pointer("d_parent"), embed("d_name", "qstr", qstr), pointer("d_sb"), pointer("d_inode"),
                      pointer("d_fsdata"), embed("d_hash", "hlist_bl_node", hash_node)});
    define("inode", {word("i_ino"), u32("i_mode"), pointer("i_private")});
    define("ns_common", {pointer("ops"), u32("inum")});
    define("proc_ns_operations", {pointer("name")});
    define("dma_buf", {pointer("name")});
    define("super_block", {pointer("s_type"), word("s_magic")});
    define("file_system_type", {pointer("name"), s32("fs_flags")});
}

void SyntheticTypes::modules() {
    const auto state = btf_.enumeration("module_state", false,
                                        {{"MODULE_STATE_LIVE", 0},
                                         {"MODULE_STATE_COMING", 1},
                                         {"MODULE_STATE_GOING", 2},
                                         {"MODULE_STATE_UNFORMED", 3}});
    const auto name = btf_.array(char_, 56);
    std::vector<Part> module = {{"state", state, 4, 4}, embed("list", "list_head", list_),
                                {"name", name, 56, 1},  {"refcnt", atomic_, 4, 4},
                                pointer("kallsyms"),    embed("source_list", "list_head", list_),
                                word("taints"),         pointer("syms"),
                                u32("num_syms")};
    if (options_.module_memory) {
        btf_.enumeration("mod_mem_type", false,
                         {{"MOD_TEXT", 0},
                          {"MOD_DATA", 1},
                          {"MOD_RODATA", 2},
                          {"MOD_RO_AFTER_INIT", 3},
                          {"MOD_INIT_TEXT", 4},
                          {"MOD_INIT_DATA", 5},
                          {"MOD_INIT_RODATA", 6},
                          {"MOD_MEM_NUM_TYPES", 7},
                          {"MOD_INVALID", -1}});
        const auto memory = define("module_memory", {pointer("base"), u32("size")});
        module.push_back({"mem", btf_.array(memory, 7), 7 * size("module_memory"), 8});
    } else {
        const auto core = define("module_layout", {pointer("base"), u32("size"), u32("text_size")});
        module.push_back(embed("core_layout", "module_layout", core));
    }
    define("module", module);
    define("kernel_symbol", {s32("value_offset"), s32("name_offset"), s32("namespace_offset")});
    define("mod_kallsyms", {pointer("symtab"), u32("num_symtab"), pointer("strtab"), pointer("typetab")});
    define("module_use", {embed("source_list", "list_head", list_), embed("target_list", "list_head", list_),
                          pointer("source"), pointer("target")});
    define("btf_module", {embed("list", "list_head", list_), pointer("module"), pointer("btf")});
    define("btf", {pointer("data"), u32("data_size")});
}

void SyntheticTypes::process() {
    define("cred", {{"uid", kuid_, 4, 4},
                    {"gid", kuid_, 4, 4},
                    {"suid", kuid_, 4, 4},
                    {"sgid", kuid_, 4, 4},
                    {"euid", kuid_, 4, 4},
                    {"egid", kuid_, 4, 4}});
    std::vector<Part> memory = {pointer("pgd"),  word("arg_start"),   word("arg_end"),  word("env_start"),
                                word("env_end"), word("start_code"),  word("end_code"), word("end_data"),
                                word("brk"),     pointer("exe_file"), word("total_vm")};
    const auto counter = define("percpu_counter", {u32("lock"), {"count", s64_, 8, 8}, pointer("counters")});
    if (options_.percpu_rss) {
        memory.push_back({"rss_stat", btf_.array(counter, 4), 4 * size("percpu_counter"), 8});
    } else {
        const auto one = define("atomic_long_t", {{"counter", s64_, 8, 8}}, as_written);
        const auto all = define("mm_rss_stat", {{"count", btf_.array(one, 4), 32, 8}}, as_written);
        memory.push_back({"rss_stat", all, 32, 8});
    }
    define("mm_struct", memory);
    define("signal_struct",
           {embed("thread_head", "list_head", list_), s32("nr_threads"), {"pids", btf_.array(pointer_, 4), 32, 8}});
}

void SyntheticTypes::tasks() {
    std::vector<Part> task = {{options_.new_state_name ? "__state" : "state", u32_, 4, 4},
                              s32("exit_state"),
                              u32("flags"),
                              s32("static_prio"),
                              embed("tasks", "list_head", list_),
                              embed("children", "list_head", list_),
                              embed("sibling", "list_head", list_),
                              embed("thread_node", "list_head", list_),
                              s32("pid"),
                              s32("tgid"),
                              {"comm", btf_.array(char_, 16), 16, 1},
                              pointer("real_parent"),
                              pointer("group_leader"),
                              pointer("mm"),
                              pointer("active_mm"),
                              pointer("real_cred"),
                              pointer("cred"),
                              pointer("fs"),
                              pointer("files"),
                              pointer("nsproxy"),
                              pointer("signal"),
                              pointer("sighand"),
                              pointer("thread_pid"),
                              word("start_boottime"),
                              pointer("worker_private"),
                              pointer("stack")};
    if (options_.swapped_pairs) {
        std::erase_if(task, [](const Part& part) {
            return part.name == "pid" || part.name == "tgid" || part.name == "cred" || part.name == "real_cred";
        });
        for (const Part& part : {s32("tgid"), glue(s32("pid")), pointer("cred"), glue(pointer("real_cred"))})
            task.push_back(part);
    }
    if (options_.wide_tasks) task.push_back({"thread", btf_.array(char_, 6000), 6000, 1});
    define("task_struct", task);
}

void SyntheticTypes::threads_and_time() {
    define("kthread", {pointer("full_name"), pointer("data"), word("flags")});
    define("worker", {{"desc", btf_.array(char_, 32), 32, 1}, pointer("pool"), pointer("current_work")});
    const auto keeper = define("timekeeper", {{"offs_real", s64_, 8, 8}, {"offs_boot", s64_, 8, 8}, word("xtime_sec")});
    if (options_.tk_data) define("tk_data", {u32("seq"), embed("timekeeper", "timekeeper", keeper), u32("lock")});
}

void SyntheticTypes::pages() {
    const bool typed = options_.pages == "type";
    std::vector<BtfWriter::Value> flags{{"PG_locked", 0}, {"PG_head", 6}};
    if (!typed) flags.push_back({"PG_slab", 9});
    flags.insert(flags.end(), {{"__NR_PAGEFLAGS", 24}, {"PG_alias", 6}});
    btf_.enumeration("pageflags", false, flags);
    if (typed) btf_.enumeration("pagetype", false, {{"PGTY_buddy", 240}, {"PGTY_slab", 245}});
    const auto word = btf_.structure("memdesc", 8, {{"f", u64_, 0, 0}});
    const auto cache = btf_.pointer(
        define("kmem_cache",
               {u32("size"), u32("object_size"), u32("oo"), u32("red_left_pad"), {"name", btf_.pointer(char_), 8, 8}}));
    const std::vector<BtfWriter::Member> slab{
        {"slab_cache", cache, 24 * 8, 0}, {"objects", u32_, 40 * 8 + 16, 15}, {"frozen", u32_, 40 * 8 + 31, 1}};
    std::vector<BtfWriter::Member> page{{"flags", typed ? word : u64_, 0, 0},
                                        {typed ? "compound_info" : "compound_head", u64_, 8 * 8, 0},
                                        {"page_type", u32_, 48 * 8, 0}};
    if (typed) btf_.structure("slab", 64, slab);
    else page.insert(page.end(), slab.begin(), slab.end());
    btf_.structure("page", 64, page);
}

}  // namespace vitrine::test
