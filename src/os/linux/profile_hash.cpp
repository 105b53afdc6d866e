#include "os/linux/profile_hash.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/unique_fd.h"
#include "vitrine/base/function_ref.h"

namespace vitrine::linux_os {
namespace {

constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;
constexpr std::size_t kStep = 7;            // bytes that surely are below the prime
constexpr std::uint64_t kTokenIndex = 512;  // bytes of kallsyms_token_index

__extension__ using Wide = unsigned __int128;

std::uint64_t reduce(Wide value) {
    const auto folded = static_cast<std::uint64_t>(value & kPrime) + static_cast<std::uint64_t>(value >> 61);
    const std::uint64_t again = (folded & kPrime) + (folded >> 61);
    return again >= kPrime ? again - kPrime : again;
}

std::uint64_t chunk(const std::byte* at) { return load<std::uint64_t>(at) & 0x00ff'ffff'ffff'ffff; }

constexpr std::uint64_t kPiece = 128 * 1024;

// The image's bytes [va, va + size), size at most kPiece; empty when they cannot be had. Valid until the next call.
using Bytes = FunctionRef<std::span<const std::byte>(Gva va, std::size_t size)>;

bool add_image(Bytes bytes, Gva va, std::uint64_t size, KeyedHash& hash) {
    constexpr std::uint64_t kMost = 64u << 20;
    if (size > kMost) return false;
    for (std::uint64_t at = 0; at < size; at += kPiece) {
        const auto want = static_cast<std::size_t>(std::min(kPiece, size - at));
        const auto piece = bytes(va.wrap_plus(at), want);
        if (piece.size() != want) return false;
        hash.add(piece);
    }
    return true;
}

// The region's table [offset, offset + size).
bool add_table(Bytes bytes, const ProvenKernel& kernel, std::uint64_t offset, std::uint64_t size, KeyedHash& hash) {
    if (offset > kernel.region_size || size > kernel.region_size - offset) return false;
    return add_image(bytes, kernel.region_va.wrap_plus(offset), size, hash);
}

// Where the base of relative addresses is kept (kernel/kallsyms.c); it moves with the load address.
std::optional<std::uint64_t> base_at(const KallsymsLayout& k) {
    if (k.addressing == KallsymsAddressing::base_relative_after)
        return (k.addresses + std::uint64_t{k.num_syms} * 4 + 7) / 8 * 8;
    if (k.addressing == KallsymsAddressing::base_relative_before && k.num_syms_at >= 8) return k.num_syms_at - 8;
    return std::nullopt;
}

bool base_is_right(Bytes bytes, const ProvenKernel& kernel) {
    const KallsymsLayout& k = kernel.kallsyms;
    if (k.addressing == KallsymsAddressing::place_relative) return true;
    const auto at = base_at(k);
    if (!at || *at > kernel.region_size) return false;
    const auto value = bytes(kernel.region_va.wrap_plus(*at), 8);
    return value.size() == 8 && load<std::uint64_t>(value.data()) == k.relative_base;
}

std::optional<ProfileHashes> hash_profile(Bytes bytes, const ProvenKernel& kernel, std::uint64_t key) {
    const KallsymsLayout& k = kernel.kallsyms;
    const auto start = kernel.symbols.get(SymbolId::start_btf);
    const auto stop = kernel.symbols.get(SymbolId::stop_btf);
    if (!start || !stop || *stop <= *start || k.addressing == KallsymsAddressing::absolute) return std::nullopt;
    if (k.token_index < k.token_table || k.markers < k.names || !base_is_right(bytes, kernel)) return std::nullopt;
    KeyedHash tables(key);
    const std::uint64_t n = k.num_syms;
    const bool all = add_table(bytes, kernel, k.num_syms_at, 4, tables) &&
                     add_table(bytes, kernel, k.token_table, k.token_index - k.token_table + kTokenIndex, tables) &&
                     add_table(bytes, kernel, k.names, k.markers - k.names, tables) &&
                     add_table(bytes, kernel, k.markers, std::uint64_t{k.num_markers} * k.marker_size, tables) &&
                     add_table(bytes, kernel, k.addresses, n * 4, tables) &&
                     (!k.seqs_of_names || add_table(bytes, kernel, *k.seqs_of_names, n * k.seqs_entry_size, tables));
    if (!all) return std::nullopt;
    KeyedHash types(key);
    if (!add_image(bytes, *start, stop->value - start->value, types)) return std::nullopt;
    return ProfileHashes{tables.value(), types.value()};
}

std::optional<std::uint64_t> read_key(const std::string& path) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat facts{};
    if (!fd || fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_uid != geteuid() ||
        (facts.st_mode & 077) != 0)
        return std::nullopt;
    std::uint64_t key = 0;
    if (read(fd.get(), &key, sizeof key) != sizeof key) return std::nullopt;
    return key;
}

}  // namespace

KeyedHash::KeyedHash(std::uint64_t key) : powers_{1} {
    for (std::size_t i = 1; i < powers_.size(); ++i) powers_[i] = reduce(Wide{powers_[i - 1]} * (key % kPrime));
}

void KeyedHash::add(std::span<const std::byte> piece) {
    const std::byte* at = piece.data();
    std::size_t left = piece.size();
    // Many steps at once, for one does not wait for the other: sum * k^n + c0 * k^(n-1) + ... + c(n-1). Sixteen
    // products below 2^117 and one below 2^122: their sum fits.
    for (; left >= kAtOnce * kStep + 1; at += kAtOnce * kStep, left -= kAtOnce * kStep) {
        Wide next = Wide{sum_} * powers_[kAtOnce];
        for (std::size_t i = 0; i < kAtOnce; ++i) next += Wide{chunk(at + i * kStep)} * powers_[kAtOnce - 1 - i];
        sum_ = reduce(next);
    }
    while (left > 0) {
        const std::size_t take = std::min(left, kStep);
        std::uint64_t value = 0;
        std::memcpy(&value, at, take);
        sum_ = reduce(Wide{sum_} * powers_[1] + value);
        at += take;
        left -= take;
    }
    sum_ = reduce(Wide{sum_} * powers_[1] + piece.size());
}

std::optional<std::uint64_t> cache_key(const std::string& directory, bool make) {
    const std::string path = directory + "/key";
    const auto key = read_key(path);
    if (key || !make) return key;
    // Written apart and renamed, so that no run ever sees half a key. Entries made with another key are not used any more.
    std::string temporary = path + ".XXXXXX";
    const UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
    std::uint64_t fresh = 0;
    if (!fd) return std::nullopt;
    const bool written = getrandom(&fresh, sizeof fresh, 0) == sizeof fresh &&
                         write(fd.get(), &fresh, sizeof fresh) == sizeof fresh;
    if (!written || rename(temporary.c_str(), path.c_str()) != 0) unlink(temporary.c_str());
    return read_key(path);
}

std::optional<ProfileHashes> hash_guest(PhysicalMemory& memory, const ProvenKernel& kernel, std::uint64_t key) {
    // Through one buffer: copying megabytes to new memory would cost more than the hash.
    std::vector<std::byte> buffer(kPiece);
    const auto read = [&](Gva va, std::size_t size) -> std::span<const std::byte> {
        const auto out = std::span(buffer).first(size);
        if (!memory.read(Gpa{va.value + kernel.image.virtual_to_physical()}, out)) return {};
        return out;
    };
    return hash_profile(read, kernel, key);
}

std::optional<ProfileHashes> hash_copies(const ProvenKernel& kernel, std::uint64_t key) {
    const auto copy = [&](Gva va, std::size_t size) -> std::span<const std::byte> {
        for (const auto* kept : {&kernel.region, &kernel.btf_apart}) {
            if (*kept && (*kept)->contains(va, size)) return (*kept)->at(va, size);
        }
        return {};
    };
    return hash_profile(copy, kernel, key);
}

TablesSpan tables_span(const KallsymsLayout& k) {
    const std::uint64_t n = k.num_syms;
    const bool absolute = k.addressing == KallsymsAddressing::absolute;
    TablesSpan span{UINT64_MAX, 0};
    const auto add = [&](std::uint64_t at, std::uint64_t size) {
        span.begin = std::min(span.begin, at);
        span.end = std::max(span.end, at + size);
    };
    add(k.num_syms_at, 8);
    add(k.token_table, 0);
    add(k.token_index, kTokenIndex);
    add(k.names, 0);
    add(k.markers, std::uint64_t{k.num_markers} * k.marker_size);
    add(k.addresses, n * (absolute ? 8 : 4));
    if (k.seqs_of_names) add(*k.seqs_of_names, n * k.seqs_entry_size);
    if (const auto base = base_at(k)) add(*base, 8);
    return span;
}

}  // namespace vitrine::linux_os
