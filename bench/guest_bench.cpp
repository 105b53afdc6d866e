// Reading a guest, in process and warm: run with targets as arguments after "--", e.g.
//   guest_bench --benchmark_filter=. -- mapped=qemu:bench-mapped anonymous=qemu:bench-anon image=k61.raw
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "vitrine/guest/linux_guest.h"
#include "vitrine/query/database.h"
#include "vitrine/query/table.h"

namespace {

using namespace vitrine;

struct CountRows final : RowSink {
    std::size_t rows = 0;
    bool row(std::span<const Value>) override { return ++rows != 0; }
    void diagnostic(Diagnostic) override {}
};

std::unique_ptr<Guest> open_guest(const std::string& target) {
    auto parsed = parse_target(target);
    if (!parsed) return nullptr;
    auto machine = open_machine(*parsed, {});
    if (!machine) {
        fmt::print(stderr, "{}\n", machine.error().to_string());
        return nullptr;
    }
    AttachOptions options;
    options.use_cache = false;
    auto guest = Guest::attach(std::move(*machine), options);
    if (!guest) {
        fmt::print(stderr, "{}\n", guest.error().to_string());
        return nullptr;
    }
    return std::move(*guest);
}

void task_walk(benchmark::State& state, LinuxGuest* guest) {
    std::size_t tasks = 0;
    for (auto _ : state) {
        const TaskSnapshot snapshot = guest->processes();
        tasks = snapshot.tasks.size();
        benchmark::DoNotOptimize(snapshot.tasks.data());
    }
    state.counters["tasks"] = static_cast<double>(tasks);
    state.counters["per_task"] = benchmark::Counter(
        static_cast<double>(tasks), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void whole_table(benchmark::State& state, LinuxGuest* guest, std::string_view name) {
    const Table* table = find_table(name);
    CountRows sink;
    for (auto _ : state) {
        QueryContext context;
        sink.rows = 0;
        if (!run_table(*table, *guest, context, sink)) state.SkipWithError("table failed");
    }
    state.counters["rows"] = static_cast<double>(sink.rows);
}

struct CountAnswers final : ResultSink {
    std::size_t rows = 0;
    void columns(std::span<const ResultColumn>) override {}
    bool row(std::span<const Value>) override { return ++rows != 0; }
};

void ask(benchmark::State& state, Guest* guest, const std::string& sql) {
    auto database = Database::open({{"guest", *guest}});
    if (!database) return state.SkipWithError("no database");
    CountAnswers sink;
    for (auto _ : state) {
        sink.rows = 0;
        if (!(*database)->query(sql, {}, sink)) state.SkipWithError("query failed");
    }
    state.counters["rows"] = static_cast<double>(sink.rows);
}

// Every table, one after the other; those of symbols and types take most of it.
void all_tables_of_state(benchmark::State& state, Guest* guest) {
    auto database = Database::open({{"guest", *guest}});
    if (!database) return state.SkipWithError("no database");
    for (auto _ : state) {
        for (const Table* table : all_tables()) {
            CountAnswers sink;
            if (!(*database)->query(fmt::format("SELECT * FROM {}", table->spec.name), {}, sink))
                state.SkipWithError("query failed");
        }
    }
}

void read_same_page(benchmark::State& state, LinuxGuest* guest) {
    const Gva at = guest->kernel().text_va;
    std::uint64_t sum = 0;
    std::uint64_t i = 0;
    for (auto _ : state) {
        const auto value = guest->space().read_value<std::uint64_t>(at.wrap_plus((i++ * 8) & 0xff8));
        sum += value ? *value : 0;
    }
    benchmark::DoNotOptimize(sum);
}

// Independent 8-byte reads on random pages of the kernel image (mapped by 2 MiB and 4 KiB pages), translation included.
void read_random_page(benchmark::State& state, LinuxGuest* guest) {
    std::mt19937_64 random(1);
    std::vector<Gva> places(1u << 16);
    for (Gva& place : places) place = guest->kernel().text_va.wrap_plus(random() % (24u << 20) & ~std::uint64_t{7});
    std::uint64_t sum = 0;
    std::size_t i = 0;
    for (auto _ : state) {
        const auto value = guest->space().read_value<std::uint64_t>(places[i++ & (places.size() - 1)]);
        sum += value ? *value : 0;
    }
    benchmark::DoNotOptimize(sum);
}

// The same addresses in a private copy: what the memory itself costs.
void bare_random_page(benchmark::State& state, LinuxGuest* guest) {
    std::vector<std::byte> copy(24u << 20);
    if (!guest->machine().memory().read(guest->kernel().text_pa, copy)) return;
    std::mt19937_64 random(1);
    std::vector<std::size_t> places(1u << 16);
    for (std::size_t& place : places) place = random() % copy.size() & ~std::size_t{7};
    std::uint64_t sum = 0;
    std::size_t i = 0;
    for (auto _ : state) {
        std::uint64_t value = 0;
        std::memcpy(&value, copy.data() + places[i++ & (places.size() - 1)], sizeof value);
        sum += value;
        benchmark::DoNotOptimize(sum);
    }
}

void bulk_read(benchmark::State& state, LinuxGuest* guest) {
    std::vector<std::byte> out(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) {
        if (!guest->machine().memory().read(guest->kernel().text_pa, out)) state.SkipWithError("read failed");
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void bare_memcpy(benchmark::State& state) {
    std::vector<std::byte> from(static_cast<std::size_t>(state.range(0)), std::byte{1});
    std::vector<std::byte> out(from.size());
    for (auto _ : state) {
        std::memcpy(out.data(), from.data(), out.size());
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void add_benchmarks(const std::string& name, LinuxGuest* guest) {
    const auto add = [&](const char* what, auto function) {
        return benchmark::RegisterBenchmark(fmt::format("{}/{}", what, name).c_str(), function);
    };
    add("task_walk", [guest](benchmark::State& s) { task_walk(s, guest); })->Unit(benchmark::kMicrosecond);
    add("processes_table", [guest](benchmark::State& s) {
        whole_table(s, guest, "processes");
    })->Unit(benchmark::kMicrosecond);
    add("modules_table", [guest](benchmark::State& s) {
        whole_table(s, guest, "kernel_modules");
    })->Unit(benchmark::kMicrosecond);
    for (const Table* table : all_tables()) {
        const std::string_view of = table->spec.name;
        add(fmt::format("table_{}", of).c_str(), [guest, of](benchmark::State& s) {
            whole_table(s, guest, of);
        })->Unit(benchmark::kMicrosecond);
        add(fmt::format("sql_{}", of).c_str(), [guest, of](benchmark::State& s) {
            ask(s, guest, fmt::format("SELECT * FROM {}", of));
        })->Unit(benchmark::kMicrosecond);
    }
    add("sql_one_process", [guest](benchmark::State& s) {
        ask(s, guest, "SELECT name FROM processes WHERE pid = 1");
    })->Unit(benchmark::kMicrosecond);
    add("sql_constant", [guest](benchmark::State& s) { ask(s, guest, "SELECT 1"); })->Unit(benchmark::kMicrosecond);
    add("sql_all_tables", [guest](benchmark::State& s) {
        all_tables_of_state(s, guest);
    })->Unit(benchmark::kMillisecond);
    add("read8_same_page", [guest](benchmark::State& s) { read_same_page(s, guest); });
    add("read8_random_page", [guest](benchmark::State& s) { read_random_page(s, guest); });
    add("read8_random_page_bare", [guest](benchmark::State& s) { bare_random_page(s, guest); });
    add("bulk_read", [guest](benchmark::State& s) { bulk_read(s, guest); })->Arg(1 << 20)->Arg(4 << 20);
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    std::vector<std::unique_ptr<Guest>> guests;
    for (int i = 1; i < argc; ++i) {
        const std::string text = argv[i];
        const std::size_t equals = text.find('=');
        if (text == "--" || equals == std::string::npos) continue;
        auto guest = open_guest(text.substr(equals + 1));
        if (!guest) return 1;
        add_benchmarks(text.substr(0, equals), guest->as_linux());
        guests.push_back(std::move(guest));
    }
    benchmark::RegisterBenchmark("bulk_memcpy/bare", bare_memcpy)->Arg(1 << 20)->Arg(4 << 20);
    if (guests.empty()) fmt::print(stderr, "no targets given: NAME=TARGET ...\n");
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
