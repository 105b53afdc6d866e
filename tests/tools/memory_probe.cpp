// Opens a target and prints, as one JSON object a line, what a test wants to compare: the layouts, bytes at addresses, what
// is populated, how long a whole pass takes. Between two passes it can wait for a line on stdin.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "vitrine/machine/machine.h"

namespace {

using namespace vitrine;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Wanted {
    std::string target;
    bool list = false, no_qmp = false, read_all = false, read_populated = false, populated = false, wait = false;
    std::optional<std::size_t> layout;
    std::size_t bench = 0;
    std::vector<std::string> reads;
    unsigned timeout = 500;
};

json error_json(const Error& error) {
    return {{"error", {{"code", to_string(error.code)}, {"text", error.to_string()}, {"hint", error.hint()}}}};
}

json layouts_json(Machine& machine) {
    json all = json::array();
    for (const MemoryLayout& layout : machine.layouts()) {
        json extents = json::array();
        for (const LayoutExtent& e : layout.extents) extents.push_back({e.start.value, e.size, e.offset});
        all.push_back({{"name", layout.name}, {"certain", layout.certain}, {"extents", extents}});
    }
    return all;
}

json info_json(Machine& machine) {
    const MachineInfo& i = machine.info();
    return {{"kind", i.kind},
            {"name", i.name},
            {"pid", i.pid.value_or(-1)},
            {"version", i.version},
            {"accelerator", i.accelerator},
            {"machine_type", i.machine_type},
            {"backend", i.backend},
            {"qmp_socket", i.qmp_socket},
            {"notes", i.notes},
            {"live", machine.is_live()},
            {"method", to_string(machine.memory().method())},
            {"has_registers", machine.registers() != nullptr},
            {"has_pause", machine.pause_control() != nullptr}};
}

std::string to_hex(const std::vector<std::byte>& bytes) {
    std::string text;
    for (const std::byte b : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(b));
    return text;
}

json read_json(GuestMemory& memory, const std::vector<std::string>& reads) {
    json out = json::object();
    for (const std::string& text : reads) {
        const std::size_t colon = text.find(':');
        std::vector<std::byte> bytes(std::stoull(text.substr(colon + 1), nullptr, 0));
        const auto ok = memory.read(Gpa{std::stoull(text.substr(0, colon), nullptr, 0)}, bytes);
        out[text] = ok ? json(to_hex(bytes)) : json(error_json(ok.error()));
    }
    return out;
}

// Reads ranges in pieces of 1 MiB. Counts bytes that are not zero, and bytes that could not be read.
json pass_json(GuestMemory& memory, const std::vector<MemoryRange>& ranges) {
    std::vector<std::byte> piece(1u << 20);
    std::uint64_t total = 0, failed = 0, set = 0;
    const auto begin = Clock::now();
    for (const MemoryRange& r : ranges) {
        for (std::uint64_t done = 0; done < r.size;) {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), r.size - done));
            const std::span<std::byte> out(piece.data(), size);
            const auto ok = memory.read(r.start.wrap_plus(done), out);
            if (!ok) failed += size;
            else
                for (std::size_t i = 0; i < size; i += 64) set += out[i] != std::byte{0} ? 1u : 0u;
            total += size;
            done += size;
        }
    }
    const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
    return {{"bytes", total}, {"failed", failed}, {"nonzero_samples", set}, {"ms", took.count()}};
}

json populated_json(GuestMemory& memory) {
    json out = json::array();
    const auto begin = Clock::now();
    std::uint64_t bytes = 0;
    std::vector<MemoryRange> found;
    for (const MemoryRange& range : memory.ranges()) {
        for (const MemoryRange& r : memory.populated(range)) found.push_back(r);
    }
    const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
    for (const MemoryRange& r : found) {
        bytes += r.size;
        if (out.size() < 4096) out.push_back({r.start.value, r.size});
    }
    return {{"ranges", out}, {"count", found.size()}, {"bytes", bytes}, {"ms", took.count()}};
}

json bench_json(GuestMemory& memory, std::size_t count) {
    const MemoryRange range = memory.ranges().back();
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> values(count);
    std::vector<ReadOp> ops;
    for (std::size_t i = 0; i < count; ++i) {
        ops.push_back(
            {range.start.wrap_plus(random() % (range.size - 8)), std::as_writable_bytes(std::span(&values[i], 1))});
    }
    const auto per_read = [&](auto begin) {
        return std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / static_cast<double>(count);
    };
    const auto first = Clock::now();
    (void)memory.read(ops);
    const double cold = per_read(first);
    const auto again = Clock::now();
    (void)memory.read(ops);
    const double batched = per_read(again);
    const auto singly = Clock::now();
    for (ReadOp& op : ops) (void)memory.read(op.address, op.out);
    return {{"batched_first_us", cold}, {"batched_us", batched}, {"single_us", per_read(singly)}};
}

json one_pass(Machine& machine, const Wanted& wanted) {
    GuestMemory& memory = machine.memory();
    json out;
    out["reads"] = read_json(memory, wanted.reads);
    if (wanted.populated) out["populated"] = populated_json(memory);
    if (wanted.read_populated) {
        std::vector<MemoryRange> ranges;
        for (const MemoryRange& range : memory.ranges()) {
            for (const MemoryRange& r : memory.populated(range)) ranges.push_back(r);
        }
        out["read_populated"] = pass_json(memory, ranges);
    }
    if (wanted.read_all) out["read_all"] = pass_json(memory, {memory.ranges().begin(), memory.ranges().end()});
    if (wanted.bench != 0) out["bench"] = bench_json(memory, wanted.bench);
    return out;
}

void print(const json& value) { std::cout << value.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl; }

int list() {
    const auto begin = Clock::now();
    const auto machines = list_machines();
    if (!machines) return print(error_json(machines.error())), 1;
    json all = json::array();
    for (const MachineListing& m : *machines) {
        all.push_back({{"target", m.target},
                       {"name", m.name},
                       {"pid", m.pid.value_or(-1)},
                       {"kind", m.kind},
                       {"accelerator", m.accelerator},
                       {"memory_bytes", m.memory_bytes},
                       {"vcpus", m.vcpus},
                       {"backend", m.backend},
                       {"qmp_socket", m.qmp_socket},
                       {"state", m.state},
                       {"hint", m.hint}});
    }
    print({{"machines", all}, {"ms", std::chrono::duration<double, std::milli>(Clock::now() - begin).count()}});
    return 0;
}

int probe(const Wanted& wanted) {
    const auto target = parse_target(wanted.target);
    if (!target) return print(error_json(target.error())), 2;
    OpenOptions options;
    options.use_qmp = !wanted.no_qmp;
    options.qmp_timeout = std::chrono::milliseconds(wanted.timeout);
    const auto begin = Clock::now();
    auto machine = open_machine(*target, options);
    const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
    if (!machine) return print(error_json(machine.error())), 1;
    if (wanted.layout) {
        if (*wanted.layout >= (*machine)->layouts().size()) return print({{"error", "no such layout"}}), 2;
        (*machine)->memory().set_layout((*machine)->layouts()[*wanted.layout]);
    }
    json out = one_pass(**machine, wanted);
    out["info"] = info_json(**machine);
    out["layouts"] = layouts_json(**machine);
    out["open_ms"] = took.count();
    print(out);
    std::string line;
    while (wanted.wait && std::getline(std::cin, line)) {
        (*machine)->memory().new_generation();
        json again = one_pass(**machine, wanted);
        const auto alive = (*machine)->check_alive();
        again["alive"] = alive ? json(true) : error_json(alive.error());
        print(again);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Wanted wanted;
    CLI::App app{"memory_probe"};
    app.add_option("target", wanted.target);
    app.add_flag("--list", wanted.list, "list the machines of this host");
    app.add_flag("--no-qmp", wanted.no_qmp);
    app.add_option("--timeout", wanted.timeout, "QMP time-out in ms");
    app.add_option("--layout", wanted.layout, "use this candidate");
    app.add_option("--read", wanted.reads, "GPA:LENGTH");
    app.add_flag("--read-all", wanted.read_all);
    app.add_flag("--read-populated", wanted.read_populated);
    app.add_flag("--populated", wanted.populated);
    app.add_option("--bench", wanted.bench, "so many random reads of 8 bytes in the last range");
    app.add_flag("--wait", wanted.wait, "repeat for each line on stdin");
    CLI11_PARSE(app, argc, argv);
    return wanted.list ? list() : probe(wanted);
}
