#include <algorithm>
#include <array>
#include <bitset>
#include <utility>

#include "symbols/kallsyms/limits.h"
#include "symbols/kallsyms/reader.h"
#include "vitrine/symbols/kallsyms.h"

namespace vitrine {
namespace {

using namespace kallsyms;

// Names that share everything up to their first '.'; kernels have some thousand of one name (`__func__.123`) that nobody looks
// up, a hostile table as many as it likes of each that we do.
constexpr std::uint32_t kMaxEqualStems = 1u << 12;

// A search costs what passing over this many symbols does, so many names are looked up faster in one pass.
constexpr std::size_t kSymbolsPassedPerSearch = 256;

// What has been seen of one wanted name so far.
class Answer {
public:
    void add(std::uint64_t address) {
        ambiguous_ = ambiguous_ || (address_ && *address_ != address);
        address_ = address;
    }
    void give_up() { ambiguous_ = true; }
    [[nodiscard]] std::optional<Gva> get() const {
        if (ambiguous_ || !address_) return std::nullopt;
        return Gva{*address_};
    }

private:
    std::optional<std::uint64_t> address_;
    bool ambiguous_ = false;
};

struct Wanted {
    std::string_view name;
    std::size_t index;  // in the caller's list
};

class NameBuffer {
public:
    // The name without its type letter; nullopt when it is broken. Valid until the next call.
    std::optional<std::string_view> expand(const KallsymsReader& reader, const std::optional<PackedName>& packed) {
        if (!packed) return std::nullopt;
        const auto length = reader.tokens().expand(packed->codes, text_.data());
        if (!length || *length == 0) return std::nullopt;
        return std::string_view(text_.data() + 1, *length - 1);
    }

private:
    std::array<char, kMaxExpandedLength + TokenTable::kSlack> text_;
};

// kallsyms_seqs_of_names is sorted by strcmp(); on kernels built with clang's LTO without what follows the first '.' or
// ".llvm." (cleanup_symbol_name() in scripts/kallsyms.c). Up to the first '.' all orders agree, so the search compares
// these stems and then reads on through all names of one stem.
std::string_view stem(std::string_view name) { return name.substr(0, name.find('.')); }

// Characters below '.' would break that: names with them (no C identifier has one) take the other way.
bool searchable(std::string_view name) {
    return std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= '.'; });
}

class SortedSearch {
public:
    SortedSearch(const KallsymsReader& reader, std::vector<Answer>& answers) : reader_(reader), answers_(answers) {}

    // Many names at once, so that they share the first probes. wanted is sorted by stem and then name; the rank of each
    // is in [low, high].
    void search(std::uint32_t low, std::uint32_t high, std::span<const Wanted> wanted) {
        if (wanted.empty()) return;
        if (low == high) {
            for (const Wanted& one : wanted) read_stem(low, one);
            return;
        }
        const std::uint32_t middle = low + (high - low) / 2;
        const auto symbol = reader_.seq(middle);
        const auto name = symbol ? buffer_.expand(reader_, reader_.name_of(*symbol)) : std::nullopt;
        if (!name) return;
        const auto above = std::partition_point(
            wanted.begin(), wanted.end(), [probe = stem(*name)](const Wanted& one) { return stem(one.name) <= probe; });
        const auto below_count = static_cast<std::size_t>(above - wanted.begin());
        search(low, middle, wanted.first(below_count));
        search(middle + 1, high, wanted.subspan(below_count));
    }

private:
    void read_stem(std::uint32_t rank, const Wanted& one) {
        const std::string_view wanted_stem = stem(one.name);
        for (std::uint32_t read = 0; rank < reader_.size(); ++rank, ++read) {
            if (read == kMaxEqualStems) return answers_[one.index].give_up();
            const auto symbol = reader_.seq(rank);
            const auto name = symbol ? buffer_.expand(reader_, reader_.name_of(*symbol)) : std::nullopt;
            if (!name || !name->starts_with(wanted_stem)) return;
            if (name->size() > wanted_stem.size() && static_cast<unsigned char>((*name)[wanted_stem.size()]) > '.')
                return;
            if (*name == one.name) answers_[one.index].add(reader_.address(*symbol));
        }
    }

    const KallsymsReader& reader_;
    std::vector<Answer>& answers_;
    NameBuffer buffer_;
};

// A hash of text that can be put together from the hashes of its tokens: sum of (c+1) * base^position, modulo 2^64.
struct PieceHash {
    static constexpr std::uint64_t kBase = 0x9e3779b97f4a7c15;
    std::uint64_t hash = 0;
    std::uint64_t power = 1;  // base^length

    static PieceHash of(std::string_view text) {
        PieceHash piece;
        for (const char c : text) {
            piece.hash = piece.hash * kBase + static_cast<unsigned char>(c) + 1;
            piece.power *= kBase;
        }
        return piece;
    }
};

// One pass over the compressed names: a multiplication per token instead of building strings.
class HashedPass {
public:
    HashedPass(const KallsymsReader& reader, std::span<const Wanted> wanted) : reader_(reader) {
        for (std::size_t code = 0; code < kTokens; ++code) {
            const std::string_view token = reader.tokens()[static_cast<std::uint8_t>(code)];
            pieces_[code] = PieceHash::of(token);
            tails_[code] = PieceHash::of(token.substr(token.empty() ? 0 : 1));
        }
        for (const Wanted& one : wanted) {
            const std::uint64_t hash = PieceHash::of(one.name).hash;
            wanted_.emplace_back(hash, one);
            filter_.set(hash >> kFilterShift);
        }
        std::sort(wanted_.begin(), wanted_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    }

    void run(std::uint64_t first_name, std::vector<Answer>& answers) {
        std::uint64_t at = first_name;
        for (std::uint32_t i = 0; i < reader_.size(); ++i) {
            const auto packed = reader_.name_at(at);
            if (!packed) return;
            at = packed->next;
            const std::uint64_t hash = hash_of(packed->codes);
            if (filter_.test(hash >> kFilterShift)) compare(i, *packed, hash, answers);
        }
    }

private:
    static constexpr unsigned kFilterBits = 13;
    static constexpr unsigned kFilterShift = 64 - kFilterBits;

    [[nodiscard]] std::uint64_t hash_of(std::span<const std::uint8_t> codes) const {
        std::uint64_t hash = tails_[codes[0]].hash;  // the first token begins with the type letter
        for (const std::uint8_t code : codes.subspan(1)) hash = hash * pieces_[code].power + pieces_[code].hash;
        return hash;
    }

    void compare(std::uint32_t symbol, const PackedName& packed, std::uint64_t hash, std::vector<Answer>& answers) {
        auto candidate = std::lower_bound(wanted_.begin(), wanted_.end(), hash,
                                          [](const auto& entry, std::uint64_t value) { return entry.first < value; });
        if (candidate == wanted_.end() || candidate->first != hash) return;
        const auto name = buffer_.expand(reader_, packed);
        for (; name && candidate != wanted_.end() && candidate->first == hash; ++candidate) {
            if (candidate->second.name == *name) answers[candidate->second.index].add(reader_.address(symbol));
        }
    }

    const KallsymsReader& reader_;
    std::array<PieceHash, kTokens> pieces_;
    std::array<PieceHash, kTokens> tails_;
    std::vector<std::pair<std::uint64_t, Wanted>> wanted_;
    std::bitset<1u << kFilterBits> filter_;
    NameBuffer buffer_;
};

}  // namespace

std::vector<std::optional<Gva>> lookup_kallsyms(std::span<const std::byte> region, std::optional<Gva> region_va,
                                                const KallsymsLayout& layout, std::span<const std::string_view> names) {
    std::vector<std::optional<Gva>> result(names.size());
    const auto reader = KallsymsReader::open(region, region_va, layout);
    if (!reader) return result;
    std::vector<Answer> answers(names.size());
    std::vector<Wanted> sorted, others;
    const bool few = names.size() <= reader->size() / kSymbolsPassedPerSearch;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const bool by_search = few && layout.seqs_of_names && searchable(names[i]);
        (by_search ? sorted : others).push_back({names[i], i});
    }
    if (!sorted.empty()) {
        std::sort(sorted.begin(), sorted.end(), [](const Wanted& a, const Wanted& b) {
            const auto order = stem(a.name).compare(stem(b.name));
            return order != 0 ? order < 0 : a.name < b.name;
        });
        SortedSearch(*reader, answers).search(0, reader->size(), sorted);
    }
    if (!others.empty()) HashedPass(*reader, others).run(layout.names, answers);
    for (std::size_t i = 0; i < names.size(); ++i) result[i] = answers[i].get();
    return result;
}

}  // namespace vitrine
