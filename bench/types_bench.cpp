// BTF of the kernel that runs the benchmark: parsing with the name index, and lookups.
#include <benchmark/benchmark.h>

#include <fstream>
#include <iterator>
#include <string>

#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

std::string kernel_btf() {
    std::ifstream file("/sys/kernel/btf/vmlinux", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

void parse_kernel_btf(benchmark::State& state) {
    const std::string blob = kernel_btf();
    std::size_t types = 0;
    for (auto _ : state) {
        const auto catalog = parse_btf(bytes_of(blob), "bench");
        if (!catalog) {
            state.SkipWithError("no BTF in this machine's kernel");
            return;
        }
        types = (*catalog)->size();
    }
    state.counters["types"] = static_cast<double>(types);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(blob.size()));
}
BENCHMARK(parse_kernel_btf)->Unit(benchmark::kMillisecond);

void find_type(benchmark::State& state) {
    const auto catalog = parse_btf(bytes_of(kernel_btf()), "bench");
    if (!catalog) {
        state.SkipWithError("no BTF in this machine's kernel");
        return;
    }
    for (auto _ : state) benchmark::DoNotOptimize((*catalog)->find("task_struct"));
}
BENCHMARK(find_type);

// Deep in the largest structure.
void find_field(benchmark::State& state) {
    const auto catalog = parse_btf(bytes_of(kernel_btf()), "bench");
    if (!catalog) {
        state.SkipWithError("no BTF in this machine's kernel");
        return;
    }
    const TypeId task = (*catalog)->find("task_struct").value_or(0);
    for (auto _ : state) benchmark::DoNotOptimize((*catalog)->field(task, "signal"));
}
BENCHMARK(find_field);

void print_definition(benchmark::State& state) {
    const auto catalog = parse_btf(bytes_of(kernel_btf()), "bench");
    if (!catalog) {
        state.SkipWithError("no BTF in this machine's kernel");
        return;
    }
    const TypeId task = (*catalog)->find("task_struct").value_or(0);
    for (auto _ : state) benchmark::DoNotOptimize((*catalog)->definition(task));
}
BENCHMARK(print_definition)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vitrine
