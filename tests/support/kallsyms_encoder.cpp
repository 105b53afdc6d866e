#include "support/kallsyms_encoder.h"

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <utility>

namespace vitrine::test {
namespace {

// Byte-pair compression into the codes that no character uses, as scripts/kallsyms.c does it.
class TokenCompressor {
public:
    explicit TokenCompressor(const std::vector<EncodedSymbol>& symbols) {
        std::array<bool, 256> used{};
        for (int digit = '0'; digit <= '9'; ++digit) used[static_cast<std::size_t>(digit)] = true;
        for (const auto& symbol : symbols) {
            names_.push_back(symbol.type + symbol.name);
            for (const char c : names_.back()) used[static_cast<std::uint8_t>(c)] = true;
        }
        for (std::size_t code = 0; code < 256; ++code) {
            if (used[code]) tokens_[code] = std::string(1, static_cast<char>(code));
        }
        for (std::size_t code = 256; code-- != 0;) {
            if (!used[code] && !replace_best_pair(static_cast<char>(code))) break;
        }
    }
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] const std::array<std::string, 256>& tokens() const { return tokens_; }

private:
    bool replace_best_pair(char code) {
        std::vector<std::uint32_t> counts(0x10000);
        for (const auto& name : names_) {
            for (std::size_t i = 0; i + 1 < name.size(); ++i) ++counts[pair_at(name, i)];
        }
        const auto best = std::max_element(counts.begin(), counts.end());
        if (*best < 2) return false;
        const auto pair = static_cast<std::size_t>(best - counts.begin());
        tokens_[static_cast<std::uint8_t>(code)] = tokens_[pair >> 8] + tokens_[pair & 0xff];
        for (auto& name : names_) {
            std::size_t out = 0;
            for (std::size_t i = 0; i < name.size(); ++i) {
                const bool hit = i + 1 < name.size() && pair_at(name, i) == pair;
                name[out++] = hit ? code : name[i];
                i += hit ? 1 : 0;
            }
            name.resize(out);
        }
        return true;
    }
    static std::size_t pair_at(const std::string& name, std::size_t i) {
        return static_cast<std::size_t>(static_cast<std::uint8_t>(name[i])) << 8 |
               static_cast<std::uint8_t>(name[i + 1]);
    }

    std::vector<std::string> names_;
    std::array<std::string, 256> tokens_;
};

class KallsymsWriter {
public:
    KallsymsWriter(const std::vector<EncodedSymbol>& symbols, const EncodeOptions& options)
        : symbols_(symbols), options_(options), compressed_(symbols) {}

    Encoded write() {
        noise(options_.noise_before);
        auto& layout = out_.layout;
        layout.num_syms = static_cast<std::uint32_t>(symbols_.size());
        layout.num_markers = static_cast<std::uint32_t>((symbols_.size() + 255) / 256);
        layout.marker_size = options_.marker_size;
        layout.uleb_lengths = options_.uleb;
        layout.addressing = options_.addressing;
        layout.absolute_percpu = options_.absolute_percpu;
        const bool after = options_.addressing == KallsymsAddressing::base_relative_after ||
                           options_.addressing == KallsymsAddressing::place_relative ||
                           (options_.addressing == KallsymsAddressing::absolute && options_.addresses_after);
        out_.tables_begin = out_.region.size();
        if (!after) write_addresses();
        write_names();
        if (!after) write_seqs();
        write_tokens();
        if (after) write_addresses();
        if (after) write_seqs();
        out_.tables_end = out_.region.size();
        noise(options_.noise_after);
        return std::move(out_);
    }

private:
    void noise(std::size_t bytes) {
        std::mt19937 random(options_.noise_seed + static_cast<std::uint32_t>(out_.region.size()));
        for (std::size_t i = 0; i < bytes; ++i) out_.region.push_back(static_cast<std::byte>(random()));
    }
    void put(std::uint64_t value, std::size_t bytes) {
        for (std::size_t i = 0; i < bytes; ++i) out_.region.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
    std::uint64_t label() {
        while ((out_.region.size() - out_.tables_begin) % options_.alignment != 0) put(0, 1);
        return out_.region.size();
    }

    void write_addresses() {
        auto& layout = out_.layout;
        layout.addresses = label();
        const bool relative = options_.addressing != KallsymsAddressing::absolute;
        if (relative && options_.addressing != KallsymsAddressing::place_relative) layout.relative_base = lowest();
        for (const auto& symbol : symbols_) {
            if (!relative) {
                put(symbol.address, 8);
            } else if (options_.addressing == KallsymsAddressing::place_relative) {
                put(symbol.address - (options_.region_va.value + out_.region.size()), 4);
            } else if (!options_.absolute_percpu) {
                put(symbol.address - layout.relative_base, 4);
            } else {
                put(symbol.type == 'A' ? symbol.address : layout.relative_base - symbol.address - 1, 4);
            }
        }
        if (layout.relative_base != 0) {
            label();
            put(layout.relative_base, 8);
        }
    }
    std::uint64_t lowest() const {
        std::uint64_t found = ~std::uint64_t{0};
        for (const auto& symbol : symbols_) {
            if (symbol.type != 'A') found = std::min(found, symbol.address);
        }
        return found;
    }

    void write_names() {
        auto& layout = out_.layout;
        layout.num_syms_at = label();
        put(symbols_.size(), options_.marker_size);
        layout.names = label();
        std::vector<std::uint64_t> markers;
        for (std::size_t i = 0; i < symbols_.size(); ++i) {
            if (i % 256 == 0) markers.push_back(out_.region.size() - layout.names);
            const std::string& name = compressed_.names()[i];
            if (options_.uleb && name.size() > 0x7f) {
                put((name.size() & 0x7f) | 0x80, 1);
                put(name.size() >> 7, 1);
            } else {
                put(name.size(), 1);
            }
            for (const char code : name) put(static_cast<std::uint8_t>(code), 1);
        }
        layout.markers = label();
        for (const auto marker : markers) put(marker, options_.marker_size);
    }

    void write_seqs() {
        if (options_.seqs_entry_size == 0) return;
        std::vector<std::uint32_t> order(symbols_.size());
        for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
        const auto key = [this](std::uint32_t i) {
            const std::string_view name = symbols_[i].name;
            return options_.sort_by_stem ? name.substr(0, name.find('.')) : name;
        };
        std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
        out_.layout.seqs_of_names = label();
        out_.layout.seqs_entry_size = static_cast<std::uint8_t>(options_.seqs_entry_size);
        for (const auto symbol : order) {
            if (options_.seqs_entry_size == 4) put(symbol, 4);
            else
                for (const unsigned shift : {16u, 8u, 0u}) put(symbol >> shift, 1);
        }
    }

    void write_tokens() {
        out_.layout.token_table = label();
        std::vector<std::uint64_t> starts;
        for (const auto& token : compressed_.tokens()) {
            starts.push_back(out_.region.size() - out_.layout.token_table);
            for (const char c : token) put(static_cast<std::uint8_t>(c), 1);
            put(0, 1);
        }
        out_.layout.token_index = label();
        for (const auto start : starts) put(start, 2);
    }

    const std::vector<EncodedSymbol>& symbols_;
    EncodeOptions options_;
    TokenCompressor compressed_;
    Encoded out_;
};

}  // namespace

Encoded encode_kallsyms(const std::vector<EncodedSymbol>& symbols, const EncodeOptions& options) {
    return KallsymsWriter(symbols, options).write();
}

std::vector<EncodedSymbol> kernel_like_symbols(std::size_t count, std::size_t percpu, std::size_t longest_name,
                                               std::uint64_t base, std::uint32_t seed) {
    static constexpr std::array kWords = {"tcp",  "udp", "get",   "put",   "init", "page",  "alloc", "free",
                                          "lock", "irq", "sched", "task",  "file", "inode", "vm",    "kvm",
                                          "x86",  "pci", "probe", "store", "show", "ext4"};
    static constexpr std::array kSuffixes = {"", "", "", "", "", "", ".cold", ".isra.0", ".constprop.0", ".part.12"};
    std::mt19937 random(seed);
    const auto word = [&] { return std::string(kWords[random() % kWords.size()]); };
    std::vector<EncodedSymbol> symbols;
    std::uint64_t address = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (i == percpu) address = base;
        std::string name = i == percpu ? "_text" : word() + "_" + word();
        if (i != percpu && random() % 8 != 0) name += "_" + word() + std::to_string(random() % count);
        if (i != percpu) name += kSuffixes[random() % kSuffixes.size()];
        if (i % 97 == 50) name = "__func__." + std::to_string(random() % 100);
        if (i % 199 == 100) {
            while (name.size() < longest_name) name += static_cast<char>('a' + random() % 26);
            name.resize(std::max<std::size_t>(longest_name - i % 7, 1));
        }
        const char type = i < percpu ? 'A' : "TtDdRrBbW"[random() % 9];
        symbols.push_back({address, type, std::move(name)});
        address += random() % 4 == 0 ? 0 : random() % 512;
    }
    return symbols;
}

}  // namespace vitrine::test
