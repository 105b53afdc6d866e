// Finding and decoding kallsyms of the size distribution kernels have: 200,000 symbols among 10 MiB of read-only data.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "support/kallsyms_encoder.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {
namespace {

struct Kernel {
    std::vector<test::EncodedSymbol> symbols;
    test::EncodeOptions options;
    test::Encoded encoded;
    KallsymsLayout layout;
    std::vector<std::string_view> names;
};

// 0: as 5.10, without an index of names; 1: as 6.12; 2: as 7.x.
Kernel make_kernel(int kind) {
    using enum KallsymsAddressing;
    Kernel kernel;
    kernel.options = kind == 0 ? test::EncodeOptions{.addressing = base_relative_before, .uleb = false}
                     : kind == 1
                         ? test::EncodeOptions{.addressing = base_relative_after, .seqs_entry_size = 3}
                         : test::EncodeOptions{.addressing = place_relative, .seqs_entry_size = 3, .alignment = 4};
    kernel.options.noise_before = 4u << 20;
    kernel.options.region_va = Gva{0xffffffff81800000};
    kernel.symbols = test::kernel_like_symbols(200'000, 0, 100);
    kernel.encoded = test::encode_kallsyms(kernel.symbols, kernel.options);
    kernel.encoded.region.resize(10u << 20, std::byte{0x55});
    kernel.layout = find_kallsyms(kernel.encoded.region, kernel.options.region_va).value().front();
    // Variables and functions one asks for by name have no compiler suffix.
    for (std::size_t i = 0; kernel.names.size() < 60; i += 3313) {
        const std::string_view name = kernel.symbols[i % kernel.symbols.size()].name;
        if (name.find('.') == std::string_view::npos) kernel.names.push_back(name);
    }
    return kernel;
}

const Kernel& kernel_of(benchmark::State& state) {
    static const Kernel kernels[] = {make_kernel(0), make_kernel(1), make_kernel(2)};
    return kernels[state.range(0)];
}

void find(benchmark::State& state) {
    const Kernel& kernel = kernel_of(state);
    for (auto _ : state) benchmark::DoNotOptimize(find_kallsyms(kernel.encoded.region, kernel.options.region_va));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kernel.encoded.region.size()));
}

void decode(benchmark::State& state) {
    const Kernel& kernel = kernel_of(state);
    for (auto _ : state) {
        benchmark::DoNotOptimize(decode_kallsyms(kernel.encoded.region, kernel.options.region_va, kernel.layout));
    }
    state.SetItemsProcessed(state.iterations() * kernel.layout.num_syms);
}

void look_up_60_names(benchmark::State& state) {
    const Kernel& kernel = kernel_of(state);
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            lookup_kallsyms(kernel.encoded.region, kernel.options.region_va, kernel.layout, kernel.names));
    }
}

void build_table(benchmark::State& state) {
    const Kernel& kernel = kernel_of(state);
    for (auto _ : state) {
        SymbolTableBuilder builder;
        for (const auto& symbol : kernel.symbols) builder.add(Gva{symbol.address}, symbol.name, symbol.type);
        benchmark::DoNotOptimize(builder.build());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kernel.symbols.size()));
}

BENCHMARK(find)->DenseRange(0, 2)->Unit(benchmark::kMillisecond);
BENCHMARK(decode)->DenseRange(0, 2)->Unit(benchmark::kMillisecond);
BENCHMARK(look_up_60_names)->DenseRange(0, 2)->Unit(benchmark::kMicrosecond);
BENCHMARK(build_table)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vitrine
