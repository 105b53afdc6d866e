// The list of all processes and the names in it. init_task (init/init_task.c) is the list's head and is called "swapper";
// whichever circle leads through structures that have a name at the same place, with kthreadd among them, is the one.
#include <fmt/format.h>

#include <unordered_set>

#include "os/linux/recover/recovery.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint32_t kTaskSpan =
    8192;                                // every wanted member lies in a task_struct's first 4 KiB on all known kernels
constexpr std::uint32_t kCommSize = 16;  // TASK_COMM_LEN
constexpr std::size_t kMaxTasks = 1u << 16;
constexpr std::size_t kMaxNodes = 1u << 18;  // looked at for all candidates together
constexpr std::size_t kMaxNames = 8;         // a real init_task has one
constexpr std::size_t kMaxImages = 4096;     // tasks that the rules are tried on: 32 MiB

struct TaskCircle {
    std::uint32_t link = 0;
    std::uint32_t comm = 0;
    std::vector<Gva> tasks;
};

// Other variables may follow init_task closely: what lies past the next known one is not init_task's.
std::uint32_t own_span(const Recovery& r, Gva init_task) {
    std::uint64_t span = kTaskSpan;
    for (std::size_t id = 0; id < kSymbolCount; ++id) {
        const auto other = r.symbols.get(static_cast<SymbolId>(id));
        if (other && *other > init_task) span = std::min(span, other->value - init_task.value);
    }
    return static_cast<std::uint32_t>(span) & ~7u;
}

std::vector<std::uint32_t> names_in(const std::vector<std::byte>& task) {
    std::vector<std::uint32_t> found;
    const std::string_view text(reinterpret_cast<const char*>(task.data()), task.size());
    for (const std::string_view name : {std::string_view("swapper\0", 8), std::string_view("swapper/0\0", 10)}) {
        for (std::size_t at = 0; (at = text.find(name, at)) != std::string_view::npos; ++at) {
            if (at + kCommSize <= text.size()) found.push_back(static_cast<std::uint32_t>(at));
        }
    }
    return found;
}

// Follows one list through structures with a name; nullopt when it leads anywhere else.
std::optional<TaskCircle> follow(const Recovery& r, Gva init_task, std::uint32_t link, std::uint32_t comm,
                                 std::size_t& nodes_left) {
    const Gva head = init_task.wrap_plus(link);
    TaskCircle circle{link, comm, {init_task}};
    bool has_kthreadd = false;
    std::unordered_set<std::uint64_t> seen;
    std::array<std::byte, 16> links;
    std::array<char, kCommSize> name;
    Gva previous = head;
    if (!r.space.read(head, links)) return std::nullopt;
    const Gva last{load<std::uint64_t>(links.data() + 8)};
    for (Gva at{load<std::uint64_t>(links.data())}; at != head;) {
        const Gva task = at.wrap_minus(link);
        if (!seen.insert(at.value).second || seen.size() > kMaxTasks || nodes_left == 0) return std::nullopt;
        --nodes_left;
        if (!r.is_kernel_pointer(at.value) || !r.space.read(at, links)) return std::nullopt;
        if (Gva{load<std::uint64_t>(links.data() + 8)} != previous) return std::nullopt;
        if (!r.space.read(task.wrap_plus(comm), std::as_writable_bytes(std::span(name))) || name.back() != '\0')
            return std::nullopt;
        has_kthreadd = has_kthreadd || std::string_view(name.data()) == "kthreadd";
        circle.tasks.push_back(task);
        previous = at;
        at = Gva{load<std::uint64_t>(links.data())};
    }
    if (!has_kthreadd || previous != last) return std::nullopt;
    return circle;
}

// Tasks come from one slab cache: none is larger than the least distance between two. Without this bound rules would find
// the members of the neighbour, too.
std::uint32_t least_distance(std::vector<Gva> tasks, std::uint32_t span) {
    std::sort(tasks.begin(), tasks.end());
    for (std::size_t i = 1; i < tasks.size(); ++i) {
        span = static_cast<std::uint32_t>(std::min<std::uint64_t>(span, tasks[i].value - tasks[i - 1].value));
    }
    return span & ~7u;
}

}  // namespace

bool recover_task_list(Recovery& r) {
    const auto init_task = r.symbol(SymbolId::init_task);
    if (!init_task) return false;
    std::vector<std::byte> bytes(own_span(r, *init_task));
    if (!r.space.read(*init_task, bytes)) return false;
    std::vector<TaskCircle> circles;
    const std::vector<std::uint32_t> names = names_in(bytes);
    if (names.size() > kMaxNames) return false;
    std::size_t nodes_left = kMaxNodes;
    for (const std::uint32_t comm : names) {
        for (std::uint32_t link = 0; link + 16 <= bytes.size(); link += 8) {
            if (!r.is_kernel_pointer(load<std::uint64_t>(bytes.data() + link))) continue;
            if (auto circle = follow(r, *init_task, link, comm, nodes_left)) circles.push_back(std::move(*circle));
        }
    }
    if (circles.size() != 1 || nodes_left == 0) return false;
    TaskCircle& circle = circles.front();
    r.found(FieldId::task_tasks, circle.link, 16,
            fmt::format("the one circle from init_task through {} structures that are named, kthreadd among them",
                        circle.tasks.size() - 1));
    r.found(FieldId::task_comm, circle.comm, kCommSize,
            "holds \"swapper\" in init_task, a terminated name in every task");
    const std::uint32_t span = least_distance(circle.tasks, static_cast<std::uint32_t>(bytes.size()));
    if (span < circle.link + 16 || span < circle.comm + kCommSize) return false;
    if (circle.tasks.size() > kMaxImages) circle.tasks.resize(kMaxImages);
    r.tasks = Images(r.space, circle.tasks, span);
    return r.tasks.count() >= 3 && r.tasks.address(0) == *init_task;
}

}  // namespace vitrine::linux_os
