// What a made-up guest's kernel tells of itself: symbol table, types, notes, and what it knows of its machine.
#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "support/kallsyms_encoder.h"
#include "support/synthetic_guest.h"

namespace vitrine::test {

void SyntheticGuest::make_read_only_data() {
    put_string(symbol("linux_banner"), banner());
    if (d.btf != "none") {
        const auto blob = types.btf();
        btf = rodata().wrap_plus(0x10'017c);  // not aligned in any real kernel either
        btf_size = blob.size();
        ram.write(physical(btf), blob);
        if (d.btf != "unnamed") {
            name("__start_BTF", btf);
            name("__stop_BTF", btf.wrap_plus(btf_size));
        }
    }
    const Gva notes = rodata().wrap_plus(0x1f'0000);
    std::vector<std::uint32_t> note = {4, 20, 3, 0x0055'4e47};  // "GNU"
    for (int i = 0; i < 5; ++i) note.push_back(d.build * 0x0101'0101u);
    ram.write(physical(notes), std::as_bytes(std::span(note)));
    name("__start_notes", notes);
    name("__stop_notes", notes.wrap_plus(note.size() * 4));
    make_symbol_table(rodata().wrap_plus(0x1'0000));
}

void SyntheticGuest::make_symbol_table(Gva at) {
    EncodeOptions options;
    const bool before = d.kallsyms == "A" || d.kallsyms == "D";
    if (d.kallsyms == "A") options.addressing = KallsymsAddressing::base_relative_before;
    else if (d.kallsyms == "B") options.addressing = KallsymsAddressing::base_relative_after;
    else if (d.kallsyms == "C") options.addressing = KallsymsAddressing::place_relative;
    else if (d.kallsyms == "D" || d.kallsyms == "D-after") options.addressing = KallsymsAddressing::absolute;
    else throw std::logic_error("no kallsyms layout " + d.kallsyms);
    options.addresses_after = !before;
    options.absolute_percpu = d.absolute_percpu;
    options.marker_size = static_cast<std::uint8_t>(d.markers);
    options.seqs_entry_size = d.seqs;
    options.alignment = d.kallsyms == "C" ? 4 : 8;
    options.uleb = d.uleb;
    options.region_va = at;
    std::vector<EncodedSymbol> all;
    for (EncodedSymbol& filler : kernel_like_symbols(1200, d.absolute_percpu ? 60 : 0, 100, text.value)) {
        if (!symbols_.contains(filler.name)) all.push_back(std::move(filler));
    }
    for (const auto& [symbol_name, where] : symbols_)
        all.push_back({where.value, where < rodata() ? 'T' : 'D', symbol_name});
    std::stable_sort(all.begin(), all.end(),
                     [](const EncodedSymbol& a, const EncodedSymbol& b) { return a.address < b.address; });
    const Encoded encoded = encode_kallsyms(all, options);
    ram.write(physical(at), encoded.region);
    kallsyms_region = at;
    kallsyms_layout = encoded.layout;
    kallsyms_size = encoded.region.size();
    symbol_count = all.size();
}

void SyntheticGuest::make_machine_facts() {
    if (d.phys_base_symbol) put(symbol("phys_base"), phys_base());
    put(symbol("page_offset_base"), direct_);
    put(symbol("nr_cpu_ids"), std::uint64_t{1});
    std::uint64_t end = 0;
    for (const MemoryRange& range : d.ram) end = range.start.value + range.size;
    put(symbol("max_pfn"), end / kPageSize);
    e820 = alloc(4 + 20 * d.ram.size(), 8);
    put(e820, static_cast<std::uint32_t>(d.ram.size()));
    Gva entry = e820.wrap_plus(4);
    for (const MemoryRange& range : d.ram) {
        put(entry, range.start.value);
        put(entry.wrap_plus(8), range.size);
        put(entry.wrap_plus(16), std::uint32_t{1});
        entry = entry.wrap_plus(20);
    }
    put(symbol("e820_table"), e820);
    if (d.boot_clock) {
        const Gva keeper = symbol("tk_core").wrap_plus(d.types.tk_data ? types.offset("tk_data.timekeeper") : 8);
        set(keeper, "timekeeper.offs_real", static_cast<std::uint64_t>(d.booted + 5'000'000'000));
        set(keeper, "timekeeper.offs_boot", 5'000'000'000ull);
    }
    for (unsigned node = 0; node < d.nodes; ++node) {
        const Gva pgdat = node_data(node);
        put(symbol("node_data").wrap_plus(node * 8), pgdat);
        put(pgdat.wrap_plus(96), pgdat);             // node_zones[0].zone_pgdat
        put(pgdat.wrap_plus(0x2000), node_data(0));  // of node_zonelists
    }
    set(symbol("init_mm"), "mm_struct.pgd", symbol("init_top_pgt"));
    if (!d.vmcoreinfo) return;
    const Gva page = alloc(kPageSize, kPageSize);
    vmcoreinfo_page = physical(page);
    put_string(page, fmt::format("OSRELEASE={}\nBUILD-ID={}\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)={:x}\nSYMBOL(_stext)"
                                 "={:x}\nNUMBER(phys_base)={}\n"
                                 "NUMBER(pgtable_l5_enabled)={}\nKERNELOFFSET={:x}\n",
                                 d.release, build_id(), symbol("init_top_pgt").value, text.value,
                                 static_cast<std::int64_t>(phys_base()), d.levels == 5 ? 1 : 0, d.slide));
}

}  // namespace vitrine::test
