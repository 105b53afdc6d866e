// Structures of a made-up kernel: the members that a real one has, in an order and with gaps that a seed chooses, so that no test can pass
// with an offset that is written down somewhere. Gives the offsets, and the BTF that tells them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/btf_writer.h"

namespace vitrine::test {

// Which of the alternatives that kernels have had.
struct TypeOptions {
    std::uint32_t seed = 1;
    bool module_memory = true;   // module.mem[], else core_layout (before 6.4)
    bool new_state_name = true;  // task_struct.__state, else state (before 5.14)
    bool percpu_rss = true;      // rss_stat is an array of percpu_counter (6.2 and later)
    bool tk_data = true;         // struct tk_data has a name (6.13 and later)
    bool wide_tasks = false;     // a large member in task_struct, so that its parts lie pages apart
    bool swapped_pairs = false;  // tgid right before pid, cred right before real_cred, as a shuffle may leave them
    std::string
        pages;  // struct page and slabs: "flag" (before 5.17), "type" (7.0 and later); "": this kernel tells none
    std::string leave_out;  // "task_struct.tasks": a member that this kernel's types do not tell
};

class SyntheticTypes {
public:
    explicit SyntheticTypes(TypeOptions options);
    ~SyntheticTypes();

    // "task_struct.tasks"
    [[nodiscard]] std::uint32_t offset(const std::string& member) const;
    [[nodiscard]] std::uint32_t size(const std::string& structure) const;
    [[nodiscard]] std::vector<std::byte> btf() const { return btf_.blob(); }
    [[nodiscard]] const TypeOptions& options() const { return options_; }

private:
    struct Part {
        std::string_view name;
        std::uint32_t type = 0;
        std::uint32_t size = 0;
        std::uint32_t align = 8;
        bool glued = false;  // stays right behind the part before it
    };
    enum Order { shuffled, as_written };

    std::uint32_t define(const std::string& name, std::vector<Part> parts, Order order = shuffled);
    std::vector<Part> shuffle(const std::vector<Part>& parts);
    static Part glue(Part part);
    Part embed(std::string_view name, const std::string& structure, std::uint32_t id) const;
    Part pointer(std::string_view name) const { return {name, pointer_, 8, 8}; }
    Part word(std::string_view name) const { return {name, u64_, 8, 8}; }
    Part u32(std::string_view name) const { return {name, u32_, 4, 4}; }
    Part s32(std::string_view name) const { return {name, s32_, 4, 4}; }

    void basics();
    void paths();
    void modules();
    void process();
    void tasks();
    void threads_and_time();
    // 64 bytes a page, with what is needed of them to find the slab of an object.
    void pages();

    TypeOptions options_;
    std::mt19937 random_;
    BtfWriter btf_;
    std::map<std::string, std::uint32_t> offsets_;
    std::map<std::string, std::uint32_t> sizes_;
    std::uint32_t u32_ = 0, s32_ = 0, u64_ = 0, s64_ = 0, char_ = 0, u16_ = 0, byte_ = 0, pointer_ = 0, list_ = 0,
                  atomic_ = 0, kuid_ = 0, upid_ = 0, path_ = 0;
};

}  // namespace vitrine::test
