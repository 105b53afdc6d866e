#include "os/linux/profile_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "os/linux/find/build_id.h"

namespace vitrine::linux_os {
namespace {

namespace fs = std::filesystem;

// linux-<build-id>@<offset of the notes from _text>+<size>.json: the name alone tells what to look for in a guest, so that no file is
// opened that is not of this build.
struct EntryName {
    std::string build_id;
    std::uint64_t notes = 0;
    std::uint64_t size = 0;
};

std::optional<EntryName> parse_name(std::string_view name) {
    if (!name.starts_with("linux-") || !name.ends_with(".json")) return std::nullopt;
    name.remove_prefix(6);
    name.remove_suffix(5);
    const std::size_t at = name.find('@');
    const std::size_t plus = name.find('+', at == std::string_view::npos ? 0 : at);
    if (at == std::string_view::npos || plus == std::string_view::npos) return std::nullopt;
    EntryName entry;
    entry.build_id = std::string(name.substr(0, at));
    const auto hex = [](std::string_view text, std::uint64_t& out) {
        const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
        return error == std::errc{} && rest == text.data() + text.size();
    };
    if (!hex(name.substr(at + 1, plus - at - 1), entry.notes) || !hex(name.substr(plus + 1), entry.size)) return std::nullopt;
    if (entry.notes > (1u << 30) || entry.size > 64 * 1024 || entry.build_id.empty()) return std::nullopt;
    return entry;
}

std::string default_directory() {
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg == '/') return std::string(xdg) + "/vitrine";
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') return std::string(home) + "/.cache/vitrine";
    return {};
}

std::optional<std::string> read_file(const fs::path& path) {
    constexpr std::uintmax_t kMost = 1u << 20;
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (error || size > kMost || !fs::is_regular_file(path, error)) return std::nullopt;
    std::ifstream file(path, std::ios::binary);
    std::string text(static_cast<std::size_t>(size), '\0');
    if (!file.read(text.data(), static_cast<std::streamsize>(text.size()))) return std::nullopt;
    return text;
}

// Hashes of what the profile was decoded from. A guest of the same build has the same bytes there, wherever it was loaded.
std::optional<std::pair<std::uint64_t, std::uint64_t>> hashes(PhysicalMemory& memory, const ProvenKernel& kernel) {
    const KallsymsLayout& k = kernel.kallsyms;
    const auto start = kernel.symbols.get(SymbolId::start_btf);
    const auto stop = kernel.symbols.get(SymbolId::stop_btf);
    if (!start || !stop || *stop <= *start || k.token_index < k.token_table || k.token_index - k.token_table > (1u << 16)) return std::nullopt;
    const auto tokens = read_region(memory, kernel.image, kernel.region_va.wrap_plus(k.token_table), k.token_index - k.token_table + 512);
    const auto markers = read_region(memory, kernel.image, kernel.region_va.wrap_plus(k.markers), std::uint64_t{k.num_markers} * k.marker_size);
    const auto btf = read_region(memory, kernel.image, *start, stop->value - start->value);
    if (!tokens || !markers || !btf) return std::nullopt;
    const std::uint64_t first = XXH3_64bits(tokens->bytes.data(), tokens->bytes.size());
    const std::uint64_t tables = XXH3_64bits_withSeed(markers->bytes.data(), markers->bytes.size(), first);
    return std::pair(tables, static_cast<std::uint64_t>(XXH3_64bits(btf->bytes.data(), btf->bytes.size())));
}

Error io_error(std::string text) { return Error::with_text(Errc::io, Origin::user, std::move(text)); }

}  // namespace

ProfileCache::ProfileCache(std::string directory) : directory_(directory.empty() ? default_directory() : std::move(directory)) {}

std::optional<ProvenKernel> ProfileCache::load(PhysicalMemory& memory, const KernelImage& image) const {
    constexpr std::size_t kMaxEntries = 4096;
    if (directory_.empty()) return std::nullopt;
    std::error_code error;
    std::size_t seen = 0;
    for (fs::directory_iterator it(directory_, error), end; !error && it != end && ++seen <= kMaxEntries; it.increment(error)) {
        const auto entry = parse_name(it->path().filename().string());
        if (!entry) continue;
        const auto notes = read_region(memory, image, image.text_va.wrap_plus(entry->notes), entry->size);
        if (!notes || build_id_of_notes(notes->bytes) != entry->build_id) continue;
        const auto text = read_file(it->path());
        if (!text) return std::nullopt;
        auto profile = parse_profile(*text, image);
        if (!profile || profile->kernel.build_id != entry->build_id) return std::nullopt;
        ProvenKernel& kernel = profile->kernel;
        const std::string banner = kernel.banner;
        const auto found = hashes(memory, kernel);
        if (!found || found->first != profile->tables_hash || found->second != profile->btf_hash) return std::nullopt;
        if (kernel.symbols.get(SymbolId::text) != image.text_va) return std::nullopt;
        if (!check_image(memory, kernel) || kernel.banner != banner || !check_kernel(memory, kernel)) return std::nullopt;
        kernel.checks.insert(kernel.checks.begin(), fmt::format("build-id {}, symbol tables and types equal those of the cached profile", kernel.build_id));
        return std::move(kernel);
    }
    return std::nullopt;
}

Result<void> ProfileCache::store(PhysicalMemory& memory, const ProvenKernel& kernel) const {
    const auto start = kernel.symbols.get(SymbolId::start_notes);
    const auto stop = kernel.symbols.get(SymbolId::stop_notes);
    if (directory_.empty() || kernel.build_id.empty() || !start || !stop || kernel.layout_source != LayoutSource::btf) return {};
    const auto found = hashes(memory, kernel);
    if (!found) return {};
    const std::string text = write_profile(kernel, found->first, found->second);
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error) return io_error(fmt::format("cannot make the cache folder {}: {}", directory_, error.message()));
    fs::permissions(directory_, fs::perms::owner_all, error);
    const std::string path = fmt::format("{}/linux-{}@{:x}+{:x}.json", directory_, kernel.build_id,
                                         start->value - kernel.image.text_va.value, stop->value - start->value);
    // Written apart and renamed, so that a run that is killed leaves either the old entry or the new one.
    std::string temporary = path + ".XXXXXX";
    const int fd = mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return io_error(fmt::format("cannot write to the cache folder {}", directory_));
    const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const bool closed = close(fd) == 0;
    if (!written || !closed || rename(temporary.c_str(), path.c_str()) != 0) {
        unlink(temporary.c_str());
        return io_error(fmt::format("cannot write {}", path));
    }
    return {};
}

}  // namespace vitrine::linux_os
